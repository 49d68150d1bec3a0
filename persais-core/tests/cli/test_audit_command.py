"""`persais audit`, run as a program on a database with entries."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persais_core import audit, errors, settings
from persais_core.cli import audit as audit_command
from persais_core.db.engine import Database
from persais_core.testing import live


async def show(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    values = settings.child_environment(**(dict.fromkeys(live.ALONE, "") | environment))
    argv = [sys.executable, "-m", "persais_core", "audit", *arguments]
    return await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, env=values, timeout=120, check=False
    )


async def note(database: Database, *actions: str) -> None:
    for action in actions:
        async with database.session() as session:
            audit.record(session, action, actor=7, subject="change 3", commit="a" * 40, cost=0.5)


async def test_the_newest_entry_is_the_last_line(database: Database, core_url: str) -> None:
    await note(database, "change requested", "merged", "deployed")
    done = await show("--limit", "2", DATABASE_URL=core_url)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[3] for line in lines] == ["7", "7"]
    assert [word in line for word, line in zip(("merged", "deployed"), lines, strict=True)] == [True, True]
    assert all("change 3" in line and "ok" in line and " aaaaaaaaaaaa  cost=0.5" in line for line in lines)


async def test_json_has_all_of_an_entry(database: Database, core_url: str) -> None:
    await note(database, "merged")
    async with database.session() as session:
        audit.record(session, "release activated", outcome="failed", cause="x" * 1000)
    done = await show("--json", DATABASE_URL=core_url)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first | {"id": 1, "at": ""} == {
        "id": 1, "at": "", "actor": 7, "action": "merged", "subject": "change 3", "outcome": "ok", "commit": "a" * 40,
        "alarm": None, "detail": {"cost": 0.5},
    }  # fmt: skip
    assert (second["actor"], second["outcome"], second["detail"]) == (None, "failed", {"cause": "x" * 1000})


async def test_a_run_by_hand_is_told_in_words_and_without_what_says_nothing(database: Database, core_url: str) -> None:
    async with database.session() as session:
        audit.record(
            session, "coder ended", actor=7, subject="change -1795838853", status="no_edits", denied=[], safe_mode=None,
            cost=0.0,
        )  # fmt: skip
    done = await show(DATABASE_URL=core_url)
    assert "  a trial  " in done.stdout
    assert done.stdout.rstrip().endswith("-  cost=0.0  status=no file was edited")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
async def test_words_of_strangers_do_nothing_to_the_terminal(
    database: Database, core_url: str, arguments: tuple[str, ...]
) -> None:
    async with database.session() as session:
        audit.record(session, "stranger refused", name="\x1b]0;owned\x07\x9b2J\u202egnp\nforged line")
    done = await show(*arguments, DATABASE_URL=core_url)
    assert done.stdout.count("\n") == 1
    assert done.stdout.rstrip("\n").isprintable()


async def test_entries_are_chosen_by_act_actor_change_and_time(database: Database, core_url: str) -> None:
    await note(database, "change requested", "merged")
    async with database.session() as session:
        audit.record(session, "tap", actor=8, subject="change 4", outcome="refused", alarm="tap", _mark="x")
    chosen = ("--action", "requested", "--since", "1h", "--actor", "7", "--change", "3")
    done = await show("--json", *chosen, DATABASE_URL=core_url)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1]
    done = await show("--change", "4", DATABASE_URL=core_url)
    assert "refused!" in done.stdout and "_mark" not in done.stdout  # alarming, and not for readers


def test_since_takes_how_long_ago_or_a_date() -> None:
    assert timedelta(hours=11.9) < datetime.now(UTC) - audit_command.moment("12h") < timedelta(hours=12.1)
    assert audit_command.moment("2026-11-27") == datetime(2026, 11, 27, tzinfo=UTC)
    assert audit_command.moment("2026-11-27T10:00+03:00") == datetime(2026, 11, 27, 7, tzinfo=UTC)
    for words in ("yesterday", "7", "99999999d", "999999w", ""):
        with pytest.raises(errors.SettingsError, match="7d"):
            audit_command.moment(words)


async def test_following_shows_what_is_added(database: Database, core_url: str) -> None:
    await note(database, "merged")
    values = settings.child_environment(**(dict.fromkeys(live.ALONE, "") | {"DATABASE_URL": core_url}))
    argv = [sys.executable, "-u", "-m", "persais_core", "audit", "--follow", "--json"]
    following = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, env=values)
    assert following.stdout
    try:
        async with asyncio.timeout(60):
            assert json.loads(await following.stdout.readline())["action"] == "merged"
            await note(database, "deployed")
            assert json.loads(await following.stdout.readline())["action"] == "deployed"
    finally:
        following.send_signal(signal.SIGINT)
        assert await following.wait() == 0


async def test_an_empty_log_says_so(core_url: str) -> None:
    assert (await show(DATABASE_URL=core_url)).stdout == "Nothing like that has been noted yet.\n"
    assert (await show("--json", DATABASE_URL=core_url)).stdout == ""


async def test_without_a_bot_it_says_what_is_missing(tmp_path: Path, empty_url: str) -> None:
    for environment, words in (
        ({"PERSAIS_HOME": str(tmp_path)}, "persais dev"),
        ({"DATABASE_URL": empty_url}, "audit"),
    ):
        done = await show(**environment)
        assert done.returncode == 1
        assert done.stderr.startswith("persais: ") and words in done.stderr
        assert "Traceback" not in done.stderr
