"""The bots as programs: ours serving one release without a supervisor, and the bare one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import httpx

from persais_core.domain.chats import LOCAL_PERSON
from persais_core.testing import live

CORE = Path(__file__).resolve().parent.parent
STOPPED_WITHIN = 30.0  # seconds
STARTED_WITHIN = 60.0  # seconds
NOTHING: Mapping[str, str] = MappingProxyType({})


class BotBrokenError(Exception):
    """A bot ended, or never got ready; holds the end of its log."""


class Around(Protocol):
    """What a bot talks to: the base address of its Bot API and its model, its token there and its key here."""

    url: str
    token: str
    key: str


A = TypeVar("A", bound=Around)


@dataclass(frozen=True)
class Bot(Generic[A]):
    """One bot to be started.

    Args:
        name: of its log.
        argv: after the interpreter.
        database: address of its own database.
        stand_ins: its own surroundings.
        folder: for its log and its PERSAIS_HOME.
        more: settings of this bot alone.
    """

    name: str
    argv: tuple[str, ...]
    database: str
    stand_ins: A
    folder: Path
    more: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    def environment(self, port: int) -> dict[str, str]:
        """Everything it is told; nothing of the surroundings that settings are made of."""
        return dict(os.environ) | dict.fromkeys(live.ALONE, "") | {
            "PERSAIS_HOME": str(self.folder / "home"),
            "PERSAIS_COMMIT": "bench",
            "BATCH_DEBOUNCE": "0",
            "SEND_LIMITS": "false",
            "PORT": str(port),
            "DATABASE_URL": self.database,
            "TELEGRAM_BOT_TOKEN": self.stand_ins.token,
            "TELEGRAM_API_URL": self.stand_ins.url,
            "ADMIN_USER_IDS": str(LOCAL_PERSON),
            "LLM_BASE_URL": f"{self.stand_ins.url}/v1",
            "LLM_API_KEY": self.stand_ins.key,
            "DEFAULT_MODEL": "instant",
            "LANGSMITH_TRACING": "false",
        } | dict(self.more)  # fmt: skip


@dataclass
class Running(Generic[A]):
    """A started bot.

    Attributes:
        started_at: just before its process was made (perf_counter).
        port: where it serves HTTP.
    """

    bot: Bot[A]
    process: asyncio.subprocess.Process
    started_at: float
    port: int

    async def healthy(self, *, active: bool = False) -> float:
        """When /health first said that it is well (perf_counter).

        Args:
            active: and that it works.

        Raises:
            BotBrokenError: it ended, or was not well in time.
        """
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            while time.perf_counter() - self.started_at < STARTED_WITHIN and self.process.returncode is None:
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    document = (await http.get(f"http://127.0.0.1:{self.port}/health")).json()
                    if document.get("status") == "ok" and (document.get("active") or not active):
                        return time.perf_counter()
                await asyncio.sleep(0.01)
        raise self.broken("did not get healthy")

    def broken(self, what: str) -> BotBrokenError:
        """The error that says so, with the end of the log."""
        log = (self.bot.folder / f"{self.bot.name}.log").read_text("utf-8", "replace").splitlines()
        return BotBrokenError(f"{self.bot.name} {what}: {' | '.join(line[:600] for line in log[-3:])}")


def ours(name: str, root: Path, database: str, stand_ins: A, folder: Path, more: Mapping[str, str] = NOTHING) -> Bot[A]:
    """`persais serve` on a project's folder."""
    argv = ("-P", "-m", "persais_core", "serve", "--root", str(root))
    return Bot(name, argv, database, stand_ins, folder, more)


def bare(name: str, database: str, stand_ins: A, folder: Path, more: Mapping[str, str] = NOTHING) -> Bot[A]:
    """The minimal bot."""
    return Bot(name, ("-P", str(CORE / "bench" / "bare_bot.py")), database, stand_ins, folder, more)


@contextlib.asynccontextmanager
async def started(bot: Bot[A]) -> AsyncIterator[Running[A]]:
    """The bot's process while the block lasts; then it is stopped as a platform does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bot.folder.mkdir(parents=True, exist_ok=True)
    with (bot.folder / f"{bot.name}.log").open("ab") as log:
        started_at = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, *bot.argv,
            cwd=bot.folder,
            env=bot.environment(port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield Running(bot, process, started_at, port)
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOPPED_WITHIN)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
