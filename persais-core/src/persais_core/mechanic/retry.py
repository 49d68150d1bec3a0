"""A failed change is begun again: the same plan, on today's main, with a thread of its own."""

from __future__ import annotations

from persais_core.domain.changes import Change, ChangeState
from persais_core.mechanic import deploy
from persais_core.mechanic.workshop import Workshop


async def prepare(shop: Workshop, change: Change) -> Change:
    """Clear away what the failed attempt left, and set the change back to where its plan was made.

    A change that failed before it had a plan is planned again. What was delivered once gets a new branch, since the
    old one may be merged and reverted.
    """
    if change.pull_request is not None:
        await shop.forge.close(change.pull_request)
    await deploy.clear(shop, change, keep_branch=False)
    return await shop.ledger.update(
        change.id,
        attempt=change.attempt + 1,
        state=ChangeState.PLANNING if change.plan is None else ChangeState.SCAFFOLDING,
        base=await shop.repository.main() if change.plan is not None else None,
        branch=None if change.commit else change.branch,
        commit=None,
        merge_commit=None,
        pull_request=None,
        pull_request_url=None,
        files=(),
        verdicts=(),
        round=0,
        last_failure="",
        error=None,
        buttons={},
        stages={},
    )
