"""The worker's side of the inbox: a stored update or turn is authorised, answered and marked done.

The answer and the mark are one transaction. Whoever speaks is asked for their standing here and nowhere else, before
anything is done with what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from persais_core import texts
from persais_core.channels.base import Channel, Incoming
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn as TurnRow
from persais_core.domain.chats import Lane, Language, Message, Reply, Turn, User
from persais_core.mechanic import approve
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator import commands
from persais_core.orchestrator.graph import Orchestrator
from persais_core.queue import outbox
from persais_core.queue.inbox import CHOOSE_AGENT, Inbox
from persais_core.security.access import Access, Claim, Standing

log = structlog.get_logger(__name__)

TYPING_EVERY = 4.0  # seconds; Telegram shows it for five


class Dispatch:
    """Works on what the inbox holds; its methods are the queue's jobs."""

    def __init__(
        self,
        *,
        database: Database,
        channel: Channel,
        access: Access,
        orchestrator: Orchestrator,
        ledger: Ledger,
        facts: Callable[[Language], Awaitable[commands.Facts]],
    ) -> None:
        self._database, self._channel, self._access = database, channel, access
        self._orchestrator, self._ledger, self._facts = orchestrator, ledger, facts
        self._inbox = Inbox(database)

    async def turn(self, turn: int) -> None:
        """Answer a turn."""
        async with self._database.session() as session:
            row = await session.get(TurnRow, turn)
        if row is None or row.state != "waiting":
            return
        incoming = await self._load(turn=turn)
        if incoming is None or incoming.user is None or incoming.lane is None:
            await self._done(turn, (), Lane(chat_id=row.chat_id, topic_id=row.topic_id))
            return
        user, refusal = await self._authorised(incoming, incoming.user)
        if user is None:
            await self._done(turn, refusal, incoming.lane)
            return
        message = incoming.message or Message(text=_chosen(incoming))
        if incoming.press:
            await self._channel.answer_press(incoming.press.id)
        value = Turn(id=turn, lane=incoming.lane, user=user, message=message)
        async with self._typing(incoming.lane):
            try:
                replies = await self._command(value) or await self._orchestrator.answer(value)
            except (DBAPIError, psycopg.Error):
                raise  # the database comes back, and the queue tries again
            except Exception as error:  # a bug of ours: tried again it would only hold up the lane
                log.exception("a turn broke", turn=turn, error_type=type(error).__name__)
                replies = (Reply(text=texts.say(user.language, "unexpected"), plain=True),)
        await self._done(turn, replies, incoming.lane)

    async def urgent(self, update: int) -> None:
        """Act on a tap or an emergency command, beside the lane."""
        incoming = await self._load(update=update)
        if incoming is None or incoming.user is None or incoming.lane is None:
            return
        user, refusal = await self._authorised(incoming, incoming.user)
        if incoming.press is not None:
            if user is None:
                tapped = approve.Tapped(note=texts.say(incoming.user.language, "stranger"), alert=True)
            else:
                tapped = await approve.press(
                    self._database, self._ledger, user=user, lane=incoming.lane, data=incoming.press.data
                )
            await self._channel.answer_press(incoming.press.id, tapped.note, alert=tapped.alert)
            return
        replies = refusal
        if user is not None and incoming.message is not None:
            value = Turn(id=0, lane=incoming.lane, user=user, message=incoming.message)
            replies = await self._command(value) or (Reply(text=texts.say(user.language, "not-yet"), plain=True),)
        async with self._database.session() as session:
            for number, reply in enumerate(replies):
                await outbox.put(session, incoming.lane, reply, key=f"update:{update}:{number}")

    async def _load(self, *, turn: int | None = None, update: int | None = None) -> Incoming | None:
        payloads = await self._inbox.payloads(turn=turn, update=update)
        return parse(payloads[0][1], bot_id=payloads[0][0]) if payloads else None

    async def _authorised(self, incoming: Incoming, user: User) -> tuple[User | None, tuple[Reply, ...]]:
        """The user with their rights, or None and what a stranger is told, once."""
        standing = await self._access.standing(user)
        if standing is not Standing.STRANGER:
            return user.model_copy(update={"is_admin": standing is Standing.ADMIN}), ()
        text = incoming.message.text if incoming.message else ""
        if text.partition(" ")[0].partition("@")[0].lower() == "/claim":
            return None, (await self._claim(user, text),)
        if await self._access.refuse(user):
            name = "stranger-claimable" if await self._access.is_claimable() else "stranger"
            return None, (Reply(text=texts.say(user.language, name), plain=True),)
        return None, ()

    async def _claim(self, user: User, text: str) -> Reply:
        result = await self._access.claim(user, text.partition(" ")[2])
        log.info("claim", user=user.id, result=result.value)
        return Reply(text=texts.say(user.language, f"claim-{result.value}"), plain=result is not Claim.ACCEPTED)

    async def _command(self, turn: Turn) -> tuple[Reply, ...] | None:
        """The answer to a built-in command; None when it is none."""
        text, registry, user = turn.message.text, self._orchestrator.registry, turn.user
        match text.partition(" ")[0].partition("@")[0].lower():
            case "/start":
                return (commands.start(user, registry),)
            case "/help":
                return (commands.help_text(user, registry),)
            case "/agents":
                return (commands.agents(user, registry),)
            case "/status":
                agent = registry.find(await self._orchestrator.agent_of(turn))
                changes = await self._ledger.open_changes() if user.is_admin else []
                return (commands.status(user, await self._facts(user.language), agent, changes),)
            case "/claim":
                return (Reply(text=texts.say(user.language, "claim-closed"), plain=True),)
        return None

    async def _done(self, turn: int, replies: tuple[Reply, ...], lane: Lane) -> None:
        async with self._database.session() as session:
            for number, reply in enumerate(replies):
                await outbox.put(session, lane, reply, key=f"turn:{turn}:{number}")
            row = await session.get_one(TurnRow, turn)
            row.state, row.finished_at = "done", datetime.now(UTC)

    @contextlib.asynccontextmanager
    async def _typing(self, lane: Lane) -> AsyncIterator[None]:
        """Show that an answer is coming, from when it takes a moment until it is there."""

        async def show() -> None:
            await asyncio.sleep(0.3)  # an answer that is there at once needs no dots
            while True:
                await self._channel.typing(lane)
                await asyncio.sleep(TYPING_EVERY)

        task = asyncio.create_task(show())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _chosen(incoming: Incoming) -> str:
    """A tap that chooses an agent says the same as its command."""
    return f"/{incoming.press.data.removeprefix(CHOOSE_AGENT)}" if incoming.press else ""
