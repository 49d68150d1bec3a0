"""What is said: each message is a row under a key, there once however often it is put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb
from sqlalchemy import ColumnElement, any_, case, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core.db.engine import Database
from persais_core.db.tables.chats import Outgoing
from persais_core.domain.chats import Lane, Reply, storable
from persais_core.queue import claims, jobs, locks
from persais_core.queue.pace import limit_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

SET_ASIDE = "set-aside:"
"""Start of the key of a sentence that says that something was set aside."""

_END_TURN = (
    "update persais.turns set state = %(state)s, agent = %(agent)s, error = %(error)s, finished_at = now() "
    "where id = %(turn)s returning id"
)
_DELIVER = jobs.job("deliver", lock="'out:' || %(chat)s", args="jsonb_build_object('chat', %(chat)s::bigint)")
_ANSWER = (
    f"with ended as ({_END_TURN}), claimed as ({claims.CLAIM}), "
    "said as (insert into persais.outbox (key, chat_id, topic_id, body, version, state, attempts) "
    "select format('turn:%%s:%%s', %(turn)s::bigint, number - 1), %(chat)s, %(topic)s, body, 1, "
    "case when number = 1 and exists (select from claimed) then 'sending' else 'queued' end, "
    "case when number = 1 and exists (select from claimed) then 1 else 0 end "
    "from unnest(%(bodies)s::jsonb[]) with ordinality as reply(body, number) order by number on conflict do nothing "
    "returning id, key, chat_id, topic_id, body, version, message_ids, done, attempts, state) "
    f"select claimed.id as job, case when claimed.id is null then {_DELIVER} end as deferred, said.* "
    "from ended left join claimed on true left join said on said.state = 'sending'"
)
_COUNTS = (
    "select count(*) filter (where state = 'sent') as sent, "
    "count(*) filter (where state in ('queued', 'sending')) as waiting, "
    "count(*) filter (where state = 'failed') as failed, coalesce(sum(doubts), 0)::bigint as doubts, "
    "min(created_at) filter (where state in ('queued', 'sending') and sent_at is null) as since, "
    "(array_agg(error order by id) filter (where state = 'queued' and error is not null))[1] as cause "
    "from persais.outbox"
)


@dataclass(frozen=True)
class Row:
    """A message that is being sent; see `db.tables.chats.Outgoing`."""

    id: int
    key: str
    chat_id: int
    topic_id: int
    body: dict[str, Any]
    version: int
    message_ids: list[int]
    done: int
    attempts: int

    @property
    def lane(self) -> Lane:
        """Where it is said."""
        return Lane(chat_id=self.chat_id, topic_id=self.topic_id)


@dataclass(frozen=True)
class Claimed:
    """An answer that is the caller's to send; see `claims`."""

    turn: int
    chat: int
    job: int
    first: Row | None


@dataclass(frozen=True)
class Counts:
    """How many messages are out, wait or failed, and how often one was sent that may have arrived before.

    Args:
        since: when the oldest of those that wait was put; None: none waits, or only edits do.
        cause: why the oldest of those that were tried in vain still waits.
    """

    sent: int
    waiting: int
    failed: int
    doubts: int
    since: datetime | None
    cause: str | None


async def put(session: AsyncSession, lane: Lane, reply: Reply, *, key: str) -> None:
    """Say something once.

    Args:
        session: the transaction of what caused it.
        key: names this message for ever, such as `turn:12:0`.
    """
    await session.execute(
        insert(Outgoing)
        .values(
            key=key,
            chat_id=lane.chat_id,
            topic_id=lane.topic_id,
            body=body_of(reply),
            version=1,
            state="queued",
            attempts=0,
        )
        .on_conflict_do_nothing()
    )
    await wake(session, lane.chat_id)


async def show(session: AsyncSession, lane: Lane, reply: Reply, *, key: str) -> None:
    """Show a card, or change the one that has this key already."""
    row = insert(Outgoing).values(
        key=key,
        chat_id=lane.chat_id,
        topic_id=lane.topic_id,
        body=body_of(reply),
        version=1,
        state="queued",
        attempts=0,
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "body": row.excluded.body,
                "version": col(Outgoing.version) + 1,
                "attempts": 0,
                "done": 0,
                # One that is being sent stays so; its sender sees the new version and queues it again.
                "state": case((col(Outgoing.state) == "sending", "sending"), else_="queued"),
            },
            where=col(Outgoing.body) != row.excluded.body,
        )
    )
    await wake(session, lane.chat_id)


async def answer(
    database: Database,
    turn: int,
    lane: Lane,
    replies: Sequence[Reply],
    *,
    agent: str | None,
    failed: bool,
    error: str | None = None,
) -> Claimed | None:
    """Say the replies to a turn and mark it as answered: one statement, so it is both or neither.

    Returns:
        What the caller must hand to `Outbox.send` now; None where the queue sends it, or there is nothing to say.

    Args:
        turn: its number; its replies have the keys `turn:<number>:0` and so on.
        agent: name of the one that answered, if any.
        failed: its own code raised instead.
        error: what it raised, without secrets.
    """
    values: dict[str, Any] = {"turn": turn, "state": "failed" if failed else "done", "agent": agent, "error": error}
    if replies:
        bodies = [Jsonb(body_of(reply)) for reply in replies]
        values |= {"chat": lane.chat_id, "topic": lane.topic_id, "bodies": bodies, "limit": limit_of(lane.chat_id)}
        values |= {"worker": claims.WORKER.get(), "queue": jobs.QUEUE}
    for found in await database.run(_ANSWER if replies else _END_TURN, values):
        if replies and found["job"] is not None:
            fields = {name: found[name] for name in Row.__dataclass_fields__}
            return Claimed(turn, lane.chat_id, found["job"], Row(**fields) if found["key"] is not None else None)
    return None


async def key_of(session: AsyncSession, chat_id: int, message_id: int) -> str | None:
    """Under which key a message that stands in a chat was sent, or None when it is not one of ours."""
    found = await session.execute(select(col(Outgoing.key)).where(*_stands(chat_id, message_id)))
    return found.scalars().first()


async def shown(session: AsyncSession, chat_id: int, message_id: int) -> Reply | None:
    """What a message that stands in a chat says now, or None when it is not one of ours."""
    found = await session.execute(select(col(Outgoing.body)).where(*_stands(chat_id, message_id)))
    body = found.scalars().first()
    return Reply.model_validate(body) if body is not None else None


def _stands(chat_id: int, message_id: int) -> tuple[ColumnElement[bool], ...]:
    return col(Outgoing.chat_id) == chat_id, literal(message_id) == any_(col(Outgoing.message_ids))


async def is_put(session: AsyncSession, key: str) -> bool:
    """Whether something was said under a key."""
    found = await session.execute(select(col(Outgoing.id)).where(col(Outgoing.key) == key))
    return found.first() is not None


async def wake(session: AsyncSession, chat_id: int, delay: float = 0.0) -> None:
    """Have what waits for a chat sent, in so many seconds."""
    await jobs.defer(session, "deliver", lock=locks.of_sending(chat_id), delay=delay, chat=chat_id)


def body_of(reply: Reply) -> dict[str, object]:
    """A reply as it is stored."""
    body = reply.model_dump(mode="json", exclude_defaults=True)
    # An agent may say anything, also what Postgres cannot store; that must not cost the whole answer.
    body["text"] = storable(reply.text)
    return body


async def counts(database: Database) -> Counts:
    """What became of everything that was ever said."""
    [row] = await database.run(_COUNTS, {})
    return Counts(**row)
