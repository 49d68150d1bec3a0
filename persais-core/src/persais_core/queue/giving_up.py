"""What becomes of a job that a worker gives up: it is set aside as a letter, and whoever waits for it is told.

The letter, the state of the turn and the sentence are one transaction. The sentence has a key of its own, so it is said
once, however often an admin puts the job back and sees it fail again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, update
from sqlmodel import col

from persais_core import texts
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.db.tables.evolution import ChangeRow, Deployment
from persais_core.db.tables.people import Person
from persais_core.domain.changes import Change
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.queue import jobs, letters, outbox
from persais_core.queue.intake import Read
from persais_core.security.redact import Redactor

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Waiting:
    """Who waits for something: where, and in which language they are told that it was set aside."""

    lane: Lane
    language: Language


class GivingUp:
    """Takes the jobs that a worker gives up.

    Args:
        redactor: knows the secrets that no cause may show.
        read: what a stored update says.
    """

    def __init__(self, database: Database, redactor: Redactor, *, read: Read) -> None:
        self._database, self._redactor, self._read = database, redactor, read

    async def take(self, dead: jobs.Dead) -> None:
        """Set a job aside and tell whoever waits for it; a `jobs.OnDead`."""
        async with self._database.session() as session:
            await letters.keep_job(session, dead, redactor=self._redactor)
            if dead.task == "turn":
                await session.execute(
                    update(Turn)
                    .where(col(Turn.id) == dead.args["turn"], col(Turn.state).in_(("waiting", "working")))
                    .values(state="dead", error=self._redactor.text(dead.cause), finished_at=func.now())
                )
            if (waiting := await self._who_waits(session, dead)) is not None:
                sentence = Reply(text=texts.say(waiting.language, "set-aside"), plain=True)
                key = f"{outbox.SET_ASIDE}{letters.subject_of(dead)}"
                await outbox.put(session, waiting.lane, sentence, key=key)

    async def _who_waits(self, session: AsyncSession, dead: jobs.Dead) -> Waiting | None:
        """Whom a job was for; None where nobody waits for an answer or it cannot be known."""
        args = dead.args
        match dead.task:
            case "turn":
                return await _asker(session, args["turn"])
            case "urgent":
                return await self._sender(session, args["update"])
            case "change" | "decide":
                return await _owner(session, args["change"])
            case "deployed" | "confirmed":
                return await _deployer(session, args["deployment"])
            case "preview" | "stop_preview" | "diff" | "rollback":
                lane = Lane(chat_id=args["chat"], topic_id=args.get("topic", 0))
                spoken = args.get("language") or await _language(session, args.get("user", lane.chat_id))
                return Waiting(lane, texts.language_of(spoken))
            case (
                _
            ):  # of "deliver" each message is told by itself; of a task that another version knows nothing is known
                return None

    async def _sender(self, session: AsyncSession, number: int) -> Waiting | None:
        """Whoever sent an update; in a group that is not who the chat is named after."""
        stored = await session.get(Update, number)
        if stored is None or stored.chat_id is None:
            return None
        try:
            incoming = self._read(stored.payload)
        except Exception as error:  # it may be what broke the job, and must not keep it from being set aside
            log.exception("an update could not be read", error_type=type(error).__name__)
            incoming = None
        person = incoming.user.id if incoming and incoming.user else stored.chat_id
        lane = Lane(chat_id=stored.chat_id, topic_id=stored.topic_id)
        return Waiting(lane, texts.language_of(await _language(session, person)))


async def _asker(session: AsyncSession, number: int) -> Waiting | None:
    """Whoever waits for the answer to a turn."""
    turn = await session.get(Turn, number)
    if turn is None:
        return None
    lane = Lane(chat_id=turn.chat_id, topic_id=turn.topic_id)
    return Waiting(lane, texts.language_of(await _language(session, turn.user_id)))


async def _owner(session: AsyncSession, number: int) -> Waiting | None:
    """Whoever asked for a change."""
    row = await session.get(ChangeRow, number)
    if row is None:
        return None
    lane = Lane(chat_id=row.chat_id, topic_id=int(row.body.get("topic_id") or 0))
    return Waiting(lane, texts.language_of(await _language(session, row.user_id)))


async def _deployer(session: AsyncSession, number: int) -> Waiting | None:
    """Whoever waits for a deployment: who asked for the change, or who had it taken back."""
    deployment = await session.get(Deployment, number)
    if deployment is None or deployment.change_id is None:
        return None
    row = await session.get(ChangeRow, deployment.change_id)
    change = Change.model_validate(row.body) if row else None
    if change and change.rollback_notice and deployment.commit != change.merge_commit:
        notice = change.rollback_notice
        return Waiting(notice.lane, notice.language)
    return await _owner(session, deployment.change_id)


async def _language(session: AsyncSession, person: int) -> str | None:
    """What somebody speaks; None where they are not known."""
    known = await session.get(Person, person)
    return known.language if known else None
