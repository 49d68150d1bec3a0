"""A failed change is begun again: the same plan, on today's main, with a thread of its own.

What the checks found stays with it: the coder is told, since the same question would bring the same code again.
"""

from __future__ import annotations

from persais_core.domain.changes import Change, ChangeState
from persais_core.mechanic import branch, mainline, migrate
from persais_core.mechanic.workshop import Workshop


async def prepare(shop: Workshop, change: Change) -> Change:
    """Clear away what the failed attempt left, and set the change back to where its plan was made.

    A change that failed before it had a plan is planned again, and so is one whose plan moved the coder to nothing.
    What was delivered once gets a new branch, since the old one may be merged and reverted. What main has all the same,
    without being known to, is not made once more: it goes on to its deployment.

    Raises:
        PersaisError: what the failed attempt left cannot be cleared away; the change is as it was.
    """
    if await mainline.is_merged(shop, change):
        return await shop.ledger.update(
            change.id, state=ChangeState.DEPLOYING, error=None, buttons={}, called_off=False
        )
    await migrate.take_back(shop, change)  # what could not be taken back when it failed
    await mainline.take_out(shop, change)
    is_planned = change.plan is not None and not change.unable
    if change.branch is not None:
        await shop.forge.close(change.branch)
    await branch.clear(shop, change, keep_branch=False)
    return await shop.ledger.update(
        change.id,
        attempt=change.attempt + 1,
        state=ChangeState.SCAFFOLDING if is_planned else ChangeState.PLANNING,
        base=await shop.repository.main() if is_planned else None,
        branch=None if change.commit else change.branch,
        commit=None,
        checked_on=None,
        merge_commit=None,
        pull_request=None,
        pull_request_url=None,
        files=(),
        round=0,
        last_failure="",
        error=None,
        buttons={},
        called_off=False,
        stages={},
    )
