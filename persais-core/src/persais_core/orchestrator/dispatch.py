"""The worker's side of the inbox: a stored update or turn is authorised, answered and marked done.

The answer and the mark are one transaction. Whoever speaks is asked for their standing here and nowhere else, before
anything is done with what they say.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from persais_core import texts
from persais_core.agents.config import AgentConfigs
from persais_core.agents.registry import MASTER
from persais_core.channels import presence
from persais_core.channels.base import Channel, Incoming
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Language, Message, Reply, Turn, User
from persais_core.domain.names import BUILT_IN_AGENTS
from persais_core.mechanic.approvals import Tapped
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.metrics import Metrics
from persais_core.orchestrator import buttons, commands
from persais_core.orchestrator.built_in import BuiltIn
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.orchestrator.graph import Orchestrator
from persais_core.orchestrator.state import Answer
from persais_core.orchestrator.taps import Taps
from persais_core.queue import claims, jobs, outbox
from persais_core.queue.inbox import Inbox, Raw
from persais_core.queue.intake import Read
from persais_core.queue.lanes import Gathered, Lanes
from persais_core.security.access import Access, Claim, Known, Standing

log = structlog.get_logger(__name__)


@dataclass
class _Outcome:
    """What becomes of a turn, for the figures: filled when it is answered."""

    kind: str = "failed"
    agent: str = "none"


class Dispatch:
    """Works on what the inbox holds; its methods are the queue's jobs.

    Args:
        previews: open in the one process that leads; turns of a lane that has one go there.
        first_turns: counts what is answered here.
        sender: sends answers that need not wait.
        debounce: seconds of quiet in a lane after which what was said is answered.
        metrics: where turns are counted.
        log_content: whether the log may hold what people write.
        username: under which people address commands to this bot, without its @.
        read: what a stored update says.
    """

    def __init__(
        self,
        *,
        database: Database,
        channel: Channel,
        access: Access,
        orchestrator: Orchestrator,
        ledger: Ledger,
        configs: AgentConfigs,
        previews: Previews,
        facts: Callable[[Language], Awaitable[commands.Facts]],
        first_turns: FirstTurns,
        sender: outbox.Outbox,
        debounce: float,
        metrics: Metrics,
        log_content: bool,
        username: str,
        read: Read,
    ) -> None:
        self._database, self._channel, self._access = database, channel, access
        self._orchestrator, self._taps = orchestrator, Taps(database, access, ledger)
        self._built_in = BuiltIn(
            database=database, access=access, orchestrator=orchestrator, ledger=ledger, configs=configs, facts=facts
        )
        self._inbox, self._previews, self._ledger = Inbox(database), previews, ledger
        self._first_turns, self._sender = first_turns, sender
        self._metrics, self._log_content = metrics, log_content
        self._username, self._read = username.lower(), read
        self._lanes = Lanes(database, read=self._parsed, calls=self._called, debounce=debounce)

    def _called(self, text: str, holder: str | None) -> str | None:
        if holder in BUILT_IN_AGENTS and holder != MASTER:
            return None  # what is said to the Mechanic names other agents all the time; see `classify`
        found = self._orchestrator.registry.by_keyword(text)
        return found.name if found else None

    async def turn(self, turn: int) -> None:
        """Answer a turn.

        Raises:
            ElsewhereError: its lane speaks with a candidate, which lives in another process.
        """
        gathered = await self._lanes.gather(turn)
        if gathered is None:
            await claims.release(self._database, turn)  # whoever answered it may not have come to sending
            return
        if gathered.is_tried and not self._previews.is_open:
            raise jobs.ElsewhereError("the preview of a lane")
        incoming = gathered.parts[0]
        if incoming is None or incoming.user is None or incoming.lane is None or self._is_for_another(incoming):
            await self._done(turn, (), gathered.lane)
            return
        user, refusal = await self._authorised(incoming, incoming.user, gathered.known)
        if user is None:
            if claimed := await self._done(turn, refusal, incoming.lane):
                await self._sender.send(claimed)
            return
        with bound_contextvars(chat=incoming.lane.chat_id, user=user.id):
            with self._counted() as outcome:
                claimed = await self._answer(turn, gathered, user, outcome)
            if claimed is not None:
                await self._sender.send(claimed)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[_Outcome]:
        """Count a turn when it ends, however it does."""
        outcome, started = _Outcome(), time.monotonic()
        try:
            yield outcome
        finally:
            self._metrics.turn(agent=outcome.agent, outcome=outcome.kind, seconds=time.monotonic() - started)

    async def _answer(self, turn: int, gathered: Gathered, user: User, outcome: _Outcome) -> outbox.Claimed | None:
        """Answer a turn of somebody who may speak; returns what is to be sent now."""
        incoming = gathered.parts[0]
        assert incoming is not None and incoming.lane is not None
        said = tuple(part.message or Message(text="") for part in gathered.parts if part)
        value = Turn(id=turn, lane=incoming.lane, user=user, messages=said)
        if incoming.press:
            tap = await buttons.tapped(self._database, incoming.lane, incoming.press)
            is_there = tap is not None and (await self._orchestrator.seen_by(user)).find(tap.agent) is not None
            note = "" if is_there else texts.say(user.language, "tap-no-agent" if tap else "tap-unknown")
            await self._channel.answer_press(incoming.press.id, note, alert=not is_there)
            if tap is None or not is_there:
                outcome.kind = "command"
                return await self._done(turn, (), incoming.lane)
            value = value.model_copy(update={"messages": (tap.message,), "chosen": tap.agent})
        elif gathered.again is not None:
            if (await self._orchestrator.seen_by(user)).find(gathered.again) is None:
                return await self._done(turn, (), incoming.lane)  # that it broke was told; it is not there any more
            value = value.model_copy(update={"chosen": gathered.again, "is_again": True})
        elif await self._is_about_a_change(value):
            # Whoever the chat is with, a preview too, has not said what is answered.
            first = said[0].model_copy(update={"text": f"/mechanic {said[0].text}"})
            value = value.model_copy(update={"messages": (first, *said[1:])})
        answer: Answer | None = None
        async with presence.typing(self._channel, incoming.lane):
            # What raises here is a bug of ours or the database: the queue tries again, and then sets the turn aside.
            kind, replies = "preview", await self._previews.answer(value)
            if replies is None:
                kind, replies = "command", await self._built_in.answer(value)
            if replies is None:
                answer = await self._orchestrator.answer(value)
                kind, replies = "broke" if answer.broke else "answered", answer.replies
                await self._first_turns.count(answer)
        claimed = await self._done(turn, replies, incoming.lane, answer)
        outcome.kind, outcome.agent = kind, answer.agent if answer else "none"
        log.info("a turn was answered", agent=outcome.agent, outcome=kind)
        if self._log_content:
            log.info("content", said=value.message.text, replies=[reply.text for reply in replies])
        return claimed

    async def _is_about_a_change(self, turn: Turn) -> bool:
        """Whether somebody who may change the bot answers the card or the progress of a change that is not over."""
        replied, words = turn.message.reply_to, turn.messages[0].text
        if replied is None or not words or words.startswith("/") or not (turn.is_own_words and turn.user.is_admin):
            return False
        change = await self._ledger.shown_in(turn.lane, replied)
        return change is not None and change.state.can_be_aborted

    async def urgent(self, update: int) -> None:
        """Act on a tap or an emergency command, beside the lane."""
        raw = await self._inbox.update(update)
        incoming = self._parsed(raw) if raw else None
        if incoming is None or incoming.user is None or incoming.lane is None or self._is_for_another(incoming):
            return
        user, refusal = await self._authorised(incoming, incoming.user)
        if incoming.press is not None:
            if user is None:
                await self._access.refuse_tap(incoming.user)
                tapped = Tapped(note=texts.say(incoming.user.language, "stranger"), alert=True)
            else:
                tapped = await self._taps.press(incoming.press, incoming.lane, user)
            await self._channel.answer_press(incoming.press.id, tapped.note, alert=tapped.alert)
            return
        async with self._database.session() as session:
            if await outbox.is_put(session, f"update:{update}:0"):
                return  # acted on by a worker that died after it; acting again could hit another change
        replies = refusal
        if user is not None and incoming.message is not None:
            value = Turn(id=0, lane=incoming.lane, user=user, messages=(incoming.message,))
            replies = await self._built_in.answer(value, key=f"update:{update}:0") or ()
        async with self._database.session() as session:
            for number, reply in enumerate(replies):
                await outbox.put(session, incoming.lane, reply, key=f"update:{update}:{number}")

    def _is_for_another(self, incoming: Incoming) -> bool:
        """Whether it is a command that a group's member gives to another bot."""
        said, lane = incoming.message, incoming.lane
        if said is None or said.is_forwarded or lane is None or lane.chat_id > 0:
            return False
        return said.addressee not in {"", self._username}

    async def _authorised(
        self, incoming: Incoming, user: User, known: Known | None = None
    ) -> tuple[User | None, tuple[Reply, ...]]:
        """The user with their rights, or None and what a stranger is told, once."""
        standing = await self._access.standing(user, known)
        if standing is not Standing.STRANGER:
            return user.model_copy(update={"is_admin": standing is Standing.ADMIN}), ()
        said = incoming.message
        if said and not said.is_forwarded and said.command[0] == "/claim":
            return None, (await self._claim(user, said.command[1]),)
        if await self._access.refuse(user):
            name = "stranger-claimable" if await self._access.is_claimable() else "stranger"
            return None, (Reply(text=texts.say(user.language, name), plain=True),)
        return None, ()

    async def _claim(self, user: User, code: str) -> Reply:
        result = await self._access.claim(user, code)
        log.info("claim", user=user.id, result=result.value)
        return Reply(text=texts.say(user.language, f"claim-{result.value}"), plain=result is not Claim.ACCEPTED)

    async def _done(
        self, turn: int, replies: tuple[Reply, ...], lane: Lane, answer: Answer | None = None
    ) -> outbox.Claimed | None:
        agent, failed, error = (answer.agent, answer.broke, answer.raised or None) if answer else (None, False, None)
        return await outbox.answer(self._database, turn, lane, replies, agent=agent, failed=failed, error=error)

    def _parsed(self, raw: Raw) -> Incoming | None:
        """A stored update as a channel's event; it may have come to another bot, which had this database before."""
        incoming = self._read(raw.payload)
        return incoming.model_copy(update={"bot_id": raw.bot_id}) if incoming else None
