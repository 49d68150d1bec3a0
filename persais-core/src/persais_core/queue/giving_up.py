"""What becomes of a job that a worker gives up: it goes to the dead letters, and whoever waits for it is told.

The letter, the state of the turn and the sentence are one transaction. The sentence has a key of its own, so it is said
once, however often an admin puts the job back and sees it fail again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, update
from sqlmodel import col

from persais_core import texts
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.db.tables.evolution import ChangeRow
from persais_core.db.tables.people import Person
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.queue import dead_letters, jobs, outbox
from persais_core.security.redact import Redactor

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

KINDS: Mapping[str, str] = {
    "turn": "turn",
    "urgent": "turn",
    "deliver": "send",
    "change": "change",
    "decide": "change",
    "deployed": "change",
    "confirmed": "migration",
    "rollback": "change",
    "diff": "change",
    "preview": "change",
    "stop_preview": "change",
}
"""What each task of the queue works on; any other is a `job`."""


@dataclass(frozen=True)
class Told:
    """Who waits for something: where, and in which language they are told that it was set aside."""

    lane: Lane
    language: Language


class GivingUp:
    """Takes the jobs that a worker gives up.

    Args:
        redactor: knows the secrets that no cause may show.
    """

    def __init__(self, database: Database, redactor: Redactor) -> None:
        self._database, self._redactor = database, redactor

    async def take(self, dead: jobs.Dead) -> None:
        """Set a job aside and tell whoever waits for it; a `jobs.OnDead`."""
        kind = KINDS.get(dead.task, "job")
        subject = " ".join([dead.task, *(str(value) for value in dead.args.values())])[:200]
        async with self._database.session() as session:
            await dead_letters.keep(
                session,
                kind,
                subject=subject,
                cause=dead.cause,
                payload={"task": dead.task, "args": dict(dead.args), "lock": dead.lock},
                tries=dead.tries,
                redactor=self._redactor,
            )
            if dead.task == "turn":
                await session.execute(
                    update(Turn)
                    .where(col(Turn.id) == dead.args["turn"], col(Turn.state).in_(("waiting", "working")))
                    .values(state="dead", error=self._redactor.text(dead.cause), finished_at=func.now())
                )
            told = await _who_waits(session, dead)
            if told is not None:
                sentence = Reply(text=texts.say(told.language, "set-aside"), plain=True)
                await outbox.put(session, told.lane, sentence, key=f"{outbox.SET_ASIDE}{subject}")


async def _who_waits(session: AsyncSession, dead: jobs.Dead) -> Told | None:
    """Whom a job was for; None where nobody waits for an answer or it cannot be known."""
    args = dead.args
    if dead.task == "turn":
        turn = await session.get(Turn, args["turn"])
        person = await session.get(Person, turn.user_id) if turn else None
        return _told(turn.chat_id, turn.topic_id, person) if turn else None
    if dead.task == "urgent":
        stored = await session.get(Update, args["update"])
        person = await session.get(Person, stored.chat_id) if stored and stored.chat_id else None
        return _told(stored.chat_id, stored.topic_id, person) if stored and stored.chat_id else None
    if "change" in args:
        change = await session.get(ChangeRow, args["change"])
        person = await session.get(Person, change.user_id) if change else None
        return _told(change.chat_id, int(change.body.get("topic_id") or 0), person) if change else None
    if "chat" in args and dead.task != "deliver":
        return _told(args["chat"], args.get("topic", 0), await session.get(Person, args.get("user", args["chat"])))
    return None


def _told(chat: int, topic: int, person: Person | None) -> Told:
    return Told(Lane(chat_id=chat, topic_id=topic), texts.language_of(person.language if person else None))
