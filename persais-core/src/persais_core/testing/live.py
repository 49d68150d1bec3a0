"""A whole bot in a process of its own, as `persais dev` runs it, for tests and demonstrations that want all of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from persais_core import errors, settings
from persais_core.emulators.telegram.client import ChatClient

READY_WITHIN = 120.0  # seconds, with a cold disk
STOPPED_WITHIN = 60.0  # seconds
ALONE = (
    "DATABASE_URL", "DATABASE_DIRECT_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_API_URL", "TELEGRAM_WEBHOOK_SECRET",
    "APP_BASE_URL", "ALLOWED_USER_IDS", "ADMIN_USER_IDS", "OPENROUTER_API_KEY", "LLM_BASE_URL", "LLM_API_KEY",
    "DEFAULT_MODEL", "CLASSIFIER_MODEL", "CODER_MODEL", "FALLBACK_MODELS", "MODEL_PRICES", "METRICS_TOKEN",
    "LOG_CONTENT", "SENTRY_DSN", "GIT_REMOTE_URL", "GITHUB_TOKEN", "GITHUB_API_URL",
)  # fmt: skip
"""Settings of the surroundings that must not reach the bot; an empty one counts as not set."""


@dataclass
class Live:
    """A running bot.

    Attributes:
        home: its PERSAIS_HOME.
        lines: what it printed so far.
        public_port: where /health answers.
    """

    home: Path
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    public_port: int = 0

    def person(self, *, user: int | None = None, language: str = "en") -> ChatClient:
        """Somebody at the chat page; the owner where no user is given."""
        desk = json.loads((self.home / "desk.json").read_text())
        if user is None:
            return ChatClient(desk["url"], desk["key"], language=language)
        return ChatClient(desk["url"], desk["key"], user=user, name=f"Person {user}", language=language)

    @property
    def page(self) -> str:
        """Address of the chat page, its key included."""
        desk = json.loads((self.home / "desk.json").read_text())
        return f"{desk['url']}/?key={desk['key']}"

    def log(self) -> str:
        """The bot's log so far."""
        file = self.home / "logs" / "bot.log"
        return file.read_text("utf-8", "replace") if file.is_file() else ""


@contextlib.asynccontextmanager
async def running(
    project: Path, home: Path, *, tell: Callable[[str], None] | None = None, **environment: str
) -> AsyncIterator[Live]:
    """Start a bot, wait until it answers, and stop it at the end as ctrl-C does.

    Args:
        project: as for `persais dev`.
        home: PERSAIS_HOME; kept, so that the same bot can be started again.
        tell: called with each line it prints.
        environment: settings; the ports are free ones and nothing is taken from the surroundings.

    Raises:
        ProjectError: it ended, or did not get ready in time; holds what it printed.
    """
    home.mkdir(parents=True, exist_ok=True)
    # What is said here comes message by message, and each wants its answer at once.
    defaults = {"PERSAIS_HOME": str(home), "PORT": "0", "BATCH_DEBOUNCE": "0"}
    values = dict.fromkeys(ALONE, "") | defaults | environment
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "persais_core", "dev", str(project),
        cwd=home,
        env=settings.child_environment(**values),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    live, ready = Live(home, process), asyncio.Event()

    async def read() -> None:
        assert process.stdout
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            live.lines.append(line)
            if tell and line:
                tell(line)
            if line.startswith("Ready"):
                live.public_port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
                ready.set()
        ready.set()

    reading = asyncio.create_task(read())
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), READY_WITHIN)
        if not live.public_port:
            raise errors.ProjectError("the bot did not start: " + " | ".join(live.lines[-8:]))
        yield live
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOPPED_WITHIN)
        if process.returncode is None:
            process.kill()
        await process.wait()
        reading.cancel()
