"""What the tests of whole bots share: where the project lies, commands at a terminal, and words that get an answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from persais_core import settings
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

ROOT = Path(__file__).resolve().parents[3]
PROJECT = ROOT / "persais-app"


async def said(person: ChatClient, text: str, *words: str, timeout: float = 30.0) -> ChatMessage:
    """Say something, and return the first message the bot answers with that holds all these words.

    The chat is shared with tests before this one. What belongs to them may be changed late, such as the card of a
    change, or be told late, such as an alarm: neither is an answer, which is a new message.
    """
    asked = await person.send(text)
    return await person.wait_for(
        lambda m: m.id > asked.id and not m.text.startswith("🚨") and all(word in m.text for word in words), timeout
    )


def run_persais(*arguments: str, cwd: Path | None = None) -> str:
    """Run a `persais` command that must succeed, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "persais_core", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def persais(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    values = settings.child_environment(**dict.fromkeys(live.ALONE, ""), **environment)
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "persais_core", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=values,
        timeout=120,
        check=False,
    )


def commit_everything(project: Path) -> None:
    """Commit all files of a project."""
    for arguments in (("add", "-A"), ("-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-qm", "More")):
        subprocess.run(["git", "-C", str(project), *arguments], check=True)


def a_project(folder: Path, *scaffolds: tuple[str, ...]) -> Path:
    """A new project in a folder, committed, with what `persais scaffold` makes of these words."""
    run_persais("new", str(folder))
    for words in scaffolds:
        run_persais("scaffold", *words, cwd=folder)
    if scaffolds:
        commit_everything(folder)
    return folder
