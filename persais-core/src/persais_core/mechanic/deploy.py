"""Approved: merge, ask for the deployment, and later say truthfully how it ended."""

from __future__ import annotations

import shutil

from persais_core import audit, errors, texts
from persais_core.db.tables.evolution import Deployment
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Reply
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox


async def request(shop: Workshop, change: Change, *, user_id: int) -> Change:
    """Merge the delivered commit and ask that it should serve; repeating it changes nothing."""
    if change.pull_request is None or change.commit is None:
        raise errors.ChangeError("there is no pull request yet")
    merged = await shop.forge.merge(change.pull_request, head=change.commit)
    async with shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(update={"state": ChangeState.DEPLOYING})
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
    if change.state is not ChangeState.DEPLOYING:
        return
    serving = deployment.state == "serving"
    cause = deployment.cause or "?"
    if not serving:
        await shop.forge.revert(deployment.commit, reason=f"The new version did not start serving: {cause}")
    seconds = (deployment.finished_at - deployment.requested_at).total_seconds() if deployment.finished_at else 0.0
    async with shop.ledger.changing(change.id) as (session, current):
        text = (
            texts.say(change.language, "deployed")
            if serving
            else texts.say(change.language, "deploy-failed", cause=cause)
        )
        changed = current.model_copy(
            update={
                "state": ChangeState.DEPLOYED if serving else ChangeState.FAILED,
                "error": None if serving else texts.say(change.language, "deploy-failed-card"),
                "stages": current.stages | {"deploying": round(seconds, 2)},
            }
        )
        await shop.ledger.write(session, changed)
        lane = Lane(chat_id=change.chat_id, topic_id=change.topic_id)
        await outbox.put(session, lane, Reply(text=text, plain=True), key=f"change:{change.id}:deployed")
        audit.record(
            session,
            "deployed",
            subject=f"change {change.id}",
            commit=deployment.commit,
            outcome="ok" if serving else "failed",
            cause=deployment.cause,
        )
    await clear(shop, changed, keep_branch=not serving)


async def clear(shop: Workshop, change: Change, *, keep_branch: bool) -> None:
    """Remove what the change no longer needs."""
    if change.branch:
        await shop.repository.remove_worktree(change.branch, shop.worktree(change.branch), keep_branch=keep_branch)
        if not keep_branch:
            await shop.repository.delete_remote_branch(change.branch)
    shutil.rmtree(shop.scratch(change.id), ignore_errors=True)
