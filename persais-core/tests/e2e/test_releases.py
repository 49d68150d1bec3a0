"""Versions that hang, leak or break at their start never replace the old one, which answers everything meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from changes import remote, rows
from whole_bots import a_project, commit_everything, said

from persais_core.db.embedded import EmbeddedPostgres
from persais_core.testing import live

BROKEN = {
    "breaks at import": ("raise RuntimeError('no')", "RuntimeError: no"),
    "ends at import": ("import os\nos._exit(3)", "exit code 3"),
    # It is asked how it is every 5 seconds, and can be told to end once it has slept.
    "leaks at start": ("import time\nhoard = bytearray(1400 << 20)\ntime.sleep(11)", "MB of memory"),
    "hangs at start": ("import time\ntime.sleep(600)", "did not get healthy within"),
}
ENDED_WITHIN = 180.0  # seconds; hanging is waited for a minute, and then half a minute for its end


@pytest.fixture(scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path) -> AsyncIterator[live.Live]:
    folder = tmp_path_factory.mktemp("releases")
    project = a_project(folder / "project", ("agent", "parrot"))
    async with live.running(project, folder / "home", AIDER_VENV=str(aider_venv)) as running:
        yield running


def push(bot: live.Live, text: str) -> str:
    """Put a commit with a broken agent on main, as somebody might by hand, and return it."""
    work = bot.home.parent / "by-hand"
    if not work.exists():
        subprocess.run(["git", "clone", "-q", str(remote(bot)), str(work)], check=True)
    (work / "bot" / "agents" / "broken.py").write_text(text + "\n")
    commit_everything(work)
    subprocess.run(["git", "-C", str(work), "push", "-q", "origin", "HEAD:main"], check=True)
    done = subprocess.run(["git", "-C", str(work), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def deploy(bot: live.Live, commit: str) -> None:
    with psycopg.connect(EmbeddedPostgres(bot.home / "pg").url(), autocommit=True) as connection:
        connection.execute(
            "insert into persais.deployments (commit, state, requested_at) values (%s, 'requested', now())", (commit,)
        )
        connection.execute("notify persais_deployments")


def failure(bot: live.Live, commit: str) -> str | None:
    """Why the deployment of a commit failed, once it has."""
    found = rows(bot, f"select cause from persais.deployments where commit = '{commit}' and state = 'failed'")
    return found[0][0] if found else None


@pytest.mark.parametrize("kind", BROKEN)
async def test_the_old_version_answers_all_that_is_said_meanwhile(bot: live.Live, kind: str) -> None:
    text, cause = BROKEN[kind]
    async with bot.person() as person:
        await said(person, "/parrot", "Parrot mode")
        commit = await asyncio.to_thread(push, bot, text)
        deploy(bot, commit)
        sent = 0
        async with asyncio.timeout(ENDED_WITHIN):
            while not (ended := failure(bot, commit)):
                sent += 1
                await person.send(f"{kind} {sent}")
                await person.wait_for(lambda m, n=sent: m.text == f"{kind} {n}")
                await asyncio.sleep(0.5)
        assert cause in ended
        answers = [m.text for m in await person.history() if m.from_bot and m.text.startswith(f"{kind} ")]
    assert answers == [f"{kind} {number}" for number in range(max(1, sent - len(answers) + 1), sent + 1)]
    assert sent >= 1


async def test_a_good_version_is_deployed_after_all_that(bot: live.Live) -> None:
    commit = await asyncio.to_thread(push, bot, '"""Nothing here."""')
    deploy(bot, commit)
    async with asyncio.timeout(ENDED_WITHIN):
        while rows(bot, f"select state from persais.deployments where commit = '{commit}'") != [("serving",)]:
            await asyncio.sleep(0.2)
    async with bot.person() as person:
        await person.send("and now")
        await person.wait_for(lambda m: m.text == "and now")
