"""Called off: nothing of the change stays but its row and the audit."""

from __future__ import annotations

from persais_core import audit
from persais_core.domain.changes import Change, ChangeState
from persais_core.mechanic import deploy
from persais_core.mechanic.workshop import Workshop


async def abort(shop: Workshop, change: Change, *, user_id: int) -> Change:
    """Close the pull request and remove branch, remote branch, worktree and scratch; repeating it changes nothing.

    What was merged is not touched: that is rolled back, not aborted.
    """
    if change.state.is_over or change.state is ChangeState.DEPLOYING:
        return change
    if change.branch is not None:
        await shop.forge.close(change.branch)
    await deploy.clear(shop, change, keep_branch=False)
    async with shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(update={"state": ChangeState.ABORTED, "buttons": {}})
        await shop.ledger.write(session, changed)
        audit.record(session, "change aborted", actor=user_id, subject=f"change {change.id}", commit=change.commit)
    return changed
