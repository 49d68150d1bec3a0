"""[Try]: a chat speaks with a candidate before it is deployed.

A preview is the delivered commit, exported to a folder of its own and run in the sandbox by `preview_host`. It belongs
to one lane; while it lives, what is said there goes to it instead of the lane's agent, and each answer is marked. The
lane's own conversation does not hear of it. The model is asked out here and booked to the change; records stay in the
candidate's memory and are gone with it.

It lives in the process that leads and ends with it. Which lane has one is stored, so that other processes leave its
turns to that one, and whoever goes on speaking to it after a restart is told that it is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from persais_core import audit, commands, errors, texts
from persais_core.agents import config
from persais_core.db.engine import Database
from persais_core.db.tables.base import now
from persais_core.db.tables.evolution import Preview
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Button, Lane, Language, Reply, Turn
from persais_core.domain.configs import AgentConfig
from persais_core.llm.models import Booking, Said
from persais_core.mechanic import cards
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs, outbox
from persais_core.security import sandbox
from persais_core.security.sandbox.conversation import Conversation

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

PRESS = "p:"
"""Start of the data of [Stop]; the number of the change follows."""
HOST = "persais_core.mechanic.preview_host"
MOST = 4  # previews at once; each may take what `sandbox.PREVIEW_LIMITS` allows
LONGEST = 1800.0  # seconds a preview lives
IDLE = 900.0  # seconds without a message after which it is ended
LOADING = 30.0  # seconds to import the candidate's agents
THINKING = 10.0  # seconds for an answer, those of the model not counted
MAX_QUESTIONS = 8  # to the model, for one answer
HISTORY = 20  # messages that the model sees again
HISTORY_CHARACTERS = 2000  # of each
MARKDOWN = re.compile(r"[\\`*_\[\]()<>#|~!]")


class PreviewError(errors.ChangeError):
    """The candidate could not be tried. Nothing of it is running; [Try] starts it again."""


@dataclass
class _Running:
    """One living preview.

    Attributes:
        used_at: when something was last said, on the monotonic clock.
        is_answering: a turn waits for it, and will tell how it ended.
        farewell: what the lane is told when it is ended; empty: nothing.
    """

    lane: Lane
    change: Change
    agent: str
    title: str
    language: Language
    token: str
    shop: Workshop
    conversation: Conversation
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    history: list[Said] = field(default_factory=list)
    used_at: float = field(default_factory=time.monotonic)
    is_answering: bool = False
    farewell: str = ""

    @property
    def shown(self) -> str:
        """Key of the message that it began with."""
        return f"preview:{self.token}"


async def wish(session: AsyncSession, change: Change, lane: Lane, language: Language) -> None:
    """Put the start of a preview in the queue; its turn comes after what was said in the lane before."""
    await jobs.defer(
        session,
        "preview",
        lock=lane.key,
        change=change.id,
        chat=lane.chat_id,
        topic=lane.topic_id,
        language=language,
        token=secrets.token_hex(8),
    )


async def wish_end(session: AsyncSession, data: str, lane: Lane, language: Language) -> bool:
    """Put the end of a lane's preview in the queue, beside whatever it is doing now.

    Returns:
        False when `data` is not what [Stop] carries.
    """
    number = data.removeprefix(PRESS)
    if not (number.isdecimal() and number.isascii() and len(number) < 10):
        return False
    await jobs.defer(
        session,
        "stop_preview",
        lock=None,
        change=int(number),
        chat=lane.chat_id,
        topic=lane.topic_id,
        language=language,
    )
    return True


class Previews:
    """The previews of one running bot.

    Args:
        database: where it is stored which lane has one.
        ledger: the changes.
        shop: what else is needed, built when a preview starts; raises where this bot cannot be changed.
        folder: where candidates are exported to; nothing else lies there.
        longest: seconds a preview lives.
        idle: seconds without a message after which it is ended.
        thinking: seconds for an answer, those of the model not counted.

    Attributes:
        is_open: whether this is the process that has them.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        shop: Callable[[], Awaitable[Workshop]],
        folder: Path,
        *,
        longest: float = LONGEST,
        idle: float = IDLE,
        thinking: float = THINKING,
    ) -> None:
        self._database, self._ledger, self._shop, self._folder = database, ledger, shop, folder
        self._longest, self._idle, self._thinking = longest, idle, thinking
        self._running: dict[str, tuple[_Running, asyncio.Task[None]]] = {}
        self._gone: set[str] = set()
        self._is_closing = False
        self.is_open = False

    async def open(self) -> None:
        """Clear up after an earlier process, and note which lanes do not know yet that their preview is gone."""
        if self._folder.exists():
            try:
                await sandbox.remove_tree(self._folder)
            except errors.SandboxError as error:
                log.warning("what is left of earlier previews stays", cause=str(error))
        async with self._database.session() as session:
            self._gone = set((await session.execute(select(col(Preview.lane)))).scalars())
        self.is_open = True

    async def run(self) -> None:
        """Keep previews going until cancelled; then end them."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End all previews; their lanes are told when they next speak."""
        self._is_closing = True
        self._gone |= set(self._running)
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def begin(self, change: int, chat: int, topic: int, language: Language, token: str) -> None:
        """Start the preview of a change in a lane, in the place of one it has; the job behind [Try].

        Args:
            token: names this start; a repeated one says nothing twice.
        """
        lane = Lane(chat_id=chat, topic_id=topic)
        found = await self._ledger.get(change)
        if lane.key in self._running:
            await self._end(lane.key, "")
        try:
            await self._start(found, lane, language, token)
        except errors.PersaisError as error:
            log.warning("a preview did not start", change=change, cause=str(error))
            text = texts.say(language, "preview-failed", cause=_clean(str(error)))
            await self._tell(lane, text, f"preview:{token}:failed")

    async def stop(self, change: int, chat: int, topic: int, language: Language) -> None:
        """End the preview of a change in a lane; the job behind [Stop]."""
        lane = Lane(chat_id=chat, topic_id=topic)
        running = self._running.get(lane.key)
        if running is not None and running[0].change.id == change:
            await self._end(lane.key, texts.say(language, "preview-ended"))
            return
        await self._forget(lane.key)
        await self._tell(lane, texts.say(language, "preview-none"), f"preview:none:{secrets.token_hex(8)}")

    def before(self, decide: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A job that decides on a change, with the previews of that change ended first."""

        async def run(change: int, **arguments: Any) -> None:
            for key, (preview, _) in list(self._running.items()):
                if preview.change.id == change:
                    await self._end(key, texts.say(preview.language, "preview-decided"))
            await decide(change=change, **arguments)

        return run

    async def answer(self, turn: Turn) -> tuple[Reply, ...] | None:
        """What the lane's preview answers.

        Returns:
            At least one reply; None when the turn is not for a preview: there is none, or it is another command.
        """
        word, _ = turn.message.command
        key, language = turn.lane.key, turn.user.language
        if word.startswith("/") and word != "/stop":
            return None
        if key not in self._running:
            if key not in self._gone:
                return None
            await self._forget(key)
            return (_plain(texts.say(language, "preview-gone")),)
        if word == "/stop":
            await self._end(key, "")
            return (_plain(texts.say(language, "preview-ended")),)
        preview, task = self._running[key]
        if not _may_be_tried(await self._ledger.get(preview.change.id), preview.change.commit):
            await self._end(key, "")
            return (_plain(texts.say(language, "preview-decided")),)
        preview.is_answering, preview.used_at = True, time.monotonic()
        try:
            return (await self._talk(preview, turn),)
        except errors.SandboxError as error:
            await asyncio.wait([task])
            if self._is_closing:
                await self._forget(key)
                return (_plain(texts.say(language, "preview-gone")),)
            if preview.ending.is_set():
                return (_marked(preview, _plain(texts.say(language, "preview-silent"))),)
            return (_plain(texts.say(language, "preview-broke", title=preview.title, cause=_clean(str(error)))),)
        except BaseException:
            # The candidate still waits for what its model says. Whoever repeats this turn is told that it is gone.
            self._gone.add(key)
            preview.ending.set()
            raise
        finally:
            preview.is_answering, preview.used_at = False, time.monotonic()

    async def _start(self, change: Change, lane: Lane, language: Language, token: str) -> None:
        """Start a preview; returns when the lane was told that it is there.

        Raises:
            PersaisError: it does not start; nothing of it is left.
        """
        if cards.tried_agent(change) is None or not _may_be_tried(change, change.commit):
            raise PreviewError(texts.say(language, "tap-stale"))
        if self._is_closing or len(self._running) >= MOST:
            raise PreviewError(texts.say(language, "preview-many", count=MOST))
        shop = await self._shop()
        started = asyncio.Event()
        task = asyncio.create_task(self._live(shop, change, lane, language, token, started), name="preview")
        waiting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            waiting.cancel()
        if not started.is_set():
            await task  # raises what kept it from starting

    async def _live(
        self, shop: Workshop, change: Change, lane: Lane, language: Language, token: str, started: asyncio.Event
    ) -> None:
        """The whole life of a preview: its folder, its program, its end."""
        folder, agent, task = self._folder / token, cards.tried_agent(change), asyncio.current_task()
        assert change.commit is not None and agent is not None and task is not None
        try:
            await shop.repository.export(change.commit, folder)
            command = commands.Command(
                argv=(sys.executable, "-I", "-m", HOST),
                cwd=folder,
                env={"PERSAIS_SANDBOX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                timeout_seconds=self._longest + LOADING,
            )
            async with shop.sandbox.converse(command, folder=folder) as conversation:
                title = await _load(conversation, agent, language)
                preview = _Running(lane, change, agent, title, language, token, shop, conversation)
                self._running[lane.key] = (preview, task)
                await self._announce(preview)
                started.set()
                farewell = await self._until_over(preview)
        finally:
            self._running.pop(lane.key, None)
            await sandbox.remove_tree(folder)
        try:
            await self._part(preview, farewell)
        except (errors.DatabaseError, DBAPIError) as error:
            log.warning("the end of a preview could not be told", change=change.id, error_type=type(error).__name__)

    async def _announce(self, preview: _Running) -> None:
        """Say that a preview is there, and store that it is."""
        language, change = preview.language, preview.change
        text = texts.say(language, "preview-started", title=preview.title)
        if (await preview.shop.sandbox.probe()).state != "enforced":
            text += f"\n🔴 {texts.say(language, 'warning-unsandboxed')}"
        button = Button(text=texts.say(language, "button-stop"), data=f"{PRESS}{change.id}")
        row = {"change_id": change.id, "commit": change.commit, "agent": preview.agent, "started_at": now()}
        async with self._database.session() as session:
            await session.execute(
                insert(Preview)
                .values(lane=preview.lane.key, **row)
                .on_conflict_do_update(index_elements=["lane"], set_=row)
            )
            reply = Reply(text=text, plain=True, buttons=((button,),))
            await outbox.put(session, preview.lane, reply, key=preview.shown)
            subject = f"change {change.id}"
            audit.record(session, "preview begun", subject=subject, commit=change.commit, agent=preview.agent)
        self._gone.discard(preview.lane.key)

    async def _until_over(self, preview: _Running) -> str:
        """Wait until a preview ends, of itself or not; returns what its lane is to be told."""
        began = time.monotonic()
        over = asyncio.create_task(preview.conversation.over())
        ending = asyncio.create_task(preview.ending.wait())
        try:
            while True:
                left = min(began + self._longest, preview.used_at + self._idle) - time.monotonic()
                if left <= 0 and not preview.is_answering:
                    return texts.say(preview.language, "preview-ended-time", title=preview.title)
                done, _ = await asyncio.wait({over, ending}, timeout=max(left, 1.0), return_when="FIRST_COMPLETED")
                if ending in done:
                    return preview.farewell
                if over in done:
                    cause = _clean(over.result())
                    told = texts.say(preview.language, "preview-broke", title=preview.title, cause=cause)
                    return "" if preview.is_answering else told
        finally:
            over.cancel()
            ending.cancel()

    async def _end(self, key: str, farewell: str) -> None:
        """End the preview of a lane; returns when it has gone."""
        preview, task = self._running[key]
        preview.farewell = preview.farewell or farewell
        preview.ending.set()
        await asyncio.wait([task])

    async def _part(self, preview: _Running, farewell: str) -> None:
        """Forget a preview, take its [Stop] away, and say the last word."""
        text = texts.say(preview.language, "preview-started", title=preview.title)
        async with self._database.session() as session:
            await session.execute(delete(Preview).where(col(Preview.lane) == preview.lane.key))
            await outbox.show(session, preview.lane, _plain(text), key=preview.shown)
            if farewell:
                await outbox.put(session, preview.lane, _plain(farewell), key=f"{preview.shown}:ended")

    async def _forget(self, key: str) -> None:
        """A lane knows now that its preview is gone."""
        self._gone.discard(key)
        async with self._database.session() as session:
            await session.execute(delete(Preview).where(col(Preview.lane) == key))

    async def _tell(self, lane: Lane, text: str, key: str) -> None:
        async with self._database.session() as session:
            await outbox.put(session, lane, _plain(text), key=key)

    async def _talk(self, preview: _Running, turn: Turn) -> Reply:
        """One message and its answer, with the model asked in between as often as the candidate wants to.

        Raises:
            SandboxError: the candidate is gone.
        """
        said, language = turn.message, turn.user.language
        if said.attachment and not said.text:
            return _marked(preview, Reply(text=texts.say(language, "attachment-not-yet")))
        user = turn.user.model_dump(include={"id", "name", "language"})
        question: dict[str, Any] = {"agent": preview.agent, "text": said.text, "user": user}
        if said.attachment:
            question["attachment"] = said.attachment
        for number in itertools.count():
            answer = await preview.conversation.ask(question, timeout=self._thinking)
            if "ask" not in answer:
                break
            if number == 2 * MAX_QUESTIONS:
                await preview.conversation.close()
                raise PreviewStuckError(f"it asked the model more than {MAX_QUESTIONS} times")
            question = await self._model(preview, turn, answer["ask"], number)
        reply = _read(answer, language)
        preview.history += [("user", said.text[:HISTORY_CHARACTERS]), ("assistant", reply.text[:HISTORY_CHARACTERS])]
        del preview.history[:-HISTORY]
        return _marked(preview, reply)

    async def _model(self, preview: _Running, turn: Turn, asked: Any, number: int) -> dict[str, str]:
        """What the model says to a candidate's question, or why it was not asked."""
        if number >= MAX_QUESTIONS:
            return {"refused": f"the model may be asked {MAX_QUESTIONS} times for one answer, no more"}
        if not isinstance(asked, dict):
            return {"refused": "that is no question"}
        prompt, system = _clean(str(asked.get("prompt", ""))), _clean(str(asked.get("system", "")))
        messages: list[Said] = [("system", system)] if system else []
        messages += [*preview.history, ("user", prompt)]
        booking = Booking(
            purpose="preview", user_id=turn.user.id, turn_id=turn.id, change_id=preview.change.id, agent=preview.agent
        )
        try:
            configs = await preview.shop.configs.all()
            options = config.options(configs.get(preview.agent, AgentConfig()))
            return {"said": await preview.shop.models.ask(messages, booking, options=options)}
        except errors.ModelError as error:
            return {"refused": str(error)}


class PreviewStuckError(errors.SandboxError):
    """The candidate would have gone on asking for ever, so it was ended."""


async def _load(conversation: Conversation, agent: str, language: Language) -> str:
    """Have the candidate import its agents; returns the title of the one that is tried.

    Raises:
        PreviewError: it cannot be imported, or there is no such agent.
        SandboxError: it did not answer.
    """
    loaded = await conversation.ask({"load": True, "language": language}, timeout=LOADING)
    agents = loaded.get("agents")
    if not isinstance(agents, dict):
        raise PreviewError(str(loaded.get("error")))
    if agent not in agents:
        raise PreviewError(f"there is no agent {agent} in it")
    title = MARKDOWN.sub("", _clean(str(agents[agent])))
    return " ".join(title.split())[:60] or agent


def _may_be_tried(change: Change, commit: str | None) -> bool:
    """Whether a commit of a change still waits for its decision."""
    return change.state is ChangeState.AWAITING_APPROVAL and commit is not None and change.commit == commit


def _read(answer: dict[str, Any], language: Language) -> Reply:
    """A candidate's answer as a reply; it may have said anything at all."""
    if isinstance(answer.get("error"), str):
        return _plain(texts.say(language, "preview-error", cause=_clean(answer["error"])[:1000]))
    if answer.get("reply") is None:
        return _plain(texts.say(language, "preview-silent"))
    try:
        reply = Reply.model_validate(answer["reply"])
    except ValidationError as error:
        return _plain(texts.say(language, "preview-error", cause=_clean(str(error.errors()[0]["msg"]))))
    # What a button carries comes back to the bot in production, which knows nothing of it.
    rows = (tuple(button for button in row if button.data is None) for row in reply.buttons)
    return reply.model_copy(update={"text": _clean(reply.text), "buttons": tuple(row for row in rows if row)})


def _marked(preview: _Running, reply: Reply) -> Reply:
    """A reply that nobody takes for one of the bot in production."""
    mark = texts.say(preview.language, "preview-mark", title=preview.title)
    between = "\n" if reply.plain else "\n\n"
    return reply.model_copy(update={"text": f"{mark}{between}{reply.text}"})


def _plain(text: str) -> Reply:
    return Reply(text=text, plain=True)


def _clean(text: str) -> str:
    """Text that Postgres and Telegram take, whatever a candidate put in it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
