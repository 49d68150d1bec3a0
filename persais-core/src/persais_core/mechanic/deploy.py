"""Approved: merge, ask for the deployment, and later say truthfully how it ended."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from persais_core import audit, errors, texts
from persais_core.agents import visibility
from persais_core.db.tables.evolution import Deployment
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Button, Lane, Reply
from persais_core.mechanic import contacts, ledger, migrate, remarks
from persais_core.mechanic.deliver import new_buttons
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import dead_letters, outbox
from persais_core.queue.inbox import CHOOSE_AGENT, Inbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def request(shop: Workshop, change: Change, *, user_id: int) -> Change:
    """Bring the tables up to it, merge the delivered commit and ask that it should serve; may be repeated.

    Raises:
        ChangeError: the tables could not be changed, or main conflicts; nothing was merged, the tables are as before.
    """
    if change.pull_request is None or change.commit is None:
        raise errors.ChangeError("there is no pull request yet")
    async with shop.ledger.changing(change.id) as (session, current):
        # Before the merge: from here on the change can be rolled back, but not aborted any more.
        if current.state.is_over:
            raise errors.ChangeError("the change was called off meanwhile", key="called-off")
        await shop.ledger.write(
            session, current.model_copy(update={"state": ChangeState.DEPLOYING, "platform": shop.deployer.platform})
        )
    try:
        await migrate.before_proving(shop, change)
    except errors.DatabaseError as error:
        raise errors.ChangeError(texts.say(change.language, "migration-failed", cause=str(error))) from error
    try:
        merged = await shop.forge.merge(change.pull_request, head=change.commit)
    except errors.ForgeError:
        await migrate.take_back(shop, change)
        raise
    async with shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(update={"merge_commit": merged})
        await shop.ledger.write(session, changed)
        await shop.deployer.request(session, commit=merged, change_id=change.id)
        audit.record(session, "merged", actor=user_id, subject=f"change {change.id}", commit=merged)
    return changed


async def finish(shop: Workshop, deployment_id: int) -> None:
    """Tell how a deployment ended; run by the release that serves then. Repeating it changes nothing."""
    async with shop.database.session() as session:
        deployment = await session.get(Deployment, deployment_id)
    if deployment is None or deployment.change_id is None:
        return
    change = await shop.ledger.get(deployment.change_id)
    if change.state is ChangeState.ROLLED_BACK:
        await _tell_rollback(shop, change, deployment)
    elif deployment.commit != change.merge_commit:
        return
    elif deployment.state in ("serving", "confirmed") and change.state is ChangeState.DEPLOYING:
        await _tell_deployed(shop, change, deployment)
    elif deployment.state == "failed" and change.state in {ChangeState.DEPLOYING, ChangeState.DEPLOYED}:
        await _take_back(shop, change, deployment)


async def _tell_deployed(shop: Workshop, change: Change, deployment: Deployment) -> None:
    seconds = (deployment.finished_at - deployment.requested_at).total_seconds() if deployment.finished_at else 0.0
    async with shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(
            update={
                "state": ChangeState.DEPLOYED,
                "buttons": {},
                "stages": current.stages | {"deploying": round(seconds, 2)},
            }
        )
        await shop.ledger.write(session, changed)
        lane = Lane(chat_id=change.chat_id, topic_id=change.topic_id)
        told = Reply(text=texts.say(change.language, "deployed"), plain=True, buttons=_talk_to(change))
        await outbox.put(session, lane, told, key=f"change:{change.id}:{deployment.id}:deployed")
        made = [part.name for part in changed.plan.create if part.kind == "agent"] if changed.plan else []
        await visibility.give(session, made, owner=change.user_id)
        audit.record(session, "deployed", subject=f"change {change.id}", commit=deployment.commit)
    await clear(shop, changed, keep_branch=False)


def _talk_to(change: Change) -> tuple[tuple[Button, ...], ...]:
    """A button for each agent that was made: the chat is still the Mechanic's."""
    made = [part for part in change.plan.create if part.kind == "agent"] if change.plan else []
    buttons = [
        Button(text=f"{part.emoji} {part.title or part.name}"[:60], data=f"{CHOOSE_AGENT}{part.name}") for part in made
    ]
    return tuple((button,) for button in buttons)


async def _take_back(shop: Workshop, change: Change, deployment: Deployment) -> None:
    """The new version failed, at once or while it was watched: main gets a revert, and the owner the cause."""
    cause = shop.redactor.text(deployment.cause or "?")
    stuck = await _tables_back(shop, change)
    try:
        reverted = await shop.forge.revert(deployment.commit, reason=f"The new version did not hold: {cause}")
    except errors.ForgeError as error:
        # Later changes build on it. The old version serves; main must be mended by a person, who is told so.
        stuck.append(texts.say(change.language, "revert-stuck", cause=texts.explain(change.language, error)))
        reverted = deployment.commit
    await remarks.leave(shop, change, f"Taken back: {cause}")
    async with shop.ledger.changing(change.id) as (session, current):
        fields = {
            "state": ChangeState.FAILED,
            "error": texts.say(change.language, "deploy-failed-card"),
            "buttons": new_buttons(session, current, ("retry", "abort")),
        }
        await shop.ledger.write(session, current.model_copy(update=fields))
        key = "deploy-failed" if change.state is ChangeState.DEPLOYING else "deploy-returned"
        text = texts.say(change.language, key, cause=cause)
        await _say(session, change, "\n\n".join([text, *stuck]), f"change:{change.id}:{deployment.id}:failed")
        was_serving = change.state is ChangeState.DEPLOYED
        action = "taken back" if was_serving else "deployed"
        audit.record(session, action, subject=f"change {change.id}", commit=reverted, outcome="failed", cause=cause)
        if was_serving:
            key = f"change:{change.id}:{deployment.id}:told"
            await contacts.tell(shop, session, text, key=key, besides=change.chat_id)
    await _answer_again(shop, deployment)


async def _answer_again(shop: Workshop, deployment: Deployment) -> None:
    """The version that serves again answers what the one that was taken back could not."""
    await Inbox(shop.database).again(deployment.requested_at)


async def _tell_rollback(shop: Workshop, change: Change, deployment: Deployment) -> None:
    serving = deployment.state in ("serving", "confirmed")
    key = "rollback-done" if serving else "rollback-stuck"
    text = texts.say(change.language, key, change=change.id, cause=deployment.cause or "")
    stuck = await _tables_back(shop, change) if serving else []
    if not serving:
        await shop.ledger.update(change.id, state=ChangeState.DEPLOYED)  # so that it can be asked for again
    async with shop.database.session() as session:
        await _say(session, change, "\n\n".join([text, *stuck]), f"change:{change.id}:{deployment.id}:rollback")


async def confirmed(shop: Workshop, deployment_id: int) -> None:
    """The new version has held while it was watched: what it does not need is put aside now, if that was allowed."""
    async with shop.database.session() as session:
        deployment = await session.get(Deployment, deployment_id)
    if deployment is None or deployment.change_id is None:
        return
    change = await shop.ledger.get(deployment.change_id)
    if change.state is not ChangeState.DEPLOYED or deployment.commit != change.merge_commit:
        return
    async with shop.database.session() as session:
        audit.record(session, "release confirmed", subject=f"change {change.id}", commit=deployment.commit)
    try:
        if not await migrate.after_confirmed(shop, change):
            return
        text, key = texts.say(change.language, "migration-dropped"), "confirmed"
    except errors.DatabaseError as error:
        text, key = texts.say(change.language, "migration-drop-failed", cause=str(error)), "drop-failed"
        async with shop.database.session() as session:
            job = {"task": "confirmed", "args": {"deployment": deployment_id}, "lock": ledger.lock(change.id)}
            await dead_letters.keep(
                session,
                "migration",
                subject=f"change {change.id}",
                cause=str(error),
                payload=job,
                redactor=shop.redactor,
            )
    async with shop.database.session() as session:
        await _say(session, change, text, f"change:{change.id}:{deployment.id}:{key}")


async def _tables_back(shop: Workshop, change: Change) -> list[str]:
    """Undo what a change did to the tables; returns what there is to say when that fails."""
    try:
        await migrate.take_back(shop, change)
    except errors.DatabaseError as error:
        return [texts.say(change.language, "migration-not-taken-back", cause=str(error))]
    return []


async def _say(session: AsyncSession, change: Change, text: str, key: str) -> None:
    lane = Lane(chat_id=change.chat_id, topic_id=change.topic_id)
    await outbox.put(session, lane, Reply(text=text, plain=True), key=key)


async def clear(shop: Workshop, change: Change, *, keep_branch: bool) -> None:
    """Remove what the change no longer needs."""
    if change.branch:
        await shop.repository.remove_worktree(change.branch, shop.worktree(change.branch), keep_branch=keep_branch)
        if not keep_branch:
            await shop.repository.delete_remote_branch(change.branch)
    shutil.rmtree(shop.scratch(change.id), ignore_errors=True)
