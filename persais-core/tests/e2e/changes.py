"""What the tests of whole changes share: asking, waiting, looking into the database and the repositories."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from persais_core.db.embedded import EmbeddedPostgres
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

WITHIN = 120.0  # seconds for a change; far more than it takes
STATES = ("planning", "scaffolding", "coding", "verifying", "delivering", "awaiting_approval", "deploying")
AGENT = "bot/agents/parrot.py"


def a_plan(**fields: object) -> str:
    """A planner's answer that changes the parrot, with some fields different."""
    plan = {"understood": "Change the parrot", "slug": "change-parrot", "edit": [AGENT], "steps": ["Do it."]}
    return json.dumps(plan | fields)


def is_final(message: ChatMessage) -> bool:
    """A message after which nothing more comes of a request by itself."""
    return (
        message.text.startswith(("I cannot", "Tell me", "That request", "❓"))
        or "\n❌ It did not" in f"\n{message.text}"
    )


async def ask(person: ChatClient, request: str) -> ChatMessage:
    """Ask for a change and return the card, or the message that says why there is none."""
    return await ready(person, after=await person.send(request))


async def ready(person: ChatClient, *, after: ChatMessage) -> ChatMessage:
    """Wait for the card of the change that is under way, or the message that says why there is none.

    Args:
        after: what the change was asked for with, or the message whose [Retry] was tapped. The change is told of below
            it; what stands above belongs to others, which may be told of still.
    """
    return await person.wait_for(
        lambda m: m.id > after.id and (("PR is ready" in m.text and bool(m.buttons)) or is_final(m)), timeout=WITHIN
    )


async def abort(person: ChatClient, card: ChatMessage) -> None:
    """Tap [Abort], and wait until that very message says that it was."""
    await person.press(card, "Abort")
    await person.wait_for(
        lambda m: m.id == card.id and (m.text.startswith("🗑") or "was aborted" in m.text), timeout=WITHIN
    )


async def deploy(person: ChatClient, card: ChatMessage, label: str = "Deploy") -> None:
    """Tap a button that deploys, and wait for the news that it serves, which is a message of its own."""
    await person.press(card, label)
    await person.wait_for(lambda m: m.id > card.id and m.text.startswith("🚀 Deployed!"), timeout=WITHIN)


def git(project: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=True).stdout


def remote(bot: live.Live) -> Path:
    return next(bot.home.glob("*.git"))


def rows(bot: live.Live, query: str) -> list[tuple[Any, ...]]:
    """What the bot's database says."""
    with psycopg.connect(EmbeddedPostgres(bot.home / "pg").url()) as connection:
        return connection.execute(query.encode()).fetchall()


def traces(bot: live.Live, project: Path) -> dict[str, object]:
    """What a change could leave behind."""
    return {
        "branches": git(project, "branch", "-a", "--format=%(refname)"),
        "worktrees": git(project, "worktree", "list"),
        "remote branches": git(remote(bot), "branch", "--format=%(refname)"),
        "main": git(remote(bot), "rev-parse", "main"),
        "folders": sorted(p.name for name in ("worktrees", "scratch") for p in (bot.home / name).glob("*")),
        "status": git(project, "status", "--porcelain"),
        "schemas": rows(bot, "select nspname from pg_namespace where nspname not like 'pg_t%' order by 1"),
        "databases": rows(bot, "select datname from pg_database order by 1"),
        "coders": subprocess.run(
            ["pgrep", "-f", f"driver.py.*{bot.home}"], capture_output=True, text=True, check=False
        ).stdout,
        "open pull requests": rows(bot, "select number from persais.pull_requests where state = 'open'"),
    }


async def reached(bot: live.Live, state: str, *, after: int) -> int:
    """Wait until the change that follows another is in a state, or beyond it, and return its number."""
    beyond = (*STATES[STATES.index(state) :], "deployed", "failed")
    async with asyncio.timeout(WITHIN):
        while True:
            found = rows(bot, f"select id, state from persais.changes where id > {after} order by id limit 1")
            if found and found[0][1] in beyond:
                return int(found[0][0])
            await asyncio.sleep(0.01)


def newest(bot: live.Live) -> int:
    """The number of the change that was asked for last."""
    return int(rows(bot, "select coalesce(max(id), 0) from persais.changes")[0][0])


def kill_release(bot: live.Live) -> None:
    """kill -9 of the serving process; its supervisor starts it again."""
    found = subprocess.run(
        ["pgrep", "-f", f"serve --root {bot.home}"], capture_output=True, text=True, check=False
    ).stdout
    for number in found.split():
        os.kill(int(number), signal.SIGKILL)
