"""Shows that a migration does what it says, on a copy of the tables that is thrown away.

The copy is a database of its own with the tables that the migration touches and up to a thousand records of each. There
the scripts run up, down and up again. Each time the structure is read back from the catalogue, and the values of each
column are summed up: what no step is about must be the same all the time, and "down" must bring back all there was.

Words of the database about a record stay here: what fails is told by its kind, since the sentence goes to the coder's
model and a value in it would be somebody's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from persais_core import errors
from persais_core.db import agent_role, app_schema, app_sql, app_steps
from persais_core.db.app_schema import Schema, Table
from persais_core.db.app_sql import Migration

ROWS = 1000  # of each table
STATEMENT_MS = 60_000
PREFIX = "persais_proof_"
LEFT_BEHIND = 3600  # seconds after which a copy can only be that of a program that was killed

Sums = dict[tuple[str, str], str]


class ProofError(errors.ChangeError):
    """A migration does not hold what it says. Only the copy has seen it, and that is gone."""


def prove(url: str, now: Schema, wanted: Schema, migration: Migration) -> int:
    """Run a migration up, down and up again on a copy. Blocks.

    Args:
        url: of the bot's database; a direct address of a role that may create databases.
        now: its tables, from `app_schema.observe`.
        wanted: the schemas that the migration was made for.
        migration: what to prove.

    Returns:
        How many records it was tried with.

    Raises:
        ProofError: it fails with the records that are there, changes what no step is about, or cannot be taken back.
        DatabaseError: no copy could be made.
    """
    touched = _touched(now, migration)
    with _scratch(url) as address, psycopg.connect(address, autocommit=True, connect_timeout=10) as copy:
        copy.execute(f"set statement_timeout = {STATEMENT_MS}")
        with suppress(psycopg.Error):  # a server without vectors has no column of that type either
            copy.execute("create extension if not exists vector with schema public")
        copy.execute(app_sql.ATTIC)
        agent_role.prepare_tables(copy)
        rows = _fill(url, copy, touched)
        agent_role.guard(copy)  # a table with its policy refuses more than one without
        before, sums = _structure(copy), _sums(copy)
        _run(copy, "up", migration, migration.safe.up, migration.lossy.up)
        after, new_sums = _structure(copy), _sums(copy)
        left = app_steps.difference(
            app_schema.observe(copy), wanted, only=[step.table for step in migration.operations]
        )
        if left:
            raise ProofError(f"the tables would still differ from the schemas: {left[0].sentence}; simplify the schema")
        spoken_of = {(step.table, step.column) for step in migration.operations}
        for place in sums.keys() & new_sums.keys() - spoken_of:
            if sums[place] != new_sums[place]:
                raise ProofError(f"{'.'.join(place)} would change, which no step is about; make a smaller change")
        _run(copy, "down", migration, migration.lossy.down, migration.safe.down)
        if (_structure(copy), _sums(copy)) != (before, sums):
            raise ProofError("taking the change of the tables back does not bring back what was there")
        _run(copy, "up again", migration, migration.safe.again, migration.lossy.again)
        if (_structure(copy), _sums(copy)) != (after, new_sums):
            raise ProofError("changing the tables a second time does not give the same as the first time")
    return rows


def _touched(now: Schema, migration: Migration) -> Schema:
    """The tables that the steps are about and those that they refer to."""
    names = {step.table for step in migration.operations}
    enums = {app_schema.ENUMS + step.name for step in migration.operations if step.labels}
    names |= {table.name for table in now.tables if enums & {column.type for column in table.columns}}
    names |= {item.table for step in migration.operations if step.made for item in step.made.foreign_keys}
    names |= {step.part.table for step in migration.operations if isinstance(step.part, app_schema.ForeignKey)}
    while more := {item.table for table in now.tables if table.name in names for item in table.foreign_keys} - names:
        names |= more
    tables = [table for table in now.tables if table.name in names]
    known = {table.name for table in tables}
    return now.model_copy(update={"tables": tuple(_without_strangers(table, known) for table in tables)})


def _without_strangers(table: Table, known: set[str]) -> Table:
    """A table without references to tables that the copy has not, and without indexes that are only known by name."""
    kept = tuple(item for item in table.foreign_keys if item.table in known)
    return table.model_copy(update={"foreign_keys": kept, "others": ()})


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    """The address of an empty database, for the time of the block."""
    name = f"{PREFIX}{int(time.time())}_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            _sweep(connection)
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    except psycopg.Error as error:
        cause = str(error).strip().splitlines()[0]
        raise errors.DatabaseError(
            f"no copy of the tables could be made to try the change on: {cause}; the role of DATABASE_URL must be "
            "allowed to create databases"
        ) from error
    try:
        yield make_conninfo(url, dbname=name)
    except psycopg.Error as error:
        raise errors.DatabaseError(f"the copy of the tables cannot be used: {_kind(error)}") from error
    finally:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _sweep(connection: psycopg.Connection[Any]) -> None:
    """Remove the copies of programs that were killed."""
    names = connection.execute("select datname from pg_database where starts_with(datname, %s)", (PREFIX,)).fetchall()
    for (name,) in names:
        made = name.removeprefix(PREFIX).partition("_")[0]
        if made.isdecimal() and int(made) < time.time() - LEFT_BEHIND:
            with suppress(psycopg.Error):  # somebody else removes it just now
                connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _fill(url: str, copy: psycopg.Connection[Any], tables: Schema) -> int:
    """Make the tables and copy their newest records."""
    first, second = app_sql.create(tables)
    copy.execute(first.encode())
    rows = 0
    with psycopg.connect(url, connect_timeout=10) as source:
        for table in tables.tables:
            columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
            name = sql.Identifier("public", table.name)
            newest = sql.SQL(", ").join(sql.SQL("{} desc").format(sql.Identifier(part)) for part in table.key)
            order = sql.SQL("order by {} ").format(newest) if table.key else sql.SQL("")
            read = sql.SQL("copy (select {} from {} {}limit {}) to stdout").format(
                columns, name, order, sql.Literal(ROWS)
            )
            write = sql.SQL("copy {} ({}) from stdin").format(name, columns)
            with source.cursor() as reading, copy.cursor() as writing:
                with reading.copy(read) as out, writing.copy(write) as into:
                    for chunk in out:
                        into.write(chunk)
                rows += max(writing.rowcount, 0)
    copy.execute(second.encode())
    return rows


def _run(copy: psycopg.Connection[Any], way: str, migration: Migration, *scripts: str) -> None:
    try:
        for script in scripts:
            with copy.transaction():
                copy.execute(script.encode())
                agent_role.guard(copy)
    except psycopg.Error as error:
        steps = migration.losses or migration.operations
        about = "; ".join(step.sentence for step in steps[:5])
        raise ProofError(
            f"with the records that are there, the tables cannot be changed ({way}): {_kind(error)} ({about})"
        ) from error


def _kind(error: psycopg.Error) -> str:
    """What kind of thing went wrong, without a word of any record."""
    state = error.sqlstate or ""
    if state == "23502":
        return f"{error.diag.table_name}.{error.diag.column_name} is empty in some; give the field a default"
    if state == "23505":
        return "some have the same value in what must be unique; make it unique first, or leave it"
    if state == "23503":
        return "some refer to something that is not there"
    if state.startswith("22") or state == "42804":
        return "some values cannot be converted to the new type; add a new field instead"
    if state.startswith("23"):
        return "some break a rule of the table"
    return error.diag.message_primary or type(error).__name__


def _structure(copy: psycopg.Connection[Any]) -> dict[str, Table]:
    """The tables, so that order of columns and of what hangs on them does not count."""
    found = {}
    for table in app_schema.observe(copy).tables:
        parts: dict[str, Sequence[Any]] = {
            "columns": tuple(sorted(table.columns, key=lambda column: column.name)),
            "indexes": tuple(sorted(table.indexes, key=lambda part: part.name)),
            "uniques": tuple(sorted(table.uniques, key=lambda part: part.name)),
            "foreign_keys": tuple(sorted(table.foreign_keys, key=lambda part: part.name)),
            "carries": tuple(sorted(table.carries, key=lambda carry: carry.trigger)),
        }
        found[table.name] = table.model_copy(update=parts)
    return found


def _sums(copy: psycopg.Connection[Any]) -> Sums:
    """A digest of the values of each column, in the order of the primary key."""
    sums: Sums = {}
    for table in app_schema.observe(copy).tables:
        order = sql.SQL(", ").join(map(sql.Identifier, table.key)) if table.key else sql.SQL("1")
        digests = sql.SQL(", ").join(
            sql.SQL("md5(string_agg(coalesce('=' || {}::text, '-'), chr(31) order by {}))").format(
                sql.Identifier(column.name), order
            )
            for column in table.columns
        )
        row = copy.execute(
            sql.SQL("select {} from {}").format(digests, sql.Identifier("public", table.name))
        ).fetchone()
        assert row is not None
        sums |= {(table.name, column.name): str(value) for column, value in zip(table.columns, row, strict=True)}
    return sums
