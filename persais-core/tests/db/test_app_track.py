"""The track of the bot's own tables: planned, run once, taken back, and brought up on a database that saw nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

import tables
from persais_core.db import app_migrations, app_schema, app_track
from persais_core.db.app_schema import Schema
from persais_core.db.app_sql import Migration
from persais_core.db.engine import Database
from persais_core.domain.plans import FieldSpec, Part
from persais_core.templates import engine, projects

NOTES = "agent_notes"


def text(**options: Any) -> sa.Column[str]:
    return sa.Column("text", sa.String, **options)


def notes(*columns: Any) -> Schema:
    return tables.declared({NOTES: columns})


@pytest.fixture
def track(own_database: Database) -> Database:
    return own_database


async def plan(track: Database, change: int, migration: Migration) -> None:
    async with track.session() as session:
        await app_track.plan(session, change, migration)


async def states(track: Database, change: int) -> list[tuple[bool, str]]:
    async with track.session() as session:
        return [(item.is_lossy, item.state) for item in await app_track.stored(session, change)]


def fields(url: str) -> set[str]:
    """The columns of the notes, apart from those of every record."""
    with psycopg.connect(url) as connection:
        table = app_schema.observe(connection).table(NOTES)
    return {column.name for column in table.columns} - {"id", "created_by"} if table else set()


async def test_a_change_is_planned_run_once_and_taken_back_once(track: Database, own_url: str) -> None:
    await plan(track, 7, tables.migration(own_url, notes(text())))
    assert await states(track, 7) == [(False, "planned")]
    assert app_track.apply(own_url, 7, commit="c" * 40) is True
    assert app_track.apply(own_url, 7) is False
    assert (await states(track, 7), fields(own_url)) == ([(False, "applied")], {"text"})
    tables.add(own_url, NOTES, {"text": "a"})
    assert app_track.revert(own_url, change_id=7) is True
    assert app_track.revert(own_url, change_id=7) is False
    assert (await states(track, 7), fields(own_url)) == ([(False, "reverted")], set())
    assert app_track.apply(own_url, 7) is True
    assert tables.rows(own_url, NOTES, "text") == [("a",)]
    assert app_track.revert(own_url, commit="c" * 40) is True


async def test_a_change_that_touches_no_table_has_nothing_stored(track: Database, own_url: str) -> None:
    await plan(track, 7, tables.migration(own_url, notes(text())))
    await plan(track, 7, Migration())
    assert await states(track, 7) == []
    assert app_track.apply(own_url, 7) is False
    assert app_track.apply(own_url, 7, is_lossy=True) is False
    assert app_track.revert(own_url, change_id=7) is False


async def test_what_was_run_is_not_planned_anew(track: Database, own_url: str) -> None:
    made = tables.migration(own_url, notes(text()))
    await plan(track, 7, made)
    app_track.apply(own_url, 7)
    with pytest.raises(app_track.MigrationError, match="take it back first"):
        await plan(track, 7, made)


async def test_nothing_is_dropped_before_somebody_allowed_it(track: Database, own_url: str) -> None:
    tables.make(own_url, notes(text(nullable=False)))
    tables.add(own_url, NOTES, {"text": "a"})
    await plan(track, 7, tables.migration(own_url, notes()))
    assert app_track.apply(own_url, 7) is True
    with pytest.raises(app_track.MigrationError, match="nobody has allowed"):
        app_track.apply(own_url, 7, is_lossy=True)
    assert (await states(track, 7), fields(own_url)) == ([(False, "applied"), (True, "planned")], {"text"})
    async with track.session() as session:
        assert await app_track.allow(session, 7, actor=5) is True
        assert await app_track.allow(session, 8, actor=5) is False
    assert app_track.apply(own_url, 7, is_lossy=True) is True
    assert fields(own_url) == set()
    async with track.session() as session:
        safe, lossy = await app_track.stored(session, 7)
    assert (safe.actor, lossy.actor) == (None, 5)
    assert lossy.steps == (("migration-drop-column", {"table": NOTES, "column": "text", "name": "", "detail": ""}),)
    assert app_track.revert(own_url, change_id=7) is True
    assert tables.rows(own_url, NOTES, "text") == [("a",)]
    assert tables.contents(own_url) == []


async def test_a_script_that_fails_changes_nothing_and_says_why(track: Database, own_url: str) -> None:
    made = tables.migration(own_url, notes(text()))
    broken = made.model_copy(update={"safe": made.safe.model_copy(update={"up": made.safe.up + "select 1/0;"})})
    await plan(track, 7, broken)
    with pytest.raises(app_track.MigrationError, match="division by zero"):
        app_track.apply(own_url, 7)
    assert (await states(track, 7), fields(own_url)) == ([(False, "failed")], set())
    async with track.session() as session:
        (stored,) = await app_track.stored(session, 7)
    assert stored.error == "the database refused: division by zero"
    await plan(track, 7, made)
    assert app_track.apply(own_url, 7) is True


async def test_what_was_dropped_more_than_thirty_days_ago_is_not_brought_back(track: Database, own_url: str) -> None:
    tables.make(own_url, notes(text()))
    tables.add(own_url, NOTES, {"text": "a"})
    await plan(track, 7, tables.migration(own_url, notes()))
    async with track.session() as session:
        await app_track.allow(session, 7, actor=5)
    app_track.apply(own_url, 7, is_lossy=True)
    with psycopg.connect(own_url) as connection:
        connection.execute("update attic.contents set since = now() - interval '31 days'")
    assert app_track.purge(own_url) == (f"{NOTES}__text__{tables.TAG}b",)
    with pytest.raises(app_track.MigrationError, match="30 days"):
        app_track.revert(own_url, change_id=7)
    assert await states(track, 7) == [(True, "applied")]


async def test_a_change_made_again_after_its_records_were_thrown_away_starts_empty(
    track: Database, own_url: str
) -> None:
    await plan(track, 7, tables.migration(own_url, notes(text())))
    app_track.apply(own_url, 7)
    tables.add(own_url, NOTES, {"text": "a"})
    app_track.revert(own_url, change_id=7)
    with psycopg.connect(own_url) as connection:
        connection.execute("update attic.contents set since = now() - interval '31 days'")
    app_track.purge(own_url)
    assert app_track.apply(own_url, 7) is True
    assert tables.rows(own_url, NOTES, "text") == []


async def test_many_at_once_run_a_script_once(track: Database, own_url: str) -> None:
    await plan(track, 7, tables.migration(own_url, notes(text())))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: app_track.apply(own_url, 7), range(8)))
    assert sorted(done) == [False] * 7 + [True]


async def test_changes_are_taken_back_the_last_first(track: Database, own_url: str) -> None:
    await plan(track, 1, tables.migration(own_url, notes(text()), tag="one"))
    app_track.apply(own_url, 1, commit="c" * 40)
    await plan(track, 2, tables.migration(own_url, notes(text(), sa.Column("n", sa.Integer)), tag="two"))
    app_track.apply(own_url, 2, commit="c" * 40)
    assert fields(own_url) == {"text", "n"}
    assert app_track.revert(own_url, commit="c" * 40) is True
    assert fields(own_url) == set()
    assert (await states(track, 1), await states(track, 2)) == ([(False, "reverted")], [(False, "reverted")])


# --- on a database that saw nothing of it ---


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "bot"
    projects.render(root, name="my-bot")
    return root


def scaffold(root: Path, name: str, *, migrations: bool) -> None:
    part = Part(kind="schema", name=name, fields=(FieldSpec(name="text", type="str"),))
    engine.scaffold(root, [part], migrations=migrations)


def test_an_empty_database_gets_the_revision_files_first_and_then_what_the_schemas_lack(
    own_url: str, project: Path
) -> None:
    scaffold(project, "notes", migrations=True)
    digest = app_track.digest(project)
    assert digest is not None
    assert app_track.is_brought_up(own_url, digest) is False
    lacking = tables.declared({"agent_trips": [text()]})
    made = app_track.bring_up(own_url, project, wanted=lacking, digest=digest, commit="c")
    assert [step.sentence for step in made.steps] == ["the table agent_trips is made"]
    assert tables.names(own_url) == {NOTES, "agent_trips"}
    assert app_track.is_brought_up(own_url, digest) is True
    assert app_track.bring_up(own_url, project, wanted=lacking, digest=digest).steps == ()
    assert app_migrations.current(own_url, project) == app_migrations.head(project)


def test_a_start_only_adds(own_url: str, project: Path) -> None:
    tables.make(own_url, tables.declared({NOTES: [text(nullable=False)], "agent_old": []}))
    wanted = notes(sa.Column("n", sa.Integer))
    made = app_track.bring_up(own_url, project, wanted=wanted, digest="d")
    assert [step.kind for step in made.steps] == ["add-column", "ease-column"]
    assert fields(own_url) == {"text", "n"}
    assert tables.names(own_url) == {NOTES, "agent_old"}


def test_a_change_of_indexes_is_taken_back_after_the_release_before_has_started(own_url: str, project: Path) -> None:
    old = notes(text(index=True))
    new = notes(
        text(), sa.Column("n", sa.Integer, index=True), sa.Column("m", sa.ForeignKey(f"{NOTES}.id"), unique=True)
    )
    tables.make(own_url, old)
    change = tables.migration(own_url, new)
    tables.run(own_url, change.safe.up)
    app_track.bring_up(own_url, project, wanted=old)
    tables.run(own_url, change.safe.down)
    assert app_track.bring_up(own_url, project, wanted=old).steps == ()


def test_a_revision_made_by_hand_goes_with_what_a_change_has_made_before(own_url: str, project: Path) -> None:
    """On the computer of whoever wrote it the table was not there yet; here it is."""
    tables.make(own_url, tables.declared({NOTES: [sa.Column("text", sa.String, nullable=False)]}))
    scaffold(project, "notes", migrations=True)
    app_track.bring_up(own_url, project)
    assert app_migrations.current(own_url, project) == app_migrations.head(project)


async def test_taking_a_change_back_makes_the_next_start_look_again(
    track: Database, own_url: str, project: Path
) -> None:
    await plan(track, 7, tables.migration(own_url, notes(text())))
    app_track.apply(own_url, 7)
    app_track.bring_up(own_url, project, wanted=notes(text()), digest="d")
    assert await asyncio.to_thread(app_track.is_brought_up, own_url, "d") is True
    app_track.revert(own_url, change_id=7)
    assert await asyncio.to_thread(app_track.is_brought_up, own_url, "d") is False


def test_the_digest_follows_every_schema(project: Path) -> None:
    assert app_track.digest(project) is None
    scaffold(project, "notes", migrations=False)
    first = app_track.digest(project)
    file = project / "bot/schemas/notes.py"
    file.write_text(file.read_text() + "# more\n")
    assert first not in {None, app_track.digest(project)}
