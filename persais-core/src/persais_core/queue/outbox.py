"""Where everything that the bot says goes out.

A reply is stored under a key before it is sent, in the transaction of what caused it; a second try with the same key
changes nothing. One job at a time sends to one chat, oldest message first. A card is a message whose text is put
again: it is edited in the chat, and versions that were overtaken are never sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import case, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core import errors
from persais_core.channels.base import BlockedError, Channel, FloodError, RejectedError
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Outgoing
from persais_core.domain.chats import Lane, Reply
from persais_core.queue import jobs

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
LONGEST_PAUSE = 60.0  # seconds

_END_TURN = (
    "update persais.turns set state = %(state)s, agent = %(agent)s, finished_at = now() "
    "where id = %(turn)s returning id"
)
_DELIVER = jobs.job("'deliver'", lock="'out:' || %(chat)s", args="jsonb_build_object('chat', %(chat)s::bigint)")
_ANSWER = (
    f"with ended as ({_END_TURN}), "
    "said as (insert into persais.outbox (key, chat_id, topic_id, body, version, state, attempts) "
    "select format('turn:%%s:%%s', %(turn)s::bigint, number - 1), %(chat)s, %(topic)s, body, 1, 'queued', 0 "
    "from unnest(%(bodies)s::jsonb[]) with ordinality as reply(body, number) order by number on conflict do nothing) "
    f"select {_DELIVER} from ended"
)
_NEXT = (
    "update persais.outbox set state = 'sending', attempts = attempts + 1 where id = "
    "(select id from persais.outbox where chat_id = %(chat)s and state in ('queued', 'sending') "
    "order by id limit 1 for update) "
    "returning id, key, chat_id, topic_id, body, version, message_ids, attempts"
)
_SENT = (
    "update persais.outbox set message_ids = %(message_ids)s, sent_at = now(), error = null, "
    "state = case when version = %(version)s then 'sent' else 'queued' end where id = %(id)s "
    "returning state = 'queued' or exists(select from persais.outbox as other where other.chat_id = outbox.chat_id "
    "and other.state in ('queued', 'sending') and other.id != outbox.id) as more"
)


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
            body=_body(reply),
            version=1,
            state="queued",
            attempts=0,
        )
        .on_conflict_do_nothing()
    )
    await _wake(session, lane.chat_id)


async def show(session: AsyncSession, lane: Lane, reply: Reply, *, key: str) -> None:
    """Show a card, or change the one that has this key already."""
    row = insert(Outgoing).values(
        key=key, chat_id=lane.chat_id, topic_id=lane.topic_id, body=_body(reply), version=1, state="queued", attempts=0
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "body": row.excluded.body,
                "version": col(Outgoing.version) + 1,
                "attempts": 0,
                # One that is being sent stays so; its sender sees the new version and queues it again.
                "state": case((col(Outgoing.state) == "sending", "sending"), else_="queued"),
            },
            where=col(Outgoing.body) != row.excluded.body,
        )
    )
    await _wake(session, lane.chat_id)


async def answer(
    database: Database, turn: int, lane: Lane, replies: Sequence[Reply], *, agent: str | None, failed: bool
) -> None:
    """Say the replies to a turn and mark it as answered: one statement, so it is both or neither.

    Args:
        turn: its number; its replies have the keys `turn:<number>:0` and so on.
        agent: name of the one that answered, if any.
        failed: its own code raised instead.
    """
    values: dict[str, Any] = {"turn": turn, "state": "failed" if failed else "done", "agent": agent}
    if replies:
        bodies = [Jsonb(_body(reply)) for reply in replies]
        values |= {"chat": lane.chat_id, "topic": lane.topic_id, "bodies": bodies}
    await database.run(_ANSWER if replies else _END_TURN, values)


async def key_of(session: AsyncSession, chat_id: int, message_id: int) -> str | None:
    """Under which key a message that stands in a chat was sent, or None when it is not one of ours."""
    found = await session.execute(
        select(col(Outgoing.key)).where(
            col(Outgoing.chat_id) == chat_id, col(Outgoing.message_ids).contains([message_id])
        )
    )
    return found.scalars().first()


async def is_put(session: AsyncSession, key: str) -> bool:
    """Whether something was said under a key."""
    found = await session.execute(select(col(Outgoing.id)).where(col(Outgoing.key) == key))
    return found.first() is not None


async def _wake(session: AsyncSession, chat_id: int, delay: float = 0.0) -> None:
    await jobs.defer(session, "deliver", lock=f"out:{chat_id}", delay=delay, chat=chat_id)


def _body(reply: Reply) -> dict[str, object]:
    body = reply.model_dump(mode="json", exclude_defaults=True)
    # An agent may say anything, also what Postgres cannot store; that must not cost the whole answer.
    body["text"] = reply.text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return body


@dataclass(frozen=True)
class _Row:
    """A message that is being sent; see `db.tables.chats.Outgoing`."""

    id: int
    key: str
    chat_id: int
    topic_id: int
    body: dict[str, Any]
    version: int
    message_ids: list[int]
    attempts: int


class Outbox:
    """Sends what is stored for a chat."""

    def __init__(self, database: Database, channel: Channel) -> None:
        self._database, self._channel = database, channel

    async def deliver(self, chat: int) -> None:
        """Send all that waits for one chat, in order; the job of that chat's lock."""
        while (row := await self._next(chat)) is not None:
            try:
                ids = await self._attempt(row)
            except FloodError as error:
                await self._again(row, str(error), error.seconds, sent=error.sent)
                return
            except (BlockedError, RejectedError) as error:
                await self._give_up(row, str(error))
            except errors.ChannelError as error:
                if row.attempts >= MAX_ATTEMPTS:
                    await self._give_up(row, str(error))
                else:
                    await self._again(row, str(error), min(LONGEST_PAUSE, 0.5 * 2**row.attempts))
                    return
            else:
                if not await self._sent(row, ids):
                    return

    async def _attempt(self, row: _Row) -> list[int]:
        """Send or edit a message; raises as the channel does."""
        lane = Lane(chat_id=row.chat_id, topic_id=row.topic_id)
        reply = Reply.model_validate(row.body)
        try:
            return await self._put(lane, row.message_ids, reply)
        except RejectedError as error:
            cause = str(error)
        # Refused: perhaps for its formatting or a button's link, so once more as nothing but text.
        bare = Reply(text=reply.text, plain=True, buttons=tuple(tuple(b for b in r if b.data) for r in reply.buttons))
        is_gone = "not found" in cause or "can't be edited" in cause
        log.warning("refused, so sent as plain text", chat_id=row.chat_id, cause=cause)
        return await self._put(lane, [] if is_gone else row.message_ids, bare)

    async def _put(self, lane: Lane, message_ids: list[int], reply: Reply) -> list[int]:
        if message_ids:
            return await self._channel.edit(lane, message_ids, reply)
        return await self._channel.send(lane, reply)

    async def _next(self, chat: int) -> _Row | None:
        """Mark the oldest waiting message as being sent. One found so was in flight when its sender died."""
        for row in await self._database.run(_NEXT, {"chat": chat}):
            return _Row(**row)
        return None

    async def _sent(self, row: _Row, ids: list[int]) -> bool:
        """Note that a message is out; returns whether more waits. What comes after that brings a job of its own."""
        values = {"id": row.id, "version": row.version, "message_ids": ids}
        return any(found["more"] for found in await self._database.run(_SENT, values))

    async def _again(self, row: _Row, cause: str, seconds: float, *, sent: list[int] | None = None) -> None:
        """Try once more later; pieces that are out already are only edited then, and the rest is sent after them."""
        log.info("sending must wait", chat_id=row.chat_id, cause=cause, seconds=seconds)
        async with self._database.session() as session:
            await session.execute(
                update(Outgoing)
                .where(col(Outgoing.id) == row.id)
                .values(state="queued", error=cause, message_ids=sent or row.message_ids)
            )
            await _wake(session, row.chat_id, seconds)

    async def _give_up(self, row: _Row, cause: str) -> None:
        log.warning("a message could not be sent", chat_id=row.chat_id, key=row.key, cause=cause)
        async with self._database.session() as session:
            await session.execute(
                update(Outgoing).where(col(Outgoing.id) == row.id).values(state="failed", error=cause, sent_at=None)
            )

    async def start_over(self) -> None:
        """Wake every chat that something waits for; for the start, after a kill between two jobs."""
        async with self._database.session() as session:
            chats = await session.execute(
                select(col(Outgoing.chat_id)).where(col(Outgoing.state).in_(("queued", "sending"))).distinct()
            )
            for chat in chats.scalars():
                await _wake(session, chat)
