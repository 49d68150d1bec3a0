"""Where everything that the bot says goes out.

A reply is stored under a key before it is sent, in the transaction of what caused it; a second try with the same key
changes nothing. One job at a time sends to one chat, oldest message first. A card is a message whose text is put
again: it is edited in the chat, and versions that were overtaken are never sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import case, func, select, update
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


async def key_of(session: AsyncSession, chat_id: int, message_id: int) -> str | None:
    """Under which key a message that stands in a chat was sent, or None when it is not one of ours."""
    found = await session.execute(
        select(col(Outgoing.key)).where(
            col(Outgoing.chat_id) == chat_id, col(Outgoing.message_ids).contains([message_id])
        )
    )
    return found.scalars().first()


async def _wake(session: AsyncSession, chat_id: int, delay: float = 0.0) -> None:
    await jobs.defer(session, "deliver", lock=f"out:{chat_id}", delay=delay, chat=chat_id)


def _body(reply: Reply) -> dict[str, object]:
    return reply.model_dump(mode="json", exclude_defaults=True)


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
                await self._again(row, str(error), error.seconds)
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
                await self._sent(row, ids)

    async def _attempt(self, row: Outgoing) -> list[int]:
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

    async def _next(self, chat: int) -> Outgoing | None:
        """Mark the oldest waiting message as being sent. One found so was in flight when its sender died."""
        async with self._database.session() as session:
            found = await session.execute(
                select(Outgoing)
                .where(col(Outgoing.chat_id) == chat, col(Outgoing.state).in_(("queued", "sending")))
                .order_by(col(Outgoing.id))
                .limit(1)
                .with_for_update()
            )
            row = found.scalar_one_or_none()
            if row is not None:
                row.state = "sending"
                row.attempts += 1
        return row

    async def _sent(self, row: Outgoing, ids: list[int]) -> None:
        async with self._database.session() as session:
            await session.execute(
                update(Outgoing)
                .where(col(Outgoing.id) == row.id)
                .values(
                    message_ids=ids,
                    sent_at=func.now(),
                    error=None,
                    state=case((col(Outgoing.version) == row.version, "sent"), else_="queued"),
                )
            )

    async def _again(self, row: Outgoing, cause: str, seconds: float) -> None:
        log.info("sending must wait", chat_id=row.chat_id, cause=cause, seconds=seconds)
        async with self._database.session() as session:
            await session.execute(
                update(Outgoing).where(col(Outgoing.id) == row.id).values(state="queued", error=cause)
            )
            await _wake(session, row.chat_id, seconds)

    async def _give_up(self, row: Outgoing, cause: str) -> None:
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
