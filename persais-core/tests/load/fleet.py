"""Several processes of one bot on one database, a Telegram that only counts, and somebody who kills them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn

from persais_core import asgi, settings
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.testing import live

TOKEN = "1234567890:" + "a" * 35
SECRET = "s" * 40
HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
READY_WITHIN = 120.0  # seconds, with everything starting at once on two cores
BOT_ID = int(TOKEN.partition(":")[0])


@dataclass
class Telegram:
    """A Bot API that takes everything at once.

    Attributes:
        said: the texts that were sent to each chat, in the order they came.
    """

    said: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    url: str = ""
    sent: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (event := await receive()).get("more_body"):
            body += event["body"]
        body += event.get("body", b"")
        method = scope["path"].rpartition("/")[2]
        fields = dict(parse_qsl(body.decode("utf-8", "replace")))
        result: Any = True
        if method == "getMe":
            result = {"id": BOT_ID, "is_bot": True, "first_name": "Bot", "username": "load_bot"}
        elif method == "sendMessage":
            self.sent += 1
            chat = int(fields["chat_id"])
            self.said[chat].append(fields["text"])
            result = {"message_id": self.sent, "date": 1, "chat": {"id": chat, "type": "private"}, "text": "x"}
        elif method == "getUpdates":
            result = []
        answer = json.dumps({"ok": True, "result": result}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Telegram]:
        """Answer on a free port of loopback while the block lasts."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(256)
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            server = asgi.Server(uvicorn.Config(self, log_config=None, access_log=False, lifespan="off"))
            task = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                await task


@dataclass
class Process:
    """One process of the bot."""

    name: str
    role: str
    port: int
    running: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory(self) -> float:
        """MB it holds now."""
        assert self.running
        pages = int(Path(f"/proc/{self.running.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Fleet:
    """The processes of one bot.

    Args:
        project: folder that holds `bot/`.
        folder: for logs and PERSAIS_HOME.

    Attributes:
        environment: more settings of all processes.
    """

    def __init__(self, project: Path, folder: Path, postgres: EmbeddedPostgres, telegram: Telegram) -> None:
        self.project, self.folder, self.postgres, self.telegram = project, folder, postgres, telegram
        self.environment: dict[str, str] = {}
        self.kills = self.restarts = 0
        self._lost: set[str] = set()
        self._is_ending = False
        self.processes: dict[str, Process] = {}

    def webs(self) -> list[Process]:
        """Those that take updates, killed ones included as long as they are started again."""
        return [p for p in self.processes.values() if p.role != "worker" and p.name not in self._lost]

    async def start(self, name: str, role: str) -> Process:
        """Start a process, or start it again at the port it had."""
        process = self.processes.get(name)
        if process is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                process = self.processes[name] = Process(name, role, free.getsockname()[1])
        values = dict.fromkeys(live.ALONE, "") | {
            "DATABASE_URL": self.postgres.url(),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": self.telegram.url,
            "TELEGRAM_WEBHOOK_SECRET": SECRET,
            "APP_BASE_URL": "https://load.test",
            "PERSAIS_HOME": str(self.folder / "home"),
            "PERSAIS_COMMIT": "load",
            "PORT": str(process.port),
            "SEND_LIMITS": "false",
            "BATCH_DEBOUNCE": "0.1",
            "LLM_BASE_URL": "http://127.0.0.1:9/v1",
        }  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            process.running = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "persais_core", "serve", "--root", str(self.project), "--role", role,
                env=settings.child_environment(**values | self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return process

    async def ready(self, *processes: Process) -> None:
        """Wait until processes are at work."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http, asyncio.timeout(READY_WITHIN):
            for process in processes:
                while True:
                    assert process.running
                    assert process.running.returncode is None, self.log(process.name)[-3000:]
                    with contextlib.suppress(httpx.HTTPError, ValueError):
                        document = (await http.get(f"{process.url}/health")).json()
                        if document["status"] == "ok" and document["active"]:
                            break
                    await asyncio.sleep(0.1)

    async def mind(self) -> None:
        """Start again what has ended by itself, as a platform does: one that starts while the database is away does."""
        while True:
            await asyncio.sleep(0.5)
            for process in list(self.processes.values()):
                is_over = process.running is not None and process.running.returncode is not None
                if is_over and process.name not in self._lost and not self._is_ending:
                    await self.start(process.name, process.role)

    async def kill(self, name: str, *, for_good: bool = False) -> None:
        """kill -9, of the process and whatever it started."""
        if for_good:
            self._lost.add(name)
        running = self.processes[name].running
        assert running
        os.killpg(running.pid, signal.SIGKILL)
        await running.wait()
        self.kills += 1

    async def restart_database(self) -> None:
        """Stop the server and start it again."""
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.to_thread(self.postgres.start)
        self.restarts += 1

    async def stop(self) -> dict[str, float]:
        """SIGTERM to all; returns how many seconds each took to end."""
        self._is_ending = True
        loop, took = asyncio.get_running_loop(), {}

        async def end(process: Process) -> None:
            began = loop.time()
            assert process.running
            if process.running.returncode is None:
                process.running.terminate()
                try:
                    await asyncio.wait_for(process.running.wait(), 40)
                except TimeoutError:
                    os.killpg(process.running.pid, signal.SIGKILL)
                    await process.running.wait()
                took[process.name] = loop.time() - began

        await asyncio.gather(*(end(process) for process in self.processes.values()))
        return took

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")
