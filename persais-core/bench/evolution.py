"""Where the seconds of one evolution go: `persais dev`, asked for Echo, with a model that answers at once.

Stages are what the change itself noted. Coding is aider, nearly all of it what is left of its own start, which began
with the planning; the rest is ours.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench import coding, memory
from bench.bots import CORE, BotBrokenError
from persais_core.db import embedded
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

REQUEST = 'Создай агента "Echo", который повторяет сообщения пользователя'
STAGES = ("planning", "scaffolding", "coding", "verifying", "delivering", "deploying")
CODER_WITHIN = 900.0  # seconds: the first time aider is fetched


@dataclass(frozen=True)
class Evolved:
    """One evolution.

    Args:
        ready: seconds until `persais dev` answered.
        stages: seconds by name of the stage.
        checks: seconds by name of the check, within `verifying`.
        asked_to_card: seconds from the request to the card with its buttons.
        tap_to_serving: seconds from the tap on [Deploy] to the word that it serves.
        supervisor: memory of `persais dev`.
        release: memory of the release it runs.
    """

    ready: float
    stages: dict[str, float]
    checks: dict[str, float]
    asked_to_card: float
    tap_to_serving: float
    supervisor: memory.Memory
    release: memory.Memory

    @property
    def but_coding(self) -> float:
        """Everything between request and serving except coding and the person's own time."""
        return self.asked_to_card - self.stages.get("coding", 0.0) + self.tap_to_serving


async def measure(folder: Path, released: Path, tell: Callable[[str], None]) -> Evolved:
    """Run one evolution.

    Args:
        folder: for PERSAIS_HOME.
        released: where the release with the new agent is copied to.
        tell: prints one line; called while aider is fetched, which takes minutes where that was never done.

    Raises:
        BotBrokenError: the bot said something else than it should.
    """

    def progress(line: str) -> None:
        if line.startswith("Coder:"):
            tell(f"  {line}")

    began = time.perf_counter()
    async with live.running(CORE.parent / "persais-app", folder, tell=progress, AIDER_VENV=str(coding.venv())) as bot:
        ready = time.perf_counter() - began
        async with bot.person(language="ru") as person:
            await person.send("/mechanic")
            await person.wait_for(lambda message: message.from_bot)
            asked = time.perf_counter()
            await person.send(REQUEST)
            card = await person.wait_for(lambda m: bool(m.buttons) or _failed(m), timeout=CODER_WITHIN)
            carded = time.perf_counter()
            _check(card)
            await person.press(card, "Deploy")
            tapped = time.perf_counter()
            _check(await person.wait_for(lambda m: m.text == "🚀 Deployed!" or _failed(m), timeout=120))
            serving = time.perf_counter()
            # The card may still be changing, so it is not enough that the bot says something.
            await person.send("/echo")
            await person.wait_for(lambda message: message.text.startswith("🎭"))
            await person.send("Hello World")
            await person.wait_for(lambda message: message.text == "Echo: Hello World")
        change = _stored(folder)
        supervisor = bot.process.pid
        release = memory.child(supervisor, "serve")
        if release is None:
            raise BotBrokenError("persais dev runs no release")
        sizes = memory.of(supervisor), memory.of(release)
        newest = max((folder / "releases").iterdir(), key=lambda path: path.stat().st_mtime)
        shutil.copytree(newest, released)
    return Evolved(
        ready=ready,
        stages={name: float(seconds) for name, seconds in change["stages"].items()},
        checks={verdict["check"]: float(verdict["seconds"]) for verdict in change["verdicts"]},
        asked_to_card=carded - asked,
        tap_to_serving=serving - tapped,
        supervisor=sizes[0],
        release=sizes[1],
    )


def _failed(message: ChatMessage) -> bool:
    return message.text.startswith("❌") or "\n❌" in message.text


def _check(message: ChatMessage) -> None:
    if _failed(message):
        raise BotBrokenError(f"the evolution failed: {message.text}")


def _stored(home: Path) -> dict[str, Any]:
    """The change as the bot stored it."""
    with psycopg.connect(embedded.EmbeddedPostgres(home / "pg").url()) as connection:
        row = connection.execute("select body from persais.changes order by id desc limit 1").fetchone()
    assert row is not None
    return dict(row[0] if isinstance(row[0], dict) else json.loads(row[0]))
