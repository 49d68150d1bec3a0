"""`persais rollback`, run as a program; the bot's own part is played by the test, through the database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from persais_core import audit, settings
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ChangeRow, Deployment
from persais_core.domain.changes import Change, ChangeState
from persais_core.queue.activity import WORK_LOCK
from persais_core.testing import live

MERGED, REVERTED = "a1" * 20, "b2" * 20
Run = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


async def run(*arguments: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    values = settings.child_environment(**(dict.fromkeys(live.ALONE, "") | environment))
    argv = [sys.executable, "-m", "persais_core", "rollback", *arguments]
    return await asyncio.to_thread(
        subprocess.run, argv, input=said, capture_output=True, text=True, env=values, timeout=120, check=False
    )


@pytest.fixture
async def rollback(core_url: str, sql: psycopg.AsyncConnection) -> Run:
    """Runs the command beside a bot, which is the lock that whoever does the Mechanic's work holds."""
    await sql.execute("insert into persais.active_release (id, commit, since) values (1, %s, now())", (MERGED,))
    await sql.execute("select pg_advisory_lock(%(kind)s, %(number)s)", WORK_LOCK)

    async def beside_a_bot(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return await run(*arguments, said=said, DATABASE_URL=core_url)

    return beside_a_bot


@pytest.fixture
async def deployed(database: Database) -> int:
    """Number of a change that serves."""
    async with database.session() as session:
        row = ChangeRow(chat_id=7, user_id=7, state=ChangeState.DEPLOYED, branch="feat/shout-v1")
        session.add(row)
        await session.flush()
        assert row.id is not None
        row.body = Change(
            id=row.id, chat_id=7, user_id=7, language="en", request="Shout\x1b[2J back", state=ChangeState.DEPLOYED,
            branch="feat/shout-v1", merge_commit=MERGED,
        ).model_dump(mode="json")  # fmt: skip
        return row.id


async def asked(sql: psycopg.AsyncConnection) -> list[dict[str, object]]:
    """What the rollback jobs in the queue were given."""
    query = "select args from persais_queue.procrastinate_jobs where task_name = 'rollback' order by id"
    return [args for (args,) in await (await sql.execute(query)).fetchall()]


async def played(
    database: Database,
    sql: psycopg.AsyncConnection,
    change: int,
    *,
    outcome: str,
    deployment: str = "",
    cause: str = "",
) -> None:
    """What a bot does about the first job."""
    async with asyncio.timeout(60):
        while not await asked(sql):
            await asyncio.sleep(0.05)
    async with database.session() as session:
        commit = REVERTED if outcome == "ok" else None
        detail = {"cause": cause} if outcome != "ok" else {}
        audit.record(
            session, "rolled back", actor=1, subject=f"change {change}", outcome=outcome, commit=commit, **detail
        )
        if deployment:
            session.add(Deployment(change_id=change, commit=REVERTED, state=deployment, cause=cause or None))


async def test_the_change_is_named_and_what_the_bot_does_is_followed(
    rollback: Run, database: Database, sql: psycopg.AsyncConnection, deployed: int
) -> None:
    bot = asyncio.create_task(played(database, sql, deployed, outcome="ok", deployment="serving"))
    done = await rollback(MERGED[:7], said="y\n")
    await bot
    assert done.returncode == 0, done.stderr
    assert f"Change {deployed} (feat/shout-v1, {MERGED[:12]}): Shout" in done.stdout
    assert "\x1b" not in done.stdout
    assert REVERTED[:12] in done.stdout and f"change {deployed} is not in the bot any more" in done.stdout
    assert [job["what"] for job in await asked(sql)] == [str(deployed)]


async def test_no_answer_or_no_asks_for_nothing(rollback: Run, sql: psycopg.AsyncConnection, deployed: int) -> None:
    for said in ("n\n", "\n", ""):
        assert (await rollback(said=said)).returncode == 1
    assert await asked(sql) == []


async def test_a_bot_that_cannot_take_it_back_says_why(
    rollback: Run, database: Database, sql: psycopg.AsyncConnection, deployed: int
) -> None:
    bot = asyncio.create_task(played(database, sql, deployed, outcome="failed", cause="later changes build on it"))
    done = await rollback("--yes")
    await bot
    assert done.returncode == 1
    assert "nothing was rolled back: later changes build on it" in done.stderr


async def test_a_version_that_does_not_start_is_told(
    rollback: Run, database: Database, sql: psycopg.AsyncConnection, deployed: int
) -> None:
    bot = asyncio.create_task(played(database, sql, deployed, outcome="ok", deployment="failed", cause="no such name"))
    done = await rollback(f"#{deployed}", "--yes")
    await bot
    assert done.returncode == 1
    assert "does not start" in done.stderr and "no such name" in done.stderr


async def test_nothing_to_take_back_is_one_line(rollback: Run, deployed: int) -> None:
    for words, what in (("1234567 is no deployed change", "1234567"), ("name a commit", "everything")):
        done = await rollback(what, "--yes")
        assert done.returncode == 1
        assert done.stderr.startswith("persais: ") and words in done.stderr


async def test_nothing_was_ever_deployed(rollback: Run) -> None:
    assert "no deployed change" in (await rollback("--yes")).stderr


async def test_a_database_without_its_bot_gets_no_job(
    core_url: str, sql: psycopg.AsyncConnection, deployed: int, tmp_path: Path
) -> None:
    for environment in ({"DATABASE_URL": core_url}, {"PERSAIS_HOME": str(tmp_path)}):
        done = await run("--yes", **environment)
        assert done.returncode == 1
        assert "persais dev" in done.stderr and "Traceback" not in done.stderr
    assert await asked(sql) == []
