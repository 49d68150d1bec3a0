"""[Try]: a chat speaks with a candidate before it is deployed.

A preview is asked for through the queue (`wishes`). It is the delivered commit, exported to a folder of its own and run
in the sandbox by `mechanic.preview_host`. It belongs to one lane; while it lives (`living`), what is said there goes to
it instead of the lane's agent, and each answer is marked. The lane's own conversation does not hear of it. The model is
asked out here and booked to the change (`candidate`); records stay in the candidate's memory and are gone with it.

It lives in the process that leads and ends with it. Which lane has one is stored, so that other processes leave its
turns to that one, and whoever goes on speaking to it after a restart is told that it is gone.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from persais_core import errors, processes, texts
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Preview
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, Reply, Turn
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import tried
from persais_core.mechanic.preview.candidate import LOADING, THINKING, Candidate, PreviewError, cause_of, load, plain
from persais_core.mechanic.preview.living import IDLE, LONGEST, Living
from persais_core.mechanic.preview.wishes import PRESS, wish, wish_end
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox
from persais_core.security import sandbox

__all__ = ["IDLE", "MOST", "PRESS", "Previews", "wish", "wish_end"]

log = structlog.get_logger(__name__)

HOST = "persais_core.mechanic.preview_host"
MOST = 4  # previews at once; each may take what `sandbox.PREVIEW_LIMITS` allows


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
        self._running: dict[str, tuple[Living, asyncio.Task[None]]] = {}
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
            text = texts.say(language, "preview-failed", cause=cause_of(language, error))
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
            At least one reply; None when the turn is not for a preview: there is none, it is another command, or a tap
            that leads to an agent in production.
        """
        word, _ = turn.message.command
        key, language = turn.lane.key, turn.user.language
        if turn.chosen is not None or (word.startswith("/") and word != "/stop"):
            return None
        if key not in self._running:
            if key not in self._gone:
                return None
            await self._forget(key)
            return (plain(texts.say(language, "preview-gone")),)
        if word == "/stop":
            await self._end(key, "")
            return (plain(texts.say(language, "preview-ended")),)
        preview, task = self._running[key]
        if not _may_be_tried(await self._ledger.get(preview.change.id), preview.change.commit):
            await self._end(key, "")
            return (plain(texts.say(language, "preview-decided")),)
        preview.is_answering, preview.used_at = True, time.monotonic()
        try:
            return (await preview.candidate.answer(turn),)
        except errors.SandboxError as error:
            await asyncio.wait([task])
            if self._is_closing:
                await self._forget(key)
                return (plain(texts.say(language, "preview-gone")),)
            if preview.ending.is_set():
                return (preview.candidate.marked(plain(texts.say(language, "preview-silent"))),)
            cause = cause_of(language, error)
            return (plain(texts.say(language, "preview-broke", title=preview.candidate.title, cause=cause)),)
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
        if not _may_be_tried(change, change.commit):
            raise _stale()
        if self._is_closing or len(self._running) >= MOST:
            raise PreviewError(f"{MOST} previews are running already; stop one first", key="preview-many", count=MOST)
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
        folder, task = self._folder / token, asyncio.current_task()
        assert change.commit is not None and task is not None
        try:
            agent = await tried.agent_of(shop.repository, change, change.commit)
            if agent is None:
                raise _stale()
            await shop.repository.export(change.commit, folder)
            command = processes.Command(
                argv=(sys.executable, "-I", "-m", HOST),
                cwd=folder,
                env={"PERSAIS_SANDBOX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                timeout_seconds=self._longest + LOADING,
            )
            async with shop.sandbox.converse(command, folder=folder) as conversation:
                candidate = Candidate(
                    shop,
                    conversation,
                    agent=agent,
                    title=await load(conversation, agent, language),
                    language=language,
                    change=change.id,
                    thinking=self._thinking,
                )
                preview = Living(lane, change, candidate, conversation, token)
                self._running[lane.key] = (preview, task)
                await preview.announce(self._database, shop)
                self._gone.discard(lane.key)
                started.set()
                farewell = await preview.until_over(longest=self._longest, idle=self._idle)
        finally:
            self._running.pop(lane.key, None)
            await sandbox.remove_tree(folder)
        try:
            await preview.part(self._database, farewell)
        except (errors.DatabaseError, DBAPIError) as error:
            log.warning("the end of a preview could not be told", change=change.id, error_type=type(error).__name__)

    async def _end(self, key: str, farewell: str) -> None:
        """End the preview of a lane; returns when it has gone."""
        preview, task = self._running[key]
        preview.farewell = preview.farewell or farewell
        preview.ending.set()
        await asyncio.wait([task])

    async def _forget(self, key: str) -> None:
        """A lane knows now that its preview is gone."""
        self._gone.discard(key)
        async with self._database.session() as session:
            await session.execute(delete(Preview).where(col(Preview.lane) == key))

    async def _tell(self, lane: Lane, text: str, key: str) -> None:
        async with self._database.session() as session:
            await outbox.put(session, lane, plain(text), key=key)


def _stale() -> PreviewError:
    return PreviewError("this button belongs to an older state of the change", key="preview-stale")


def _may_be_tried(change: Change, commit: str | None) -> bool:
    """Whether a commit of a change still waits for its decision."""
    return change.state is ChangeState.AWAITING_APPROVAL and commit is not None and change.commit == commit
