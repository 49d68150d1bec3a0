"""Where goes what a change takes away: the schema `attic`, for 30 days.

A table is moved there whole; of a column, the values are copied first, with the primary key. `attic.contents` says
since when each lies there and for which change, so that "down" brings it back, and so that what a "down" itself takes
away comes back when the change is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from persais_core.db import app_schema
from persais_core.db.app_schema import Table
from persais_core.db.app_sql.definitions import UNSEEN, Statements, add_reference, drop_reference, in_public, listed

if TYPE_CHECKING:
    import psycopg

KEPT_DAYS = 30
ATTIC = """
create schema if not exists attic;
create table if not exists attic.contents
  (name text primary key, tag text not null, since timestamptz not null default now());
"""

Side = Literal["", "u", "d", "n"]
"""Which of a column's values: as it went, before "up", before "down", or which ones were empty."""


def needs_attic(script: str) -> bool:
    """Whether a script written here fetches something from the attic."""
    return "delete from attic.contents" in script


def purge(connection: psycopg.Connection[Any], *, days: int = KEPT_DAYS) -> tuple[str, ...]:
    """Throw away what has lain in the attic for longer than `days`.

    Returns:
        The names of what went.
    """
    connection.execute(ATTIC)
    gone = connection.execute(
        "delete from attic.contents where since < now() - make_interval(days => %s) returning name", (days,)
    ).fetchall()
    for (name,) in gone:
        connection.execute(sql.SQL("drop table if exists attic.{}").format(sql.Identifier(name)))
    return tuple(name for (name,) in gone)


def kept_as(name: str, tag: str, column: str = "", side: Side = "") -> str:
    """Where something lies in the attic: a table, or a column on one side of a change."""
    ending = f"__{tag}{side}"
    return app_schema.short(f"{name}__{column}" if column else name, len(ending)) + ending


def note(name: str, tag: str) -> sql.Composed:
    """Write down that something lies in the attic from now on."""
    return sql.SQL("insert into attic.contents (name, tag) values ({}, {})").format(sql.Literal(name), sql.Literal(tag))


def forget(name: str) -> sql.Composed:
    """Write down that it lies there no more."""
    return sql.SQL("delete from attic.contents where name = {}").format(sql.Literal(name))


def _belongings(table: Table) -> list[tuple[Literal["index", "sequence"], str]]:
    """(index or sequence, name) of all that moves with a table and whose name counts in its schema."""
    indexes = [part.name for part in table.parts] + [*table.others, table.key_name]
    found: list[tuple[Literal["index", "sequence"], str]] = [("index", name) for name in indexes if name]
    return found + [("sequence", column.sequence) for column in table.columns if column.sequence]


def stash_table(table: Table, tag: str) -> Statements:
    """Move a table into the attic, its indexes under names that leave the old ones free."""
    kept = kept_as(table.name, tag)
    # What lies in the attic must not hold back what others remove.
    moved: Statements = [drop_reference(table.name, item) for item in table.foreign_keys]
    moved += [_rename(kind, name, kept_as(name, tag)) for kind, name in _belongings(table)]
    moved.append(sql.SQL("alter table {} rename to {}").format(in_public(table.name), sql.Identifier(kept)))
    moved.append(sql.SQL("alter table {} set schema attic").format(in_public(kept)))
    return [*moved, note(kept, tag)]


def fetch_table(table: Table, tag: str) -> Statements:
    """Bring a table back from the attic."""
    kept = kept_as(table.name, tag)
    moved: Statements = [sql.SQL("alter table attic.{} set schema public").format(sql.Identifier(kept))]
    moved.append(sql.SQL("alter table {} rename to {}").format(in_public(kept), sql.Identifier(table.name)))
    moved += [_rename(kind, kept_as(name, tag), name) for kind, name in _belongings(table)]
    moved += [add_reference(table.name, item, UNSEEN) for item in table.foreign_keys]
    return [*moved, forget(kept)]


def _rename(kind: Literal["index", "sequence"], old: str, new: str) -> sql.Composed:
    return sql.SQL("alter {} if exists {} rename to {}").format(sql.SQL(kind), in_public(old), sql.Identifier(new))


def stash_column(table: str, column: str, key: Sequence[str], tag: str, side: Side = "") -> Statements:
    """Copy a column into the attic, with the primary key."""
    kept = kept_as(table, tag, column, side)
    return [
        sql.SQL("create table attic.{} as select {} from {}").format(
            sql.Identifier(kept), listed(list(dict.fromkeys([*key, column]))), in_public(table)
        ),
        note(kept, tag),
    ]


def fetch_column(
    table: str, column: str, key: Sequence[str], tag: str, side: Side = "", then: Statements | None = None
) -> Statements:
    """Give the rows that are still there their old values again; `then` comes before those are thrown away."""
    kept = kept_as(table, tag, column, side)
    return [
        sql.SQL("update {} t set {} = k.{} from attic.{} k where {}").format(
            in_public(table), sql.Identifier(column), sql.Identifier(column), sql.Identifier(kept), same_row(key)
        ),
        *(then or ()),
        *throw_away(kept),
    ]


def same_row(key: Sequence[str]) -> sql.Composed:
    """That a row t of the table and a row k that was kept are the same."""
    return sql.SQL(" and ").join(sql.SQL("t.{0} = k.{0}").format(sql.Identifier(name)) for name in key)


def throw_away(kept: str) -> Statements:
    """Drop what was kept."""
    return [sql.SQL("drop table attic.{}").format(sql.Identifier(kept)), forget(kept)]
