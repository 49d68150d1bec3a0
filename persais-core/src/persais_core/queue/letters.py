"""The dead letters: what kept failing, set aside so that the rest goes on.

A turn, a message, a job of a change or a migration that failed twice would hold up everything behind it. It becomes a
letter with its cause instead, and an admin puts it back or drops it. Putting back happens once: the letter and the job
change in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core import audit, errors
from persais_core.db.tables.chats import Outgoing, Turn
from persais_core.db.tables.sending import DeadLetter
from persais_core.domain.chats import storable
from persais_core.domain.tasks import Task
from persais_core.queue import jobs, locks
from persais_core.security.redact import Redactor

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

MAX_CAUSE = 500  # characters
MAX_SUBJECT = 200  # characters

KINDS: Mapping[Task, str] = {
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
"""What each task of the queue works on; one that another version knows is a `job`."""


class LetterError(errors.PersaisError):
    """There is no such letter that waits, or it cannot be put back. Nothing was changed."""


async def keep(
    session: AsyncSession,
    kind: str,
    *,
    subject: str,
    cause: str,
    redactor: Redactor,
    payload: Mapping[str, Any] | None = None,
    tries: int = 1,
    state: str = "waiting",
) -> int:
    """Set something aside; of a subject that waits here already, the cause and the tries are renewed.

    Args:
        session: the transaction in which it stops being worked on.
        kind: see `db.tables.sending.DeadLetter`.
        subject: names it among its kind.
        cause: what went wrong; secrets are taken out.
        redactor: knows the secrets of this bot.
        payload: what putting it back takes.
        tries: how often it was tried.
        state: `dropped` for what nobody can do anything about, so that it is only on record.

    Returns:
        The number of the letter.
    """
    cause = storable(redactor.text(cause))[:MAX_CAUSE]
    row = insert(DeadLetter).values(
        kind=kind,
        subject=subject,
        cause=cause,
        payload=dict(payload or {}),
        tries=tries,
        state=state,
        ended_at=None if state == "waiting" else datetime.now(UTC),
    )
    found = await session.execute(
        row.on_conflict_do_update(
            index_elements=["kind", "subject"],
            index_where=text("state = 'waiting'"),
            set_={"cause": row.excluded.cause, "tries": row.excluded.tries, "at": func.now()},
        ).returning(col(DeadLetter.id))
    )
    number = int(found.scalar_one() or 0)
    log.warning("set aside", letter=number, kind=kind, subject=subject, cause=cause)
    return number


async def keep_job(session: AsyncSession, dead: jobs.Dead, *, redactor: Redactor, subject: str | None = None) -> int:
    """Set a job aside, to be put back as it was; see `keep`.

    Args:
        subject: None: the task and its arguments, see `subject_of`.
    """
    return await keep(
        session,
        KINDS.get(dead.task, "job"),
        subject=subject or subject_of(dead),
        cause=dead.cause,
        redactor=redactor,
        payload={"task": dead.task, "args": dict(dead.args), "lock": dead.lock},
        tries=dead.tries,
    )


def subject_of(dead: jobs.Dead) -> str:
    """What names a job among its kind."""
    return " ".join([dead.task, *(str(value) for value in dead.args.values())])[:MAX_SUBJECT]


async def waiting(session: AsyncSession, limit: int = 20) -> Sequence[DeadLetter]:
    """The letters that wait for an admin, oldest first."""
    found = await session.execute(
        select(DeadLetter).where(col(DeadLetter.state) == "waiting").order_by(col(DeadLetter.id)).limit(limit)
    )
    return found.scalars().all()


async def retry(session: AsyncSession, number: int, *, actor: int | None) -> DeadLetter:
    """Put what a letter holds back in its lane, once.

    Args:
        number: of the letter.
        actor: who asked for it.

    Raises:
        LetterError: no such letter waits, or there is nothing to put back.
    """
    letter = await _taken(session, number)
    payload = letter.payload
    if (sent := payload.get("outbox")) is not None:
        again = {"state": "queued", "attempts": 0, "error": None}
        rows = await session.execute(
            update(Outgoing)
            .where(col(Outgoing.id) == sent, col(Outgoing.state) == "failed")
            .values(again)
            .returning(col(Outgoing.chat_id))
        )
        for chat in rows.scalars():
            await jobs.defer(session, "deliver", lock=locks.of_sending(chat), chat=chat)
    elif (task := payload.get("task")) is not None:
        if task == "turn":
            await session.execute(
                update(Turn)
                .where(col(Turn.id) == payload["args"]["turn"], col(Turn.state) == "dead")
                .values(state="working", finished_at=None)  # as it was: nothing more joins it
            )
        await jobs.defer(session, task, lock=payload.get("lock"), **payload["args"])
    else:
        raise LetterError(f"dead letter {number} can only be dropped", key="dead-only-drop", letter=number)
    _end(session, letter, "retried", actor)
    return letter


async def drop(session: AsyncSession, number: int, *, actor: int | None) -> DeadLetter:
    """Let a letter go: what it holds is not tried again, and stays on record.

    Raises:
        LetterError: no such letter waits.
    """
    letter = await _taken(session, number)
    _end(session, letter, "dropped", actor)
    return letter


async def _taken(session: AsyncSession, number: int) -> DeadLetter:
    letter = await session.get(DeadLetter, number, with_for_update=True) if 0 < number < 2**63 else None
    if letter is None or letter.state != "waiting":
        raise LetterError(f"no dead letter {number} is waiting", key="dead-unknown", letter=number)
    return letter


def _end(session: AsyncSession, letter: DeadLetter, state: str, actor: int | None) -> None:
    letter.state, letter.ended_at = state, datetime.now(UTC)
    subject = f"dead letter {letter.id}"
    audit.record(session, f"dead letter {state}", actor=actor, subject=subject, kind=letter.kind, about=letter.subject)
