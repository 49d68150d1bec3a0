"""A failed change is begun again: the same plan, on today's main, with a thread of its own.

What the checks found stays with it: the coder is told, since the same question would bring the same code again.
"""

from __future__ import annotations

from persais_core.domain.changes import Change, ChangeState
from persais_core.mechanic import deploy
from persais_core.mechanic.workshop import Workshop


async def prepare(shop: Workshop, change: Change) -> Change:
    """Clear away what the failed attempt left, and set the change back to where its plan was made.

    A change that failed before it had a plan is planned again, and so is one whose plan moved the coder to nothing.
    What was delivered once gets a new branch, since the old one may be merged and reverted.
    """
    is_planned = change.plan is not None and not change.unable
    if change.branch is not None:
        await shop.forge.close(change.branch)
    await deploy.clear(shop, change, keep_branch=False)
    return await shop.ledger.update(
        change.id,
        attempt=change.attempt + 1,
        state=ChangeState.SCAFFOLDING if is_planned else ChangeState.PLANNING,
        base=await shop.repository.main() if is_planned else None,
        branch=None if change.commit else change.branch,
        commit=None,
        merge_commit=None,
        pull_request=None,
        pull_request_url=None,
        files=(),
        round=0,
        last_failure="",
        error=None,
        buttons={},
        stages={},
    )
