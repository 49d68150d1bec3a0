"""Tables through the chat: made, changed, a field dropped only by its own tap, and brought back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from changes import WITHIN, ask, rows

import minds
from conftest import PROJECT
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
DROP = {
    "understood": "Heroes have no role any more",
    "slug": "drop-role",
    "edit": [SCHEMA, "tests/schemas/test_heroes.py"],
    "steps": ["Remove the field role."],
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


@pytest.fixture
async def person(bot: live.Live, mind: minds.Mind) -> AsyncIterator[ChatClient]:
    mind.forget()
    async with bot.person() as somebody:
        await somebody.send("/mechanic")
        await somebody.wait_for(lambda m: m.text == "🔧 Mechanic mode activated")
        yield somebody
    mind.forget()


def columns(bot: live.Live) -> set[str]:
    where = "table_schema = 'public' and table_name = 'agent_heroes'"
    return {name for (name,) in rows(bot, f"select column_name from information_schema.columns where {where}")}


def execute(bot: live.Live, query: str) -> None:
    with psycopg.connect(EmbeddedPostgres(bot.home / "pg").url(), autocommit=True) as connection:
        connection.execute(query.encode())


def source(bot: live.Live, path: str) -> str:
    release = max((bot.home / "releases").iterdir(), key=lambda folder: folder.stat().st_mtime)
    return (release / path).read_text()


async def test_a_field_is_dropped_by_its_own_tap_alone_and_comes_back_with_its_data(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    mind.planner[:] = [json.dumps(MAKE)]
    mind.coder[:] = [lambda messages: add_comment(messages)]
    card = await ask(person, "Keep heroes with name and role")
    assert "PR is ready" in card.text, card.text
    await person.press(card, "Deploy")
    await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
    assert {"name", "role", "created_by"} <= columns(bot)
    execute(bot, "insert into agent_heroes (name, role, created_at, updated_at, is_deleted, created_by) "
                 "values ('Ann', 'wizard', now(), now(), false, 1), ('Bob', null, now(), now(), false, 1)")  # fmt: skip
    before = rows(bot, "select id, name, role from agent_heroes order by id")

    schema, test = source(bot, SCHEMA), source(bot, "tests/schemas/test_heroes.py")
    mind.planner[:] = [json.dumps(DROP)]
    mind.coder[:] = [without_role(schema, SCHEMA) + without_role(test, "tests/schemas/test_heroes.py")]
    card = await ask(person, "Heroes have no role")
    assert "PR is ready" in card.text, card.text
    assert "the field role is dropped" in card.text
    await person.press(card, "Deploy and drop")
    await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
    await person.wait_for(lambda m: "was put aside" in m.text, timeout=WITHIN)
    assert "role" not in columns(bot)
    assert rows(bot, "select id, name from agent_heroes order by id") == [row[:2] for row in before]

    await person.send("/rollback")
    await person.wait_for(lambda m: "is not in the bot any more" in m.text, timeout=WITHIN)
    assert rows(bot, "select id, name, role from agent_heroes order by id") == before


def add_comment(messages: list[dict[str, object]]) -> str:
    """An edit of the schema's docstring, found in what the coder was shown."""
    shown = "\n".join(str(message["content"]) for message in messages)
    line = next(line for line in shown.splitlines() if line.startswith('"""') and "eroes" in line)
    return minds.search_replace(SCHEMA, f"{line}\n", f"{line}\n# They are heroes.\n")


def without_role(text: str, path: str) -> str:
    """An edit that takes every line about the role away."""
    shorter = text.replace(', role="Hello World"', "")
    kept = "".join(line for line in shorter.splitlines(keepends=True) if "role" not in line)
    return minds.search_replace(path, text, kept)
