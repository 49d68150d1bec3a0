"""The first evolution, unattended: from the first message to "Echo: Hello World", over the Bot API.

Starts a fresh bot with `persais dev`, speaks to it as a person at the chat page would, and prints what is said. Each
step says what must come; the first that differs ends the demo with exit code 1 and the reason.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from persais_core import errors
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

ROOT = Path(__file__).resolve().parent.parent
REQUEST = 'Создай агента "Echo", который повторяет сообщения пользователя'
BRANCH = "feat/add-echo-agent-v1"
CODER_WITHIN = 900.0  # seconds: the first time aider is fetched
DEPLOYED_WITHIN = 120.0  # seconds


class Difference(Exception):
    """What came is not what must come."""


def say(line: str = "") -> None:
    """One line of the transcript, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Demo:
    """One run."""

    def __init__(self, person: ChatClient) -> None:
        self.person = person
        self.stages: list[tuple[str, float]] = []

    async def step(
        self, text: str, wanted: Callable[[ChatMessage], bool], stage: str, within: float = 30.0
    ) -> ChatMessage:
        """Say something and wait for the answer."""
        say(f"User: {text}")
        started = time.monotonic()
        await self.person.send(text)
        return await self.answer(wanted, stage, started, within)

    async def tap(
        self, message: ChatMessage, label: str, wanted: Callable[[ChatMessage], bool], stage: str, within: float
    ) -> ChatMessage:
        """Tap a button and wait for what follows."""
        say(f"User: [{label}]")
        started = time.monotonic()
        await self.person.press(message, label)
        return await self.answer(wanted, stage, started, within)

    async def answer(
        self, wanted: Callable[[ChatMessage], bool], stage: str, started: float, within: float
    ) -> ChatMessage:
        """Wait for an answer, and print it."""
        shown: list[str] = []

        def look(message: ChatMessage) -> bool:
            failed = message.text.startswith("❌") or "\n❌" in message.text
            if failed and not wanted(message):
                shown.append(message.text)
            return failed or wanted(message)

        message = await self.person.wait_for(look, timeout=within)
        if not wanted(message):
            raise Difference(f"instead of the step {stage!r} the bot said: {message.text}")
        self.stages.append((stage, time.monotonic() - started))
        for number, line in enumerate(message.text.splitlines()):
            say(("Bot:  " if number == 0 else "      ") + line)
        if message.buttons:
            say("      " + " ".join(f"[{button.text}]" for row in message.buttons for button in row))
        say()
        return message

    async def play(self) -> None:
        """The whole story."""
        await self.step("/mechanic", is_exactly("🔧 Режим Механика активирован"), "mechanic mode")
        started = time.monotonic()
        await self.step(REQUEST, holds("Понял задачу", "Создам:", "bot/agents/echo.py", "⏳ Работаю..."), "plan")
        card = await self.answer(holds("✅ PR готов!"), "scaffold, code, check, pull request", started, CODER_WITHIN)
        for line in (f"Branch: {BRANCH}", "Files: 2 changed", "Tests: ✅ Passed"):
            if line not in card.text:
                raise Difference(f"the card lacks {line!r}")
        labels = [button.text for button in card.buttons[0]]
        if labels != ["Deploy", "Abort", "View PR"]:
            raise Difference(f"the card's buttons are {labels}")
        await self.tap(card, "Deploy", is_exactly("🚀 Deployed!"), "deploy", DEPLOYED_WITHIN)
        await self.step("/echo", is_exactly("🎭 Режим Echo активирован"), "echo mode")
        await self.step("Hello World", is_exactly("Echo: Hello World"), "echo answers")


def is_exactly(text: str) -> Callable[[ChatMessage], bool]:
    """The bot says this and nothing else."""
    return lambda message: message.from_bot and message.text == text


def holds(*texts: str) -> Callable[[ChatMessage], bool]:
    """The bot says all of these in one message."""
    return lambda message: message.from_bot and all(text in message.text for text in texts)


async def run(project: Path, home: Path) -> None:
    """Start the bot, play, stop the bot."""
    started = time.monotonic()
    coder = os.environ.get("AIDER_VENV") or str(ROOT / ".persais" / "aider-venv")
    async with live.running(project, home, tell=progress, AIDER_VENV=coder) as bot:
        ready = time.monotonic() - started
        say()
        async with bot.person(language="ru") as person:
            demo = Demo(person)
            await demo.play()
        show_log(home)
        show_seconds([("start of everything", ready), *demo.stages])


def progress(line: str) -> None:
    """What the bot prints, but for the key to its page and the other ways to talk to it."""
    if line.strip() and "key=" not in line and "in another terminal" not in line:
        say(f"  | {line}")


def show_log(home: Path) -> None:
    """The history of the bot's own repository."""
    remote = next(home.glob("*.git"))
    done = subprocess.run(
        ["git", "-C", str(remote), "log", "--graph", "--oneline", "--stat", "main"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    say("git log of the bot's own repository:")
    say(done.stdout.rstrip() or done.stderr.rstrip())
    say()


def show_seconds(stages: list[tuple[str, float]]) -> None:
    """What took how long."""
    say("Seconds:")
    for name, seconds in stages:
        say(f"  {name:<40} {seconds:6.1f}")


def main() -> int:
    """Exit code 0 only if all of it happened. The project may be given; persais-app is played with else."""
    project = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "persais-app"
    parent = ROOT / ".persais"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="demo-", dir=parent, ignore_cleanup_errors=True) as folder:
        try:
            asyncio.run(run(project, Path(folder)))
        except (Difference, errors.PersaisError, TimeoutError) as error:
            say(f"DEMO FAILED: {error or 'time is up'}")
            log = Path(folder) / "logs" / "bot.log"
            if log.is_file():
                wrong = [line for line in log.read_text().splitlines() if not re.search(r'"level": "info"', line)]
                say("\n".join(wrong[-20:]))
            return 1
    say("\n🎯 MISSION ACCOMPLISHED")
    return 0


if __name__ == "__main__":
    sys.exit(main())
