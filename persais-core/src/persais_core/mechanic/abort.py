"""Called off: nothing of the change stays but its row and the audit."""

from __future__ import annotations

from persais_core import audit, errors, texts
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Reply
from persais_core.mechanic import approvals, branch, mainline, migrate
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

BY_PEOPLE = ("merged-already", mainline.REVERT_CONFLICT)
"""Keys of the errors that no other try of the same can mend."""


async def abort(shop: Workshop, change: Change, *, user_id: int) -> Change:
    """Close the pull request and remove branch, remote branch, worktree and scratch; repeating it changes nothing.

    What was merged is not touched: that is rolled back, not aborted.

    Returns:
        The change; not aborted where only somebody else can clear the way, which whoever asked is told.

    Raises:
        PersaisError: something of it could not be removed. Whoever asked is told; it may be tried again.
    """
    if not change.state.can_be_aborted:
        return change
    try:
        if await mainline.is_merged(shop, change):
            raise errors.ChangeError(
                "main has it already; have it deployed, and then roll it back", key="merged-already"
            )
        await migrate.take_back(shop, change)  # what could not be taken back when it failed
        await mainline.take_out(shop, change)
        if change.branch is not None:
            await shop.forge.close(change.branch)
        await branch.clear(shop, change, keep_branch=False)
    except errors.PersaisError as error:
        cause = shop.redactor.text(texts.explain(change.language, error))
        async with shop.ledger.changing(change.id) as (session, current):
            # The buttons of the card are used up by the tap, and what it was for is still to be decided.
            fields = {
                "abort_error": cause,
                "called_off": False,
                "buttons": approvals.issue(session, current, tuple(current.buttons)),
            }
            changed = await shop.ledger.write(session, current.model_copy(update=fields))
            if not current.notices:  # it was wished with a button, and the card does not say how that went
                told = texts.say(change.language, "abort-failed", change=change.id, cause=cause)
                lane = change.lane
                key = f"change:{change.id}:{change.attempt}:abort-failed"
                await outbox.show(session, lane, Reply(text=told, plain=True), key=key)
        if error.key in BY_PEOPLE:
            return changed
        raise  # the queue tries again, and sets it aside in the end
    async with shop.ledger.changing(change.id) as (session, current):
        fields = {"state": ChangeState.ABORTED, "buttons": {}, "abort_error": None}
        changed = await shop.ledger.write(session, current.model_copy(update=fields))
        audit.record(session, "change aborted", actor=user_id, subject=change.subject, commit=change.commit)
    return changed
