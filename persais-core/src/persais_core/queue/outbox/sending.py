"""What is sent: one message of a chat after the other, each noted as being in flight before it is.

A message that cannot be sent now is tried again later and holds up its own chat only; one that never can is set aside,
and whoever waits for it is told. While the chat service is away as a whole (`outage`), nothing is set aside for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import case, select, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from persais_core import errors, texts
from persais_core.channels.base import BlockedError, FloodError, MovedError, RejectedError, Sender, UnsureError
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Outgoing
from persais_core.db.tables.people import Person
from persais_core.domain.chats import Reply
from persais_core.queue import claims, letters
from persais_core.queue.outbox.messages import SET_ASIDE, Claimed, Row, body_of, put, wake
from persais_core.queue.outbox.outage import LONGEST_PAUSE, Outage
from persais_core.queue.pace import limit_of
from persais_core.security.redact import Redactor

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
EDIT_PAUSE = 1.0  # seconds between two edits of one message
LOOK_EVERY = 0.2  # seconds; what is new in a chat goes before an edit that has to wait

_NEXT = (
    "with next as (select id, state = 'sending' as is_doubtful from persais.outbox "
    "where chat_id = %(chat)s and state in ('queued', 'sending') "
    "and (sent_at is null or sent_at <= now() - make_interval(secs => %(edit_pause)s)) "
    "and not exists (select from persais.send_limits where name = %(limit)s and paused_until > now()) "
    "order by sent_at is not null, id limit 1 for update) "
    "update persais.outbox o set state = 'sending', attempts = attempts + 1, "
    "doubts = doubts + (is_doubtful and sent_at is null)::int from next where o.id = next.id "
    "returning o.id, key, chat_id, topic_id, body, version, message_ids, done, attempts"
)
_NOTE = (
    "update persais.outbox set message_ids = %(message_ids)s, "
    "done = case when version = %(version)s then %(done)s else 0 end where id = %(id)s"
)
_PLAIN = "update persais.outbox set body = %(body)s, done = 0 where id = %(id)s and version = %(version)s"
_SENT = (
    "with heard as (update persais.people set blocked_at = null where id = %(chat)s and blocked_at is not null), "
    "sent as (update persais.outbox set message_ids = %(message_ids)s, done = 0, sent_at = now(), error = null, "
    "state = case when version = %(version)s then 'sent' else 'queued' end where id = %(id)s "
    "returning state = 'queued' or exists(select from persais.outbox as other where other.chat_id = outbox.chat_id "
    "and other.state in ('queued', 'sending') and other.id != outbox.id) as more), "
    "over as (delete from procrastinate_jobs where id = %(job)s and not (select more from sent)) select more from sent"
)
# Also one that has become due since `_NEXT` looked: whoever saw none then would leave, and nobody would come for it.
_EDIT_DUE = (
    "select extract(epoch from min(sent_at) - now())::float + %(edit_pause)s as seconds from persais.outbox "
    "where chat_id = %(chat)s and state in ('queued', 'sending') and sent_at is not null "
    "and not exists (select from persais.send_limits where name = %(limit)s and paused_until > now())"
)
_PAUSE = (
    "insert into persais.send_limits (name, paused_until) "
    "values (%(limit)s, now() + make_interval(secs => %(seconds)s)) "
    "on conflict (name) do update set paused_until = excluded.paused_until"
)
_LIFT = "update persais.send_limits set paused_until = null where name = any(%(limits)s)"


class _Then(Enum):
    """What is left to be done in a chat after one message: the next one, nothing, or something later."""

    MORE = "more"
    OVER = "over"
    LATER = "later"


class Outbox:
    """Sends what is stored for a chat.

    Args:
        redactor: takes keys out of why a message could not be sent.
        edit_pause: seconds between two edits of one message.
    """

    def __init__(
        self, database: Database, channel: Sender, redactor: Redactor, *, edit_pause: float = EDIT_PAUSE
    ) -> None:
        self._database, self._channel, self._redactor, self._edit_pause = database, channel, redactor, edit_pause
        self._outage = Outage(channel)

    async def deliver(self, chat: int) -> None:
        """Send all that waits for one chat, in order; the job of that chat's lock."""
        await self._look()
        while True:
            row = await self._next(chat)
            if row is None:
                if not await self._wait_for_edit(chat):
                    return
            elif await self._deal_with(row) is not _Then.MORE:
                return

    async def send(self, claimed: Claimed) -> None:
        """Send an answer at once; what cannot be done here is left to the queue.

        Raises:
            psycopg.Error: not even that could be done; `claims.release` must be called for the turn later.
        """
        try:
            await self._look()
            then = await self._deal_with(claimed.first, claimed.job) if claimed.first else _Then.MORE
            if then is _Then.MORE:
                await self.deliver(claimed.chat)
            if then is not _Then.OVER:
                await claims.finish(self._database, claimed.job)
        except asyncio.CancelledError:
            await asyncio.shield(claims.release(self._database, claimed.turn))
            raise
        except Exception as error:  # as in a job of its own, the queue tries again
            log.exception("an answer was not sent at once", error_type=type(error).__name__)
            await claims.release(self._database, claimed.turn)

    async def _deal_with(self, row: Row, job: int | None = None) -> _Then:
        """Try to send one message.

        Args:
            job: what is over with it, if nothing more waits.
        """
        if self._outage.is_on:
            await self._hold(row, {"attempts": row.attempts - 1})
            return _Then.LATER
        try:
            ids = await self._attempt(row)
        except FloodError as error:
            if not error.is_ours:
                await self._database.run(_PAUSE, {"limit": limit_of(row.chat_id), "seconds": error.seconds})
            await self._again(row, str(error), error.seconds, {"attempts": row.attempts - 1})
        except MovedError as error:
            await self._follow(row, error.chat_id)
        except (BlockedError, RejectedError) as error:
            await self._give_up(row, str(error), is_blocked=isinstance(error, BlockedError))
            return _Then.MORE
        except errors.ChannelError as error:
            return await self._has_failed(row, error)
        except (DBAPIError, psycopg.Error):
            raise  # nothing was learnt about this message; the queue tries again
        except Exception as error:  # a bug of ours: left in the row, it would hold up the chat for ever
            log.exception("a message broke its sender", chat_id=row.chat_id, error_type=type(error).__name__)
            await self._give_up(row, f"{type(error).__name__}: {error}")
            return _Then.MORE
        else:
            return await self._sent(row, ids, job)
        return _Then.LATER

    async def _has_failed(self, row: Row, error: errors.ChannelError) -> _Then:
        """A message was not taken, for no reason that lies in what it is or in its chat."""
        is_unsure = isinstance(error, UnsureError)
        is_away = await self._outage.ask(str(error))
        # One that may have arrived spends its tries all the same, as each of them may show it once more.
        if row.attempts >= MAX_ATTEMPTS and (is_unsure or not is_away):
            await self._give_up(row, str(error))
            return _Then.MORE
        changes = {"doubts": col(Outgoing.doubts) + 1} if is_unsure else {}
        if not is_away:
            await self._lift()
            await self._again(row, str(error), min(LONGEST_PAUSE, 0.5 * 2**row.attempts), changes)
        else:
            spent = row.attempts if is_unsure else row.attempts - 1
            await self._hold(row, {"error": str(error), "attempts": spent, **changes})
        return _Then.LATER

    async def _look(self) -> None:
        """See whether an outage is over."""
        if self._outage.is_on and not await self._outage.ask():
            await self._lift()

    async def _lift(self) -> None:
        """Let the chats that waited for the end of an outage go on at once."""
        held, self._outage.held = self._outage.held, set()
        if not held:
            return
        await self._database.run(_LIFT, {"limits": [limit_of(chat) for chat in held]})
        async with self._database.session() as session:
            for chat in sorted(held):
                await wake(session, chat)

    async def _attempt(self, row: Row) -> list[int]:
        """Send or edit a message; raises as the channel does."""
        reply = Reply.model_validate(row.body)
        ids, done = row.message_ids, row.done

        async def noted(so_far: list[int]) -> None:
            nonlocal ids, done
            ids, done = so_far, done + 1
            await self._database.run(_NOTE, {"id": row.id, "version": row.version, "message_ids": so_far, "done": done})

        try:
            return await self._channel.put(row.lane, reply, ids=ids, done=done, noted=noted)
        except RejectedError as error:
            cause = str(error)
        log.warning("refused, so sent as plain text", chat_id=row.chat_id, cause=cause)
        if any(words in cause for words in ("not found", "can't be edited", "there is no text")):
            ids = []
        # Refused: perhaps for its formatting or a button's link, so from its beginning as nothing but text. It is
        # stored so: as plain text it has other pieces, and whoever goes on with it must count the same ones.
        buttons = tuple(tuple(button for button in line if button.data) for line in reply.buttons)
        bare = reply.model_copy(update={"plain": True, "buttons": buttons})
        done = 0
        await self._database.run(_PLAIN, {"id": row.id, "version": row.version, "body": Jsonb(body_of(bare))})
        return await self._channel.put(row.lane, bare, ids=ids, noted=noted)

    async def _next(self, chat: int) -> Row | None:
        """Mark the next message as being sent. One found so was in flight when its sender died."""
        values = {"chat": chat, "limit": limit_of(chat), "edit_pause": self._edit_pause}
        for row in await self._database.run(_NEXT, values):
            return Row(**row)
        return None

    async def _wait_for_edit(self, chat: int) -> bool:
        """Wait a moment when nothing is left but edits that come too soon; returns whether to look again."""
        values = {"chat": chat, "limit": limit_of(chat), "edit_pause": self._edit_pause}
        [row] = await self._database.run(_EDIT_DUE, values)
        if row["seconds"] is None:
            return False
        await asyncio.sleep(min(LOOK_EVERY, max(row["seconds"], 0.0)))
        return True

    async def _sent(self, row: Row, ids: list[int], job: int | None) -> _Then:
        """Note that a message is out. What comes after that brings a job of its own."""
        values = {"id": row.id, "version": row.version, "message_ids": ids, "chat": row.chat_id, "job": job}
        found = await self._database.run(_SENT, values)
        return _Then.MORE if any(one["more"] for one in found) else _Then.OVER

    async def _again(self, row: Row, cause: str, seconds: float, changes: Mapping[str, Any]) -> None:
        """Try once more later; the pieces that are out already stay as they are."""
        log.info("sending must wait", chat_id=row.chat_id, cause=cause, seconds=seconds)
        await self._put_back(row, seconds, {"error": cause, **changes})

    async def _hold(self, row: Row, changes: Mapping[str, Any]) -> None:
        """Leave a message as it is while nothing can be sent at all.

        Its chat is paused: what else is said there meanwhile asks whether the outage is over, and brings no job that
        would come again and again beside the one that does.
        """
        self._outage.held.add(row.chat_id)
        seconds = self._outage.pause
        await self._database.run(_PAUSE, {"limit": limit_of(row.chat_id), "seconds": seconds})
        await self._put_back(row, seconds, changes)

    async def _put_back(self, row: Row, seconds: float, changes: Mapping[str, Any]) -> None:
        async with self._database.session() as session:
            values = {"state": "queued", **changes}
            await session.execute(update(Outgoing).where(col(Outgoing.id) == row.id).values(values))
            await wake(session, row.chat_id, seconds)

    async def _follow(self, row: Row, chat_id: int) -> None:
        """The chat goes on under another id: what waits for it goes there, in its order."""
        log.info("a chat has moved", chat_id=row.chat_id, moved_to=chat_id)
        async with self._database.session() as session:
            await session.execute(
                update(Outgoing)
                .where(col(Outgoing.chat_id) == row.chat_id, col(Outgoing.state).in_(("queued", "sending")))
                # The messages that stand in the old chat cannot be edited any more.
                .values(chat_id=chat_id, state="queued", message_ids=[], done=0, sent_at=None, attempts=0)
            )
            await wake(session, chat_id)

    async def _give_up(self, row: Row, cause: str, *, is_blocked: bool = False) -> None:
        """Set a message aside; whoever waits for it is told so once, unless nothing reaches them."""
        is_over = is_blocked or row.key.startswith(SET_ASIDE)
        async with self._database.session() as session:
            is_newest = col(Outgoing.version) == row.version
            found = await session.execute(
                update(Outgoing)
                .where(col(Outgoing.id) == row.id)
                .values(state=case((is_newest, "failed"), else_="queued"), error=cause)
                .returning(col(Outgoing.state))
            )
            if found.scalar_one() != "failed":
                return  # a newer version came meanwhile, and gets tries of its own
            await letters.keep(
                session,
                "send",
                subject=row.key,
                cause=cause,
                redactor=self._redactor,
                payload={"outbox": row.id},
                tries=row.attempts,
                state="dropped" if is_over else "waiting",
            )
            person = await session.get(Person, row.chat_id)
            if is_blocked and person is not None:
                person.blocked_at = person.blocked_at or datetime.now(UTC)
            if not is_over:
                sentence = texts.say(texts.language_of(person.language if person else None), "set-aside-message")
                await put(session, row.lane, Reply(text=sentence, plain=True), key=f"{SET_ASIDE}{row.key}")

    async def start_over(self) -> None:
        """Wake every chat that something waits for; for the start, after a kill between two jobs."""
        async with self._database.session() as session:
            chats = await session.execute(
                select(col(Outgoing.chat_id)).where(col(Outgoing.state).in_(("queued", "sending"))).distinct()
            )
            for chat in chats.scalars():
                await wake(session, chat)
