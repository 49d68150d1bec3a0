"""The worker's side of the inbox: a stored update or turn is authorised, answered and marked done.

The answer and the mark are one transaction. Whoever speaks is asked for their standing here and nowhere else, before
anything is done with what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from persais_core import errors, texts
from persais_core.channels.base import Channel, Incoming, Press
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, Message, Reply, Turn, User
from persais_core.mechanic import approve, diff, rollback, why
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.orchestrator import commands
from persais_core.orchestrator.graph import Answer, Orchestrator
from persais_core.queue import jobs, outbox
from persais_core.queue.inbox import CHOOSE_AGENT, Inbox, Raw
from persais_core.security.access import Access, Claim, Known, Standing

log = structlog.get_logger(__name__)

FIRST_TURNS = 5
TYPING_EVERY = 4.0  # seconds; Telegram shows it for five


class Dispatch:
    """Works on what the inbox holds; its methods are the queue's jobs.

    Args:
        first_turns: filled here: of each agent, how many of its first five turns there were, and how many broke.
    """

    def __init__(
        self,
        *,
        database: Database,
        channel: Channel,
        access: Access,
        orchestrator: Orchestrator,
        ledger: Ledger,
        previews: Previews,
        facts: Callable[[Language], Awaitable[commands.Facts]],
        first_turns: dict[str, tuple[int, int]],
    ) -> None:
        self._database, self._channel, self._access = database, channel, access
        self._orchestrator, self._ledger, self._facts = orchestrator, ledger, facts
        self._inbox, self._previews = Inbox(database), previews
        self._first_turns = first_turns

    def _count(self, answer: Answer) -> None:
        """Watch the first turns of each agent: a new release that breaks in them is taken back."""
        turns, broken = self._first_turns.get(answer.agent, (0, 0))
        if turns < FIRST_TURNS:
            self._first_turns[answer.agent] = (turns + 1, broken + answer.broke)

    async def turn(self, turn: int) -> None:
        """Answer a turn."""
        waiting = await self._inbox.waiting(turn)
        if waiting is None:
            return
        incoming = _parsed(waiting.raw)
        if incoming is None or incoming.user is None or incoming.lane is None:
            await self._done(turn, (), waiting.lane)
            return
        user, refusal = await self._authorised(incoming, incoming.user, waiting.known)
        if user is None:
            await self._done(turn, refusal, incoming.lane)
            return
        message = incoming.message or Message(text=_chosen(incoming))
        if incoming.press:
            await self._channel.answer_press(incoming.press.id)
        value = Turn(id=turn, lane=incoming.lane, user=user, message=message)
        answer: Answer | None = None
        async with self._typing(incoming.lane):
            try:
                replies = await self._previews.answer(value)
                if replies is None:
                    replies = await self._command(value)
                if replies is None:
                    answer = await self._orchestrator.answer(value)
                    replies = answer.replies
                    self._count(answer)
            except (DBAPIError, psycopg.Error):
                raise  # the database comes back, and the queue tries again
            except Exception as error:  # a bug of ours: tried again it would only hold up the lane
                log.exception("a turn broke", turn=turn, error_type=type(error).__name__)
                replies = (Reply(text=texts.say(user.language, "unexpected"), plain=True),)
        await self._done(turn, replies, incoming.lane, answer)

    async def urgent(self, update: int) -> None:
        """Act on a tap or an emergency command, beside the lane."""
        incoming = _parsed(await self._inbox.update(update))
        if incoming is None or incoming.user is None or incoming.lane is None:
            return
        user, refusal = await self._authorised(incoming, incoming.user)
        if incoming.press is not None:
            if user is None:
                tapped = approve.Tapped(note=texts.say(incoming.user.language, "stranger"), alert=True)
            elif incoming.press.data.startswith(diff.PRESS):
                tapped = await self._turn_page(incoming.press, incoming.lane, user)
            else:
                tapped = await approve.press(
                    self._database, self._ledger, user=user, lane=incoming.lane, data=incoming.press.data
                )
            await self._channel.answer_press(incoming.press.id, tapped.note, alert=tapped.alert)
            return
        async with self._database.session() as session:
            if await outbox.is_put(session, f"update:{update}:0"):
                return  # acted on by a worker that died after it; acting again could hit another change
        replies = refusal
        if user is not None and incoming.message is not None:
            value = Turn(id=0, lane=incoming.lane, user=user, message=incoming.message)
            replies = await self._command(value) or ()
        async with self._database.session() as session:
            for number, reply in enumerate(replies):
                await outbox.put(session, incoming.lane, reply, key=f"update:{update}:{number}")

    async def _turn_page(self, press: Press, lane: Lane, user: User) -> approve.Tapped:
        """Put the turning of a page of a diff in the queue."""
        words = press.data.removeprefix(diff.PRESS).split(":")
        if not user.is_admin:
            return approve.Tapped(note=texts.say(user.language, "tap-not-admin"), alert=True)
        if press.message_id is None or len(words) != 2 or not all(w.isdecimal() and len(w) < 10 for w in words):
            return approve.Tapped(note=texts.say(user.language, "tap-unknown"), alert=True)
        async with self._database.session() as session:
            await jobs.defer(
                session,
                "diff",
                lock=f"diff:{lane.chat_id}",
                change=int(words[0]),
                chat=lane.chat_id,
                topic=lane.topic_id,
                user=user.id,
                page=int(words[1]),
                message=press.message_id,
            )
        return approve.Tapped(note="")

    async def _authorised(
        self, incoming: Incoming, user: User, known: Known | None = None
    ) -> tuple[User | None, tuple[Reply, ...]]:
        """The user with their rights, or None and what a stranger is told, once."""
        standing = await self._access.standing(user, known)
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
            case "/stop":
                return (Reply(text=texts.say(user.language, "stop-nothing"), plain=True),)
            case "/why":
                return (await self._why(turn),)
            case "/abort" | "/deploy" | "/rollback" if not user.is_admin:
                return (Reply(text=texts.say(user.language, "tap-not-admin"), plain=True),)
            case "/abort":
                return (await self._abort(turn),)
            case "/deploy":
                return (await self._deploy(turn),)
            case "/rollback":
                return (await self._rollback(turn),)
            case "/reset":
                await self._orchestrator.forget(turn)
                return (Reply(text=texts.say(user.language, "reset-done"), plain=True),)
        return None

    async def _why(self, turn: Turn) -> Reply:
        """Where the behaviour of an agent comes from: the one named, the one that said a message, or the lane's."""
        words = turn.message.text.split(maxsplit=1)
        name = words[1].strip().lstrip("/").lower() if len(words) > 1 else None
        if name is None and turn.message.reply_to is not None:
            name = await why.agent_of_message(self._database, turn.lane, turn.message.reply_to)
        name = name or await self._orchestrator.agent_of(turn)
        return await why.answer(
            self._database, self._ledger, agent=name, language=turn.user.language, is_admin=turn.user.is_admin
        )

    async def _chosen_change(self, turn: Turn, states: set[ChangeState]) -> Change | None:
        """The change a command names by its number, or the newest of this lane in one of the states."""
        words = turn.message.text.split()
        changes = [c for c in await self._ledger.open_changes() if c.state in states]
        if len(words) > 1:
            return next((c for c in changes if str(c.id) == words[1].lstrip("#")), None)
        mine = [c for c in changes if c.chat_id == turn.lane.chat_id]
        return mine[-1] if mine else None

    async def _abort(self, turn: Turn) -> Reply:
        language = turn.user.language
        change = await self._chosen_change(turn, set(ChangeState) - {ChangeState.DEPLOYING})
        if change is None or not await self._ledger.stop(change.id, actor=turn.user.id):
            return Reply(text=texts.say(language, "abort-nothing"), plain=True)
        return Reply(text=texts.say(language, "abort-begun", change=change.id), plain=True)

    async def _deploy(self, turn: Turn) -> Reply:
        language = turn.user.language
        waiting = [c for c in await self._ledger.open_changes() if c.state is ChangeState.AWAITING_APPROVAL]
        if len(waiting) > 1 and len(turn.message.text.split()) == 1:
            # Whoever writes this means the one they have read, which need not be the newest.
            names = ", ".join(f"#{change.id} {change.branch}" for change in waiting)
            return Reply(text=texts.say(language, "deploy-which", changes=names), plain=True)
        change = await self._chosen_change(turn, {ChangeState.AWAITING_APPROVAL})
        if change is None:
            return Reply(text=texts.say(language, "deploy-nothing"), plain=True)
        data = change.buttons.get("deploy", "")
        tapped = await approve.press(self._database, self._ledger, user=turn.user, lane=turn.lane, data=data)
        return Reply(text=tapped.note, plain=True)

    async def _rollback(self, turn: Turn) -> Reply:
        """Put the rollback of one change, chosen now, in the queue; it speaks for itself when it has begun."""
        words = turn.message.text.split(maxsplit=1)
        try:
            change = rollback.find(await self._ledger.deployed(), words[1] if len(words) > 1 else "")
        except errors.ChangeError as error:
            cause = texts.explain(turn.user.language, error)
            return Reply(text=texts.say(turn.user.language, "rollback-failed", cause=cause), plain=True)
        async with self._database.session() as session:
            await jobs.defer(
                session,
                "rollback",
                lock="rollback",
                what=str(change.id),
                user=turn.user.id,
                chat=turn.lane.chat_id,
                topic=turn.lane.topic_id,
            )
        return Reply(text=texts.say(turn.user.language, "rollback-asked"), plain=True)

    async def _done(self, turn: int, replies: tuple[Reply, ...], lane: Lane, answer: Answer | None = None) -> None:
        agent, failed = (answer.agent, answer.broke) if answer else (None, False)
        await outbox.answer(self._database, turn, lane, replies, agent=agent, failed=failed)

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


def _parsed(raw: Raw | None) -> Incoming | None:
    """A stored update as a channel's event."""
    return parse(raw.payload, bot_id=raw.bot_id) if raw else None


def _chosen(incoming: Incoming) -> str:
    """A tap that chooses an agent says the same as its command."""
    return f"/{incoming.press.data.removeprefix(CHOOSE_AGENT)}" if incoming.press else ""
