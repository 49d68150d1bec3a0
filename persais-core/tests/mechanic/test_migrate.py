"""What a change does to the tables, from the proof to the deployment and back, and what a start does on its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

import tables
from persais_core import errors
from persais_core.db import app_schema, app_sql
from persais_core.db.engine import Database
from persais_core.domain.changes import Change
from persais_core.domain.plans import FieldRename, FieldSpec, Part, Plan
from persais_core.mechanic import cards, migrate
from persais_core.security import sandbox
from persais_core.templates import engine, projects

NOTES = "agent_notes"
CHANGE = Change(id=7, chat_id=1, user_id=1, language="en", request="Notes, please", commit="c" * 40)


@pytest.fixture
def shop(own_database: Database) -> Any:
    """As much of a workshop as is used here: the database."""
    return SimpleNamespace(database=own_database)


def audit(url: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select action, subject, outcome from persais.audit order by id").fetchall()


def columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        table = app_schema.observe(connection).table(NOTES)
    return {column.name for column in table.columns} - {"id", "created_by"} if table else set()


def text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String, **options)


async def test_a_change_goes_its_way_and_back(shop: Any, own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [text("old", nullable=False)]}))
    await migrate.keep(shop, 7, tables.migration(own_url, tables.declared({NOTES: [text("new")]})))
    async with shop.database.session() as session:
        assert await migrate.losses(session, 7, "en") == (
            f"In {NOTES}, the field old is dropped; what is in it is kept aside for 30 days.",
        )
    assert await migrate.before_proving(shop, CHANGE) is True
    assert await migrate.before_proving(shop, CHANGE) is False
    assert await migrate.after_confirmed(shop, CHANGE) is False  # nobody has tapped [Deploy and drop]
    assert columns(own_url) == {"old", "new"}
    async with shop.database.session() as session:
        await migrate.allow(session, 7, actor=5)
    assert await migrate.after_confirmed(shop, CHANGE) is True
    assert columns(own_url) == {"new"}
    assert await migrate.take_back(shop, CHANGE) is True
    assert await migrate.take_back(shop, CHANGE) is False
    assert columns(own_url) == {"old"}
    assert audit(own_url) == [
        ("tables changed", "change 7", "ok"),
        ("loss allowed", "change 7", "ok"),
        ("tables dropped", "change 7", "ok"),
        ("tables taken back", "change 7", "ok"),
    ]


async def test_what_an_earlier_change_left_is_told_apart_and_goes_with_the_same_tap(shop: Any, own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [text("old"), text("gone")]}))
    await migrate.keep(shop, 3, tables.migration(own_url, tables.declared({NOTES: [text("gone")]})))
    both = tables.migration(own_url, tables.declared({NOTES: [text("new")]}))
    steps = [step.model_copy(update={"is_left": step.column == "old"}) for step in both.operations]
    await migrate.keep(shop, 7, app_sql.write(steps, tag=tables.TAG))
    async with shop.database.session() as session:
        losses, left = await migrate.losses(session, 7, "en"), await migrate.left(session, 7, "en")
        await migrate.allow(session, 7, actor=5)
    about = f"In {NOTES}, the field {{}} is dropped; what is in it is kept aside for 30 days."
    assert losses == (about.format("gone"),)
    assert left == (f"🗄 Left from change 3, and done by Deploy and drop too: {about.format('old')}",)
    await migrate.before_proving(shop, CHANGE)
    await migrate.after_confirmed(shop, CHANGE)
    assert columns(own_url) == {"new"}
    plan = Plan(
        understood="Notes",
        edit=("bot/schemas/notes.py",),
        renames=(FieldRename(schema_name="notes", before="text", after="body"),),
    )
    told = cards.card(CHANGE.model_copy(update={"plan": plan, "left": left})).text
    assert "loses or binds" not in told
    assert "Left from change 3" in told
    assert "text becomes body, with what is in it" in told


async def test_tables_that_changed_since_the_proof_stop_the_deployment(shop: Any, own_url: str) -> None:
    await migrate.keep(shop, 7, tables.migration(own_url, tables.declared({NOTES: [text("a")]})))
    tables.make(own_url, tables.declared({NOTES: [text("b")]}))
    with pytest.raises(errors.DatabaseError, match="already exists"):
        await migrate.before_proving(shop, CHANGE)
    assert columns(own_url) == {"b"}
    assert audit(own_url) == [("tables changed", "change 7", "failed")]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_every_step_has_a_sentence_in_both_languages(language: Any) -> None:
    from persais_core import texts
    from persais_core.db import app_steps

    for kind in app_steps.SENTENCES:
        step = app_steps.Operation(kind=kind)
        assert texts.say(language, step.text_id, **step.values)


# --- the start of a release ---


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "bot"
    projects.render(root, name="my-bot")
    fields = (FieldSpec(name="text", type="str"),)
    engine.scaffold(root, [Part(kind="schema", name="notes", fields=fields)])
    return root


@pytest.mark.parametrize("box", [
    sandbox.Sandbox(secrets_present=False),
    sandbox.Sandbox(secrets_present=True, readable=(Path("/"),)),  # the canary gets out, so it refuses
], ids=["sandbox", "no sandbox"])  # fmt: skip
async def test_a_release_on_an_empty_database_gets_its_tables(
    own_database: Database, own_url: str, project: Path, box: sandbox.Sandbox
) -> None:
    await migrate.bring_up(own_database, project, box, commit="c")
    assert columns(own_url) == {"text", "created_at", "updated_at", "is_deleted"}
    file = project / "bot/schemas/notes.py"
    file.write_text(file.read_text() + "    done: bool = False\n")
    await migrate.bring_up(own_database, project, box, commit="d")
    assert "done" in columns(own_url)


async def test_a_start_whose_schemas_were_seen_before_does_not_read_them_again(
    own_database: Database, own_url: str, project: Path
) -> None:
    box = sandbox.Sandbox(secrets_present=False)
    await migrate.bring_up(own_database, project, box, commit="c")
    with psycopg.connect(own_url) as connection:
        connection.execute(f"drop table {NOTES}")
    await migrate.bring_up(own_database, project, box, commit="c")
    assert columns(own_url) == set()


async def test_schemas_that_cannot_be_read_do_not_keep_a_release_from_starting(
    own_database: Database, own_url: str, project: Path
) -> None:
    file = project / "bot/schemas/notes.py"
    file.write_text(file.read_text() + "raise ValueError\n")
    await migrate.bring_up(own_database, project, sandbox.Sandbox(secrets_present=False), commit="c")
    assert columns(own_url) == set()


async def test_admins_are_told_of_a_field_that_was_renamed_since_the_database_was_as_it_is(
    own_database: Database, own_url: str, project: Path
) -> None:
    box = sandbox.Sandbox(secrets_present=False)
    await migrate.bring_up(own_database, project, box, commit="c")
    file = project / "bot/schemas/notes.py"
    wanted = file.read_text()
    file.write_text(wanted.replace("text: str", "body: str | None = None"))
    await migrate.bring_up(own_database, project, box, commit="d")
    assert alarms(own_url) == []  # no record is missing where there is none
    with psycopg.connect(own_url) as connection:
        connection.execute(f"alter table {NOTES} drop column body")
        connection.execute(
            f"insert into {NOTES} (text, created_at, updated_at, is_deleted, created_by) "
            "values ('a', now(), now(), false, 1)"
        )
    file.write_text(file.read_text() + "# a later moment\n")
    for _ in range(2):
        await migrate.bring_up(own_database, project, box, commit="e")
    assert alarms(own_url) == [("tables", ["agent_notes: body is new, text has records"])]
    file.write_text(wanted.replace("text: str", "title: str"))
    await migrate.bring_up(own_database, project, box, commit="f")
    kind, (cause,) = alarms(own_url)[1]
    assert (kind, cause.partition(":")[0]) == ("tables", "agent_notes.title")


def alarms(url: str) -> list[tuple[str, list[str]]]:
    with psycopg.connect(url) as connection:
        query = "select alarm, detail -> 'cause' from persais.audit where alarm is not null order by id"
        return connection.execute(query).fetchall()
