"""A deployment has ended, well or not: the truth is told, and what did not hold is taken out of main."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from persais_core import audit, errors, texts
from persais_core.agents import visibility
from persais_core.db.tables.evolution import ChangeRow, Deployment
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Button, Lane, Language, Reply
from persais_core.mechanic import approvals, branch, cards, contacts, mainline, migrate, remarks
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs, letters, locks, outbox
from persais_core.queue.inbox import CHOOSE_AGENT, Inbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

_LATELY = (
    "select d.id from persais.deployments d join persais.changes c on c.id = d.change_id "
    "where d.state in ('serving', 'confirmed') and d.finished_at > now() - interval '5 minutes' "
    "and c.id <> %(change)s and c.chat_id = %(chat)s and (c.body->>'topic_id')::bigint = %(topic)s limit 1"
)
"""Whether another change of a chat was deployed a moment ago."""

SHIPPED = {ChangeState.DEPLOYING, ChangeState.DEPLOYED}

Leaving = Callable[[Lane], AbstractAsyncContextManager[str | None]]
"""Gives a lane whose agent is not there any more to Master, at the end of the block that says so.

Yields the name of that agent; None where the lane's agent is there.
"""


async def finish(shop: Workshop, deployment_id: int, *, leaving: Leaving) -> None:
    """Tell how a deployment ended; run by the release that serves then. Repeating it changes nothing."""
    async with shop.database.session() as session:
        deployment = await session.get(Deployment, deployment_id)
    if deployment is None:
        return
    if deployment.change_id is None:
        await _tell_mending(shop, deployment)
        return
    change = await shop.ledger.get(deployment.change_id)
    is_merge = deployment.commit == change.merge_commit
    is_serving, is_failed = deployment.state in ("serving", "confirmed"), deployment.state == "failed"
    if change.state is ChangeState.ROLLED_BACK and not is_merge:
        if await _is_last(shop, deployment):  # not of an attempt before the one that was rolled back
            await _tell_rollback(shop, change, deployment, leaving)
    elif is_merge and is_serving:
        if change.state is ChangeState.DEPLOYING:
            change = await _tell_deployed(shop, change, deployment, leaving)
        if change.state is ChangeState.DEPLOYED:
            await branch.clear(shop, change, keep_branch=False)  # also when the first try got no further than the news
    elif is_merge and is_failed:
        if change.state in SHIPPED:
            change = await _take_back(shop, change, deployment, leaving)
        if change.state in {ChangeState.FAILED, ChangeState.ROLLED_BACK}:
            await _answer_again(shop, deployment)
        if change.state is ChangeState.FAILED:
            with mainline.unless_built_upon():
                await mainline.take_out(shop, change)


async def _tell_mending(shop: Workshop, deployment: Deployment) -> None:
    """Tell that the version without what had failed did not hold; nobody waits for word that it did."""
    if deployment.state != "failed":
        return
    cause = shop.redactor.text(deployment.cause or "?")
    async with shop.database.session() as session:
        key = f"deployment:{deployment.id}:failed"
        await contacts.tell(shop, session, lambda language: texts.say(language, "mending-failed", cause=cause), key=key)


async def confirmed(shop: Workshop, deployment_id: int, *, leaving: Leaving) -> None:
    """The new version has held while it was watched: what it does not need is put aside now, if that was allowed."""
    async with shop.database.session() as session:
        deployment = await session.get(Deployment, deployment_id)
    if deployment is None:
        return
    await _end_rollbacks(shop, deployment, leaving)
    if deployment.change_id is None:
        return
    change = await shop.ledger.get(deployment.change_id)
    if change.state is not ChangeState.DEPLOYED or deployment.commit != change.merge_commit:
        return
    async with shop.database.session() as session:
        audit.record(session, "release confirmed", subject=change.subject, commit=deployment.commit)
    try:
        if not await migrate.after_confirmed(shop, change):
            return
        text, key = texts.say(change.language, "migration-dropped"), "confirmed"
    except errors.DatabaseError as error:
        cause, key = texts.explain(change.language, error), "drop-failed"
        text = texts.say(change.language, "migration-drop-failed", cause=cause)
        async with shop.database.session() as session:
            args, lock = {"deployment": deployment_id}, locks.of_deployment(deployment_id)
            dead = jobs.Dead(task="confirmed", args=args, lock=lock, tries=1, cause=str(error))
            await letters.keep_job(session, dead, subject=change.subject, redactor=shop.redactor)
    async with shop.database.session() as session:
        await _say(session, change, text, f"change:{change.id}:{deployment.id}:{key}")


async def _is_last(shop: Workshop, deployment: Deployment) -> bool:
    """Whether nothing was deployed for the same change after it."""
    query = select(func.max(col(Deployment.id))).where(col(Deployment.change_id) == deployment.change_id)
    async with shop.database.session() as session:
        return (await session.execute(query)).scalar_one() == deployment.id


async def _tell_deployed(shop: Workshop, change: Change, deployment: Deployment, leaving: Leaving) -> Change:
    seconds = (deployment.finished_at - deployment.requested_at).total_seconds() if deployment.finished_at else 0.0
    notes = [*await _which(shop, change), *await _switched_off(shop, change)]
    async with leaving(change.lane) as gone, shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(
            update={
                "state": ChangeState.DEPLOYED,
                "buttons": {name: data for name, data in current.buttons.items() if name in cards.SHOWING},
                "stages": current.stages | {"deploying": round(seconds, 2)},
            }
        )
        await shop.ledger.write(session, changed)
        notes += _gone(change, gone, change.language)
        said = "\n\n".join([texts.say(change.language, "deployed"), *notes])
        told = Reply(text=said, plain=True, buttons=_talk_to(change))
        await outbox.put(session, change.lane, told, key=f"change:{change.id}:{deployment.id}:deployed")
        made = [part.name for part in changed.plan.create if part.kind == "agent"] if changed.plan else []
        await visibility.give(session, made, owner=change.user_id)
        audit.record(session, "deployed", subject=change.subject, commit=deployment.commit)
    return changed


async def _which(shop: Workshop, change: Change) -> list[str]:
    """Which change it is that was deployed, where it is not the only one in its chat that could be."""
    others = [other for other in await shop.ledger.open_changes() if other.id != change.id]
    is_alone = not any(other.lane == change.lane for other in others) and not await shop.database.run(
        _LATELY, {"change": change.id, "chat": change.chat_id, "topic": change.topic_id}
    )
    if change.plan is None or is_alone:
        return []
    return [texts.say(change.language, "deployed-which", change=change.id, summary=change.plan.understood)]


async def _switched_off(shop: Workshop, change: Change) -> list[str]:
    """What there is to say of the agents that nobody can speak to, although the change about them serves."""
    configs = await shop.configs.all()
    agents = change.plan.agents if change.plan else ()
    off = [agent for agent in agents if agent in configs and not configs[agent].enabled]
    return [texts.say(change.language, "agent-off", title=agent, agent=agent) for agent in off]


def _talk_to(change: Change) -> tuple[tuple[Button, ...], ...]:
    """A button for each agent that was made: the chat is still the Mechanic's."""
    made = [part for part in change.plan.create if part.kind == "agent"] if change.plan else []
    buttons = [
        Button(text=f"{part.emoji} {texts.subject(part.title) or part.name}"[:60], data=f"{CHOOSE_AGENT}{part.name}")
        for part in made
    ]
    return tuple((button,) for button in buttons)


async def _take_back(shop: Workshop, change: Change, deployment: Deployment, leaving: Leaving) -> Change:
    """The new version failed, at once or while it was watched: main gets a revert, and the owner the cause."""
    cause = shop.redactor.text(deployment.cause or "?")
    say, language = texts.say, change.language
    stuck = [texts.explain(language, error) for error in await migrate.taken_back(shop, change)]
    reverted, refusal = deployment.commit, None
    try:
        async with shop.merging:
            reverted = await shop.forge.revert(deployment.commit, reason=f"The new version did not hold: {cause}")
    except errors.ForgeError as error:
        refusal = error  # the old version serves all the same; the owner is told now, not when GitHub is there again
    came_along = await _came_along(shop, deployment, reverted)
    await remarks.leave(shop, change, f"Taken back: {cause}")
    async with leaving(change.lane) as gone, shop.ledger.changing(change.id) as (session, current):
        if current.state not in SHIPPED:
            return current  # rolled back by somebody meanwhile, which is told by the end of that
        was_serving = current.state is ChangeState.DEPLOYED
        failed, returned = ("deploy-failed", "deploy-failed-card"), ("deploy-returned", "deploy-returned-card")
        key, on_card = returned if was_serving else failed
        fields = {
            "state": ChangeState.FAILED,
            "left_on_main": reverted == deployment.commit,
            "error": say(language, on_card),
            "buttons": approvals.issue(session, current, ("retry", "abort")),
        }
        changed = await shop.ledger.write(session, current.model_copy(update=fields))
        if came_along:
            await shop.deployer.request(session, commit=reverted, change_id=None)
        outcome = functools.partial(_outcome, key, cause, refusal)
        said = "\n\n".join([outcome(language), *_gone(change, gone, language), *stuck])
        await _say(session, change, said, f"change:{change.id}:{deployment.id}:failed")
        action = "taken back" if was_serving else "deployed"
        audit.record(session, action, subject=change.subject, commit=reverted, outcome="failed", cause=cause)
        if was_serving:
            key = f"change:{change.id}:{deployment.id}:told"
            await contacts.tell(shop, session, outcome, key=key, besides=change.chat_id)
    return changed


def _outcome(key: str, cause: str, refusal: errors.ForgeError | None, language: Language) -> str:
    """That a version did not hold, and whether main is without it again."""
    of_main = texts.say(language, "revert-made")
    if refusal is not None:
        of_main = texts.say(language, "revert-stuck", cause=texts.explain(language, refusal))
    return "\n\n".join([texts.say(language, key, cause=cause), of_main])


async def _came_along(shop: Workshop, deployment: Deployment, reverted: str) -> bool:
    """Whether the version that serves, or is about to, was merged on top of one that is taken back, and holds it."""
    query = (
        select(col(Deployment.commit))
        .where(col(Deployment.id) > deployment.id, col(Deployment.state) != "failed")
        .order_by(col(Deployment.id).desc())
        .limit(1)
    )
    async with shop.database.session() as session:
        newest = (await session.execute(query)).scalar_one_or_none()
    if newest is None or reverted == deployment.commit:
        return False
    repository = shop.repository
    try:
        await repository.main()
        return await repository.holds(newest, deployment.commit) and not await repository.holds(newest, reverted)
    except errors.GitError as error:
        log.warning("whether a later version holds what is taken back is not known", cause=str(error))
        return False


async def _answer_again(shop: Workshop, deployment: Deployment) -> None:
    """The version that serves again answers what the one that was taken back could not."""
    await Inbox(shop.database).again(deployment.requested_at)


def _gone(change: Change, name: str | None, language: Language) -> list[str]:
    """What there is to say where a chat talked to an agent that is not there any more."""
    if name is None:
        return []
    made = change.plan.create if change.plan else ()
    titles = [part.title for part in made if part.kind == "agent" and part.name == name and part.title]
    return [texts.say(language, "agent-gone", title=titles[0] if titles else name.replace("_", " ").title())]


async def _tell_rollback(shop: Workshop, change: Change, deployment: Deployment, leaving: Leaving) -> None:
    """Tell whoever asked for a rollback how it ended, where and in the language in which they did."""
    serving = deployment.state in ("serving", "confirmed")
    key = "rollback-done" if serving else "rollback-stuck"
    notice, lane, language = change.rollback_notice, change.lane, change.language
    if notice is not None:
        lane, language = notice.lane, notice.language
    text = texts.say(language, key, change=change.id, cause=deployment.cause or "")
    stuck = [texts.explain(language, error) for error in await migrate.taken_back(shop, change)] if serving else []
    async with leaving(lane) as gone, shop.ledger.changing(change.id) as (session, current):
        # Where it did not start, it can be asked for again.
        state = ChangeState.ROLLED_BACK if serving else ChangeState.DEPLOYED
        if current.state is not state:
            await shop.ledger.write(session, current.model_copy(update={"state": state}))
        told = Reply(text="\n\n".join([text, *_gone(change, gone, language), *stuck]), plain=True)
        await outbox.put(session, lane, told, key=f"change:{change.id}:{deployment.id}:rollback")


async def _end_rollbacks(shop: Workshop, deployment: Deployment, leaving: Leaving) -> None:
    """Tell of what was rolled back before, in a version that did not start, and has gone with one that has held."""
    assert deployment.id is not None
    mine = aliased(Deployment)
    merge = col(ChangeRow.body)["merge_commit"].as_string()
    # Older than its merge are the attempts that failed before that one; what failed after it is a rollback.
    merged = (
        select(func.max(col(mine.id)))
        .where(col(mine.change_id) == col(ChangeRow.id), col(mine.commit) == merge)
        .correlate(ChangeRow)
        .scalar_subquery()
    )
    async with shop.database.session() as session:
        found = await session.execute(
            select(col(Deployment.change_id), col(Deployment.commit))
            .join(ChangeRow, col(ChangeRow.id) == col(Deployment.change_id))
            .where(
                col(Deployment.id) < deployment.id,
                col(Deployment.id) > merged,
                col(Deployment.state) == "failed",
                col(Deployment.commit) != merge,
                col(ChangeRow.state) == ChangeState.DEPLOYED,
            )
            .order_by(col(Deployment.id))
        )
        stuck = found.all()
    try:
        if stuck:
            await shop.repository.main()  # which fetches it, should this be another machine than the one that merged
        for number, commit in stuck:
            assert number is not None
            if await shop.repository.holds(deployment.commit, commit):
                await _tell_rollback(shop, await shop.ledger.get(number), deployment, leaving)
    except errors.GitError as error:  # the next version that holds looks again
        log.warning("what was rolled back could not be looked at", cause=str(error))


async def _say(session: AsyncSession, change: Change, text: str, key: str) -> None:
    await outbox.put(session, change.lane, Reply(text=text, plain=True), key=key)
