"""Tables through the chat: made, a field renamed, another one dropped only by its own tap, and brought back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from changes import WITHIN, ask, deploy, rows
from whole_bots import PROJECT, said

import minds
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live

SCHEMA = "bot/schemas/heroes.py"
FIELDS = [{"name": "name", "type": "str"}, {"name": "role", "type": "str", "optional": True}]
MAKE = {
    "understood": "A table of heroes",
    "slug": "add-heroes",
    "create": [{"kind": "schema", "name": "heroes", "title": "Heroes", "fields": FIELDS}],
    "steps": ["Say in the docstring that these are heroes."],
}
TEST = "tests/schemas/test_heroes.py"
RENAME = {
    "understood": "The role is called job",
    "slug": "rename-role",
    "edit": [SCHEMA, TEST],
    "renames": [{"schema_name": "heroes", "before": "role", "after": "job"}],
    "steps": ["Call the field role job."],
}
DROP = {
    "understood": "Heroes have no job any more",
    "slug": "drop-job",
    "edit": [SCHEMA, TEST],
    "steps": ["Remove the field job."],
}


@pytest.fixture(scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    async with live.running(
        PROJECT,
        tmp_path_factory.mktemp("tables"),
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        DEFAULT_MODEL="test-model",
        WATCH_SECONDS="1",
    ) as running:
        yield running


def columns(bot: live.Live) -> set[str]:
    where = "table_schema = 'public' and table_name = 'agent_heroes'"
    return {name for (name,) in rows(bot, f"select column_name from information_schema.columns where {where}")}


def execute(bot: live.Live, query: str) -> None:
    with psycopg.connect(EmbeddedPostgres(bot.home / "pg").url(), autocommit=True) as connection:
        connection.execute(query.encode())


def source(bot: live.Live, path: str) -> str:
    release = max((bot.home / "releases").iterdir(), key=lambda folder: folder.stat().st_mtime)
    return (release / path).read_text()


async def test_a_renamed_field_keeps_its_data_and_one_is_dropped_by_its_own_tap_alone_and_comes_back(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    mind.planner[:] = [json.dumps(MAKE)]
    mind.coder[:] = [lambda messages: add_comment(messages)]
    card = await ask(person, "Keep heroes with name and role")
    assert "PR is ready" in card.text, card.text
    await deploy(person, card)
    assert {"name", "role", "created_by"} <= columns(bot)
    execute(bot, "insert into agent_heroes (name, role, created_at, updated_at, is_deleted, created_by) "
                 "values ('Ann', 'wizard', now(), now(), false, 1), ('Bob', null, now(), now(), false, 1)")  # fmt: skip
    before = rows(bot, "select id, name, role from agent_heroes order by id")

    mind.planner[:] = [json.dumps(RENAME)]
    mind.coder[:] = ["".join(renamed(source(bot, path), path) for path in (SCHEMA, TEST))]
    card = await ask(person, "Call the role of heroes job")
    assert "PR is ready" in card.text, card.text
    assert "role becomes job, with what is in it" in card.text
    await deploy(person, card)
    execute(bot, "update agent_heroes set job = 'king' where name = 'Bob'")
    before[1] = (*before[1][:2], "king")
    for field in ("role", "job"):
        assert rows(bot, f"select id, name, {field} from agent_heroes order by id") == before

    mind.planner[:] = [json.dumps(DROP)]
    mind.coder[:] = ["".join(without_job(source(bot, path), path) for path in (SCHEMA, TEST))]
    card = await ask(person, "Heroes have no job")
    assert "PR is ready" in card.text, card.text
    losses, left = card.text.split("Left from change 2")
    assert "the field job is dropped" in losses
    assert "the field role is dropped" in left
    await deploy(person, card, "Deploy and drop")
    await person.wait_for(lambda m: "was put aside" in m.text, timeout=WITHIN)
    assert not {"role", "job"} & columns(bot)
    assert rows(bot, "select id, name from agent_heroes order by id") == [row[:2] for row in before]

    await said(person, "/rollback", "is not in the bot any more", timeout=WITHIN)
    assert rows(bot, "select id, name, job from agent_heroes order by id") == before


def add_comment(messages: list[dict[str, object]]) -> str:
    """An edit of the schema's docstring, found in what the coder was shown."""
    shown = "\n".join(str(message["content"]) for message in messages)
    line = next(line for line in shown.splitlines() if line.startswith('"""') and "eroes" in line)
    return minds.search_replace(SCHEMA, f"{line}\n", f"{line}\n# They are heroes.\n")


def renamed(text: str, path: str) -> str:
    """An edit that calls the role job."""
    return minds.search_replace(path, text, text.replace("role", "job"))


def without_job(text: str, path: str) -> str:
    """An edit that takes every line about the job away."""
    shorter = text.replace(', job="Hello World"', "")
    kept = "".join(line for line in shorter.splitlines(keepends=True) if "job" not in line)
    return minds.search_replace(path, text, kept)
