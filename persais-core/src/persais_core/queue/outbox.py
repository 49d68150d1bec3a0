"""Where everything that the bot says goes out.

A reply is stored under a key before it is sent, in the transaction of what caused it; a second try with the same key
changes nothing. One job at a time sends to one chat, oldest message first. A card is a message whose text is put
again: it is edited in the chat, at most once a second and behind what is new, and versions that were overtaken are
never sent.

Nothing is promised that cannot be kept: sending has no key on the other side, so a message whose sender died, or whose
request got no answer, is sent again and counted as a doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import case, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from persais_core import errors, texts
from persais_core.channels.base import BlockedError, Channel, FloodError, MovedError, RejectedError, UnsureError
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Outgoing
from persais_core.db.tables.people import Person
from persais_core.domain.chats import Lane, Reply
from persais_core.queue import claims, dead_letters, jobs
from persais_core.queue.pace import limit_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
LONGEST_PAUSE = 60.0  # seconds
EDIT_PAUSE = 1.0  # seconds between two edits of one message
LOOK_EVERY = 0.2  # seconds; what is new in a chat goes before an edit that has to wait
SET_ASIDE = "dead:"
"""Start of the key of a sentence that says that something was set aside."""

_END_TURN = (
    "update persais.turns set state = %(state)s, agent = %(agent)s, finished_at = now() "
    "where id = %(turn)s returning id"
)
_DELIVER = jobs.job("'deliver'", lock="'out:' || %(chat)s", args="jsonb_build_object('chat', %(chat)s::bigint)")
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
_EDIT_DUE = (
    "select extract(epoch from min(sent_at) - now())::float + %(edit_pause)s as seconds from persais.outbox "
    "where chat_id = %(chat)s and state in ('queued', 'sending') "
    "and sent_at > now() - make_interval(secs => %(edit_pause)s)"
)
_PAUSE = (
    "insert into persais.send_limits (name, paused_until) "
    "values (%(limit)s, now() + make_interval(secs => %(seconds)s)) "
    "on conflict (name) do update set paused_until = excluded.paused_until"
)
_COUNTS = (
    "select count(*) filter (where state = 'sent') as sent, "
    "count(*) filter (where state in ('queued', 'sending')) as waiting, "
    "count(*) filter (where state = 'failed') as failed, coalesce(sum(doubts), 0)::bigint as doubts from persais.outbox"
)


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
    done: int
    attempts: int

    @property
    def lane(self) -> Lane:
        return Lane(chat_id=self.chat_id, topic_id=self.topic_id)


class _Then(Enum):
    """What is left to be done in a chat after one message: the next one, nothing, or something later."""

    MORE = "more"
    OVER = "over"
    LATER = "later"


@dataclass(frozen=True)
class Claimed:
    """An answer that is the caller's to send; see `claims`."""

    turn: int
    chat: int
    job: int
    first: _Row | None


@dataclass(frozen=True)
class Saying:
    """What is to be said once, for an act that says it in its own transaction; see `put`."""

    lane: Lane
    reply: Reply
    key: str


@dataclass(frozen=True)
class Counts:
    """How many messages are out, wait or failed, and how often one was sent that may have arrived before."""

    sent: int
    waiting: int
    failed: int
    doubts: int


async def counts(database: Database) -> Counts:
    """What became of everything that was ever said."""
    [row] = await database.run(_COUNTS, {})
    return Counts(**row)


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
    await wake(session, lane.chat_id)


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
                "done": 0,
                # One that is being sent stays so; its sender sees the new version and queues it again.
                "state": case((col(Outgoing.state) == "sending", "sending"), else_="queued"),
            },
            where=col(Outgoing.body) != row.excluded.body,
        )
    )
    await wake(session, lane.chat_id)


async def answer(
    database: Database, turn: int, lane: Lane, replies: Sequence[Reply], *, agent: str | None, failed: bool
) -> Claimed | None:
    """Say the replies to a turn and mark it as answered: one statement, so it is both or neither.

    Returns:
        What the caller must hand to `Outbox.send` now; None where the queue sends it, or there is nothing to say.

    Args:
        turn: its number; its replies have the keys `turn:<number>:0` and so on.
        agent: name of the one that answered, if any.
        failed: its own code raised instead.
    """
    values: dict[str, Any] = {"turn": turn, "state": "failed" if failed else "done", "agent": agent}
    if replies:
        bodies = [Jsonb(_body(reply)) for reply in replies]
        values |= {"chat": lane.chat_id, "topic": lane.topic_id, "bodies": bodies, "limit": limit_of(lane.chat_id)}
        values |= {"worker": claims.WORKER.get(), "queue": jobs.QUEUE}
    for found in await database.run(_ANSWER if replies else _END_TURN, values):
        if replies and found["job"] is not None:
            fields = {name: found[name] for name in _Row.__dataclass_fields__}
            return Claimed(turn, lane.chat_id, found["job"], _Row(**fields) if found["key"] is not None else None)
    return None


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


async def wake(session: AsyncSession, chat_id: int, delay: float = 0.0) -> None:
    """Have what waits for a chat sent, in so many seconds."""
    await jobs.defer(session, "deliver", lock=f"out:{chat_id}", delay=delay, chat=chat_id)


def _body(reply: Reply) -> dict[str, object]:
    body = reply.model_dump(mode="json", exclude_defaults=True)
    # An agent may say anything, also what Postgres cannot store; that must not cost the whole answer.
    body["text"] = reply.text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return body


class Outbox:
    """Sends what is stored for a chat.

    Args:
        edit_pause: seconds between two edits of one message.
    """

    def __init__(self, database: Database, channel: Channel, *, edit_pause: float = EDIT_PAUSE) -> None:
        self._database, self._channel, self._edit_pause = database, channel, edit_pause

    async def deliver(self, chat: int) -> None:
        """Send all that waits for one chat, in order; the job of that chat's lock."""
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

    async def _deal_with(self, row: _Row, job: int | None = None) -> _Then:
        """Try to send one message.

        Args:
            job: what is over with it, if nothing more waits.
        """
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
            if row.attempts >= MAX_ATTEMPTS:
                await self._give_up(row, str(error))
                return _Then.MORE
            doubts = {"doubts": col(Outgoing.doubts) + 1} if isinstance(error, UnsureError) else {}
            await self._again(row, str(error), min(LONGEST_PAUSE, 0.5 * 2**row.attempts), doubts)
        except (DBAPIError, psycopg.Error):
            raise  # nothing was learnt about this message; the queue tries again
        except Exception as error:  # a bug of ours: left in the row, it would hold up the chat for ever
            log.exception("a message broke its sender", chat_id=row.chat_id, error_type=type(error).__name__)
            await self._give_up(row, f"{type(error).__name__}: {error}")
            return _Then.MORE
        else:
            return await self._sent(row, ids, job)
        return _Then.LATER

    async def _attempt(self, row: _Row) -> list[int]:
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
        await self._database.run(_PLAIN, {"id": row.id, "version": row.version, "body": Jsonb(_body(bare))})
        return await self._channel.put(row.lane, bare, ids=ids, noted=noted)

    async def _next(self, chat: int) -> _Row | None:
        """Mark the next message as being sent. One found so was in flight when its sender died."""
        values = {"chat": chat, "limit": limit_of(chat), "edit_pause": self._edit_pause}
        for row in await self._database.run(_NEXT, values):
            return _Row(**row)
        return None

    async def _wait_for_edit(self, chat: int) -> bool:
        """Wait a moment when nothing is left but edits that come too soon; returns whether to look again."""
        [row] = await self._database.run(_EDIT_DUE, {"chat": chat, "edit_pause": self._edit_pause})
        if row["seconds"] is None:
            return False
        await asyncio.sleep(min(LOOK_EVERY, max(row["seconds"], 0.0)))
        return True

    async def _sent(self, row: _Row, ids: list[int], job: int | None) -> _Then:
        """Note that a message is out. What comes after that brings a job of its own."""
        values = {"id": row.id, "version": row.version, "message_ids": ids, "chat": row.chat_id, "job": job}
        found = await self._database.run(_SENT, values)
        return _Then.MORE if any(one["more"] for one in found) else _Then.OVER

    async def _again(self, row: _Row, cause: str, seconds: float, changes: Mapping[str, Any]) -> None:
        """Try once more later; the pieces that are out already stay as they are."""
        log.info("sending must wait", chat_id=row.chat_id, cause=cause, seconds=seconds)
        async with self._database.session() as session:
            values = {"state": "queued", "error": cause, **changes}
            await session.execute(update(Outgoing).where(col(Outgoing.id) == row.id).values(values))
            await wake(session, row.chat_id, seconds)

    async def _follow(self, row: _Row, chat_id: int) -> None:
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

    async def _give_up(self, row: _Row, cause: str, *, is_blocked: bool = False) -> None:
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
            await dead_letters.keep(
                session,
                "send",
                subject=row.key,
                cause=cause,
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
