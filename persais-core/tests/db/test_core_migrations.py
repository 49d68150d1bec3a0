"""The core's own track of migrations."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from persais_core import errors
from persais_core.db import core_migrations
from persais_core.db.engine import Database, sqlalchemy_url


def test_the_first_start_prepares_and_the_second_has_nothing_to_do(empty_url: str) -> None:
    assert core_migrations.prepare(empty_url) is True
    assert core_migrations.prepare(empty_url) is False


def test_the_named_newest_revision_is_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(core_migrations.config()).get_current_head() == core_migrations.HEAD


def test_the_tables_of_the_code_and_of_the_migrations_are_the_same(core_url: str) -> None:
    engine = create_engine(sqlalchemy_url(core_url))
    try:
        with engine.begin() as connection:
            settings = core_migrations.config()
            settings.attributes["connection"] = connection
            command.check(settings)  # raises where they differ
    finally:
        engine.dispose()


def test_the_database_says_at_which_revision_it_stands(core_url: str) -> None:
    engine = create_engine(sqlalchemy_url(core_url))
    try:
        with engine.connect() as connection:
            options = {"version_table": "alembic_version_core", "version_table_schema": "persais"}
            context = MigrationContext.configure(connection, opts=options)
            assert context.get_current_revision() == core_migrations.HEAD
    finally:
        engine.dispose()


def test_queue_and_checkpoints_are_found_without_naming_their_schema(core_url: str) -> None:
    with psycopg.connect(core_url) as connection:
        for table in ("procrastinate_jobs", "checkpoints"):
            assert connection.execute("select to_regclass(%s)", (table,)).fetchone() != (None,), table


def test_a_table_of_the_bot_lands_in_the_public_schema(own_url: str) -> None:
    with psycopg.connect(own_url) as connection:
        connection.execute("create table notes (id int)")
        assert connection.execute("select 'public.notes'::regclass").fetchone()


def test_a_restored_database_gets_its_search_path_again(own_url: str) -> None:
    """A dump holds the tables and their comment, but nothing of what was set for a role."""
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("alter role current_user in database {} reset search_path").format(
                psycopg.sql.Identifier(connection.info.dbname)
            )
        )
    core_migrations.prepare(own_url)
    with psycopg.connect(own_url) as connection:
        assert connection.execute("select count(*) from procrastinate_jobs").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "update persais.audit set action = 'forged'",
        "delete from persais.audit",
        "truncate persais.audit",
        "truncate persais.audit, persais.people cascade",
    ],
)
def test_the_audit_log_refuses_everything_but_additions(core_url: str, statement: str) -> None:
    with psycopg.connect(core_url, autocommit=True) as connection:
        connection.execute("insert into persais.audit (action, subject, outcome) values ('tap', '', 'ok')")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement)  # type: ignore[call-overload]
        assert connection.execute("select action from persais.audit").fetchall() == [("tap",)]


def test_two_processes_that_start_together_both_find_the_tables(empty_url: str) -> None:
    code = "import sys; from persais_core.db import core_migrations; print(core_migrations.prepare(sys.argv[1]))"
    together = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ends = [(process.communicate(timeout=60), process.returncode) for process in together]
    assert [code for _, code in ends] == [0, 0], ends
    assert sorted(out.strip() for (out, _), _ in ends) == [b"False", b"True"]
    assert core_migrations.prepare(empty_url) is False


def test_a_database_of_a_newer_version_is_refused_in_words(empty_url: str) -> None:
    core_migrations.prepare(empty_url)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("update persais.alembic_version_core set version_num = '9999'")
        connection.execute("comment on schema persais is 'core 9999'")
    with pytest.raises(errors.DatabaseError, match="newer Persais"):
        core_migrations.prepare(empty_url)


def test_a_server_that_is_not_there_is_told_in_one_sentence() -> None:
    with pytest.raises(errors.DatabaseError, match="could not be prepared") as caught:
        core_migrations.prepare("postgresql://nobody:hidden-password@127.0.0.1:1/x")
    assert "\n" not in str(caught.value)
    assert "hidden-password" not in str(caught.value)


async def test_a_database_that_was_never_opened_says_so() -> None:
    with pytest.raises(errors.DatabaseError, match="not open"):
        async with Database("postgresql://nowhere/x").session():
            pass


async def test_opening_names_what_to_check_and_not_the_password() -> None:
    database = Database("postgresql://nobody:hidden-password@127.0.0.1:1/x")
    with pytest.raises(errors.DatabaseError, match="check DATABASE_URL") as caught:
        await database.open()
    assert "hidden-password" not in str(caught.value)
    assert await database.answers() is False


async def test_a_block_that_raises_leaves_nothing_behind(database: Database, core_url: str) -> None:
    from sqlalchemy import text

    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            await session.execute(text("insert into persais.active_release (id, commit) values (1, 'x')"))
            raise ZeroDivisionError
    with psycopg.connect(core_url) as connection:
        assert connection.execute("select count(*) from persais.active_release").fetchone() == (0,)


async def test_an_open_database_answers_and_a_closed_one_does_not(core_url: str) -> None:
    database = Database(core_url)
    await database.open()
    assert await database.answers()
    await database.close()
    assert not await database.answers()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("postgres://a@h/x", "postgresql+psycopg://a@h/x"),
        ("postgresql://a@h/x", "postgresql+psycopg://a@h/x"),
        ("postgresql+psycopg://a@h/x", "postgresql+psycopg://a@h/x"),
    ],
)
def test_every_spelling_of_an_address_gets_the_driver(given: str, named: str) -> None:
    assert sqlalchemy_url(given) == named
