"""What main holds of a change: asked of the forge, and taken out again where it should not be there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from persais_core import audit, errors, texts
from persais_core.db.tables.evolution import ChangeRow, Deployment
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Reply
from persais_core.mechanic import approvals
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

REVERT_CONFLICT = "revert-conflict"
"""Key of the error of a forge that does not take back what later changes build on."""


async def is_merged(shop: Workshop, change: Change) -> bool:
    """Whether main has a change that does not know of it: somebody merged it by hand, or an answer got lost.

    Raises:
        ForgeError: that cannot be known.
    """
    if change.merge_commit is not None or change.pull_request is None or change.commit is None:
        return False
    return await shop.forge.merged(change.pull_request, head=change.commit) is not None


async def take_out(shop: Workshop, change: Change) -> None:
    """Take a failed change out of main, where that did not go well at once; nothing happens where it is done.

    Raises:
        ForgeError: it still cannot be taken out.
    """
    async with shop.merging:
        await _take_out(shop, change)


async def reject(shop: Workshop, change: Change, merged: str, error: errors.PersaisError) -> Change:
    """A change has got to main and must not be served: it fails, and is taken out. `Workshop.merging` must be held.

    Args:
        merged: the commit of main that merged it.
        error: why it must not.
    """
    told, cause = shop.redactor.text(texts.explain(change.language, error)), shop.redactor.text(str(error))
    async with shop.ledger.changing(change.id) as (session, current):
        # First: whoever repeats this after a kill finds a failed change, which is cleaned away before the next merge.
        fields = {
            "state": ChangeState.FAILED,
            "merge_commit": merged,
            "left_on_main": True,
            "error": told,
            "buttons": approvals.issue(session, current, ("retry", "abort")),
        }
        left = await shop.ledger.write(session, current.model_copy(update=fields))
        audit.record(session, "change failed", subject=change.subject, outcome="failed", cause=cause)
    try:
        await _take_out(shop, left)
    except errors.ForgeError as refusal:
        stuck = texts.say(change.language, "revert-stuck", cause=texts.explain(change.language, refusal))
        return await shop.ledger.update(change.id, error=f"{told}\n\n{stuck}")
    return left


async def _take_out(shop: Workshop, change: Change) -> None:
    if not change.left_on_main or change.merge_commit is None:
        return
    reverted = await shop.forge.revert(change.merge_commit, reason=f"The new version did not hold (change {change.id})")
    async with shop.ledger.changing(change.id) as (session, current):
        await shop.ledger.write(session, current.model_copy(update={"left_on_main": False}))
        audit.record(session, "taken back", subject=change.subject, commit=reverted)
        text = texts.say(change.language, "revert-done", change=change.id)
        lane = change.lane
        await outbox.put(
            session, lane, Reply(text=text, plain=True), key=f"change:{change.id}:{change.merge_commit}:out"
        )


async def clean(shop: Workshop) -> None:
    """Take out of main what failed and could not be taken out then: the next version would ship it."""
    for left in await shop.ledger.left_on_main():
        with unless_built_upon():
            await _take_out(shop, left)
    for failed in await _not_told_yet(shop):
        with unless_built_upon():
            await shop.forge.revert(failed, reason="The new version did not hold")


async def _not_told_yet(shop: Workshop) -> list[str]:
    """The merges of deployments that have failed and whose end, with which they leave main, is yet to be told."""
    later = aliased(Deployment)  # the same merge may have been asked for again, and serve by now
    async with shop.database.session() as session:
        found = await session.execute(
            select(col(Deployment.commit))
            .join(ChangeRow, col(ChangeRow.id) == col(Deployment.change_id))
            .where(
                col(Deployment.state) == "failed",
                col(ChangeRow.state).in_((ChangeState.DEPLOYING, ChangeState.DEPLOYED)),
                col(ChangeRow.body)["merge_commit"].as_string() == col(Deployment.commit),
                ~exists().where(col(later.commit) == col(Deployment.commit), col(later.id) > col(Deployment.id)),
            )
            .order_by(col(Deployment.id).desc())
        )
        return list(found.scalars())


@contextlib.contextmanager
def unless_built_upon() -> Iterator[None]:
    """Try to take something out of main; where later changes build on it only a person can, who was told so."""
    try:
        yield
    except errors.ForgeError as error:
        if error.key != REVERT_CONFLICT:
            raise
