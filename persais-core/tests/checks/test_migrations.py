"""The check of a change's tables: rendered in the sandbox, proven on a copy, and told in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import candidates
import psycopg
import pytest

import tables
from persais_core import checks
from persais_core.checks import base, migrations
from persais_core.db import app_schema, app_sql
from persais_core.domain import changes, plans
from persais_core.domain.plans import FieldSpec, Part
from persais_core.security import sandbox
from persais_core.templates import engine

NOTES = "bot/schemas/notes.py"
SOURCE = engine.render(
    Part(
        kind="schema",
        name="notes",
        fields=(FieldSpec(name="text", type="str"), FieldSpec(name="tag", type="str", optional=True)),
    )
)[NOTES]
TAG = "    tag: str | None = None\n"

Make = Callable[..., base.Subject]


@pytest.fixture
def kept() -> list[app_sql.Migration]:
    """What the check has handed out."""
    return []


@pytest.fixture
def make(tmp_path: Path, box: sandbox.Sandbox, own_url: str, kept: list[app_sql.Migration]) -> Make:
    """A project in which some schemas were written by a change."""
    count = 0

    async def keep(migration: app_sql.Migration) -> None:
        kept.append(migration)

    def build(written: Mapping[str, str], former: Mapping[str, str] | None = None) -> base.Subject:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        subject = candidates.candidate(folder, box, written, former=former or {}, database_url=own_url, keep=keep)
        subject.scratch.mkdir(mode=0o711)
        return subject

    return build


async def check(subject: base.Subject, seconds: float = 120) -> changes.Verdict:
    return await checks.ask(migrations.MigrationsCheck(seconds=seconds), subject)


async def keep_notes(make: Make, own_url: str, kept: list[app_sql.Migration]) -> None:
    """Have the database hold the table of the notes, by the SQL that the check hands out."""
    verdict = await check(make({NOTES: SOURCE}))
    assert verdict.passed, candidates.text_of(verdict)
    tables.run(own_url, kept[-1].safe.up)


async def test_a_new_schema_passes_and_its_sql_is_handed_out(
    make: Make, own_url: str, kept: list[app_sql.Migration]
) -> None:
    verdict = await check(make({NOTES: SOURCE}))
    assert (verdict.passed, verdict.summary) == (True, "1 step, nothing is lost; tried with 0 records")
    (migration,) = kept
    assert not migration.lossy
    tables.run(own_url, migration.safe.up)
    tables.add(own_url, "agent_notes", *[_row("a", None)] * 3)
    verdict = await check(make({NOTES: SOURCE + "    done: bool = False\n"}))
    assert verdict.summary == "1 step, nothing is lost; tried with 3 records"
    with psycopg.connect(own_url) as connection:
        seen = app_schema.observe(connection).table("agent_notes")
    assert seen is not None
    assert seen.column("done") is None


def _row(text: str, tag: str | None) -> dict[str, object]:
    return {"text": text, "tag": tag, "created_at": "now", "updated_at": "now", "is_deleted": False}


async def test_a_loss_is_named_in_plain_words(make: Make, own_url: str, kept: list[app_sql.Migration]) -> None:
    await keep_notes(make, own_url, kept)
    tables.add(own_url, "agent_notes", _row("a", "b"))
    verdict = await check(make({NOTES: SOURCE.replace(TAG, "")}))
    assert verdict.passed
    assert verdict.summary == "agent_notes: the field tag goes; what is in it is kept aside for 30 days"
    assert [step.kind for step in kept[-1].losses] == ["drop-column"]


async def test_a_table_goes_only_when_the_changed_file_declared_it_before(
    make: Make, own_url: str, kept: list[app_sql.Migration]
) -> None:
    await keep_notes(make, own_url, kept)
    renamed = SOURCE.replace('"agent_notes"', '"agent_papers"')
    verdict = await check(make({NOTES: renamed}, {NOTES: SOURCE}))
    assert verdict.passed, candidates.text_of(verdict)
    assert [(step.kind, step.table) for step in kept[-1].operations] == [
        ("add-table", "agent_papers"),
        ("drop-table", "agent_notes"),
    ]
    other = SOURCE.replace('"agent_notes"', '"agent_papers"').replace("class Note", "class Paper")
    await check(make({"bot/schemas/papers.py": other}))
    assert [step.kind for step in kept[-1].operations] == ["add-table"]
    gone = dataclasses.replace(make({}, {NOTES: SOURCE}), changed=(base.ChangedFile(NOTES, None, "deleted"),))
    assert (await check(gone)).passed
    assert [(step.kind, step.table) for step in kept[-1].losses] == [("drop-table", "agent_notes")]


RENAMED = SOURCE.replace("text: str", "body: str")


async def test_a_field_that_the_plan_renames_is_carried_over_instead_of_being_refused(
    make: Make, own_url: str, kept: list[app_sql.Migration]
) -> None:
    await keep_notes(make, own_url, kept)
    tables.add(own_url, "agent_notes", _row("a", "b"))
    subject = make({NOTES: RENAMED}, {NOTES: SOURCE})
    assert "have no value for it" in candidates.text_of(await check(subject))

    renames = (plans.FieldRename(schema_name="notes", before="text", after="body"),)
    verdict = await check(dataclasses.replace(make({NOTES: RENAMED}, {NOTES: SOURCE}), renames=renames))
    assert verdict.passed, candidates.text_of(verdict)
    tables.run(own_url, kept[-1].safe.up)
    assert tables.rows(own_url, "agent_notes", "text", "body") == [("a", "a")]

    wrong = (plans.FieldRename(schema_name="notes", before="txt", after="body"),)
    verdict = await check(dataclasses.replace(make({NOTES: RENAMED}, {NOTES: SOURCE}), renames=wrong))
    assert "the table has no field txt" in candidates.text_of(verdict)


async def test_what_an_earlier_change_left_undropped_is_no_loss_of_the_next(
    make: Make, own_url: str, kept: list[app_sql.Migration]
) -> None:
    await keep_notes(make, own_url, kept)
    tables.add(own_url, "agent_notes", _row("a", "b"))
    without = SOURCE.replace(TAG, "")
    verdict = await check(make({NOTES: without + "    done: bool = False\n"}, {NOTES: without}))
    assert verdict.summary.startswith("1 step, nothing is lost; tried with 1 record; left by an earlier change: ")
    assert [(step.kind, step.column) for step in kept[-1].left] == [("drop-column", "tag")]
    await check(make({NOTES: without.replace("    text: str\n", "")}, {NOTES: without}))
    assert [step.column for step in kept[-1].losses] == ["text"]
    assert [step.column for step in kept[-1].left] == ["tag"]


async def test_a_change_without_schemas_needs_no_database(make: Make, kept: list[app_sql.Migration]) -> None:
    subject = dataclasses.replace(make({"bot/agents/echo.py": '"""Echo."""\n'}), database_url=None)
    assert candidates.text_of(await check(subject)) == "no schema changed"
    assert kept == [app_sql.Migration()]


async def test_a_change_of_schemas_without_a_database_is_not_passed(make: Make) -> None:
    verdict = await check(dataclasses.replace(make({NOTES: SOURCE}), database_url=None))
    assert (verdict.passed, verdict.summary) == (False, "no database")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SOURCE.replace('"agent_notes"', '"turns"'), "must be called agent_"),
        (SOURCE.replace('    __tablename__ = "agent_notes"\n', ""), "must be called agent_"),
        ("raise ValueError('no')\n", "cannot be imported: ValueError: no"),
        ("import os\nos._exit(0)\n", "there is no report"),
        ("while True:\n    pass\n", "it did not end"),
        (SOURCE + "    n: int\n" + "    __table_args__ = {'schema': 'persais'}\n", "names a schema"),
        (
            "import sqlalchemy as sa\nfrom sqlmodel import Field\n" + SOURCE
            + "    n: str = Field(sa_column=sa.Column(sa.String, server_default=sa.text(\"pg_sleep(99)\")))\n",
            "must be a plain value",
        ),
        (
            "import sqlalchemy as sa\nfrom sqlmodel import Field\n" + SOURCE
            + "    n: str = Field(sa_column=sa.Column('x\"; drop table persais.people; --', sa.String))\n",
            "no name for a column",
        ),
        (
            "import os, pathlib, sys\n" + SOURCE
            + '\npathlib.Path(sys.argv[1], ".schemas.json").write_text(\'{"tables": "evil"}\')\nos._exit(0)\n',
            "cannot be read",
        ),
    ],
)  # fmt: skip
async def test_hostile_schemas_are_refused(
    make: Make, own_url: str, kept: list[app_sql.Migration], source: str, said: str
) -> None:
    before = _everything(own_url)
    # Only the one that never ends is given little time: the others are to be read on a busy machine too.
    verdict = await check(make({NOTES: source}), seconds=5 if "did not end" in said else 120)
    assert not verdict.passed
    assert said in candidates.text_of(verdict)
    assert kept == []
    assert _everything(own_url) == before


def _everything(url: str) -> list[tuple[str, str]]:
    """All relations of the database."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select relnamespace::regnamespace::text, relname from pg_class order by 1, 2"
        ).fetchall()


async def test_the_tests_copy_is_not_touched_by_importing_the_schemas(make: Make) -> None:
    evil = SOURCE + '\nimport pathlib\n(pathlib.Path.cwd() / "tests.py").write_text("")\n'
    subject = make({NOTES: evil})
    tree = await subject.copied()
    await check(subject)
    assert not (tree / "tests.py").exists()


async def test_records_that_do_not_go_with_the_change_are_said_without_their_words(
    make: Make, own_url: str, kept: list[app_sql.Migration]
) -> None:
    await keep_notes(make, own_url, kept)
    tables.add(own_url, "agent_notes", _row("my secret", None))
    verdict = await check(make({NOTES: SOURCE.replace("text: str", "text: int")}))
    assert not verdict.passed
    assert "cannot be converted" in candidates.text_of(verdict)
    assert "secret" not in candidates.text_of(verdict)


async def test_approved_schemas_are_read_without_a_sandbox_too(make: Make, tmp_path: Path) -> None:
    scratch = tmp_path / "plain"
    scratch.mkdir()
    schema = await migrations.render(make({NOTES: SOURCE}).root, scratch, None)
    assert [table.name for table in schema.tables] == ["agent_notes"]
