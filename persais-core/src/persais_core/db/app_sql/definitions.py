"""Tables, columns, indexes and references as statements that define them, quoted throughout."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from persais_core.db import app_schema
from persais_core.db.app_schema import Column, ForeignKey, Index, Table, Unique

Statements = list[sql.Composable]
"""What is run one after the other; none ends with a semicolon."""


def in_public(name: str) -> sql.Identifier:
    """The quoted name of a table, type, index or sequence of the bot."""
    return sql.Identifier("public", name)


def listed(names: Sequence[str]) -> sql.Composed:
    """Quoted names with commas between."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def type_name(kind: str) -> sql.Composable:
    """A type: the name of an enum, else one that is on our list or stood in the catalogue."""
    if kind.startswith(app_schema.ENUMS):
        return in_public(kind.removeprefix(app_schema.ENUMS))
    return sql.SQL(kind)


def default_value(default: app_schema.Default) -> sql.Composable:
    """What a default says, to be computed once for each row where it is the time."""
    return sql.SQL("now()") if default.is_now else sql.Literal(default.text)


def column_line(column: Column, default: app_schema.Default | None) -> sql.Composed:
    """A column as it stands in `create table`, with another default than its own if need be."""
    made = sql.SQL("{} {}").format(sql.Identifier(column.name), type_name(column.type))
    if column.sequence:
        made += sql.SQL(" default nextval({}::regclass)").format(
            sql.Literal(in_public(column.sequence).as_string(None))
        )
    elif default is not None:
        made += sql.SQL(" default {}").format(default_value(default))
    return made if column.nullable else made + sql.SQL(" not null")


def create_enum(name: str, labels: Sequence[str]) -> sql.Composed:
    """Make a type of fixed words."""
    return sql.SQL("create type {} as enum ({})").format(in_public(name), sql.SQL(", ").join(map(sql.Literal, labels)))


def create_table(table: Table) -> Statements:
    """Make a table with its columns, sequences and primary key, and nothing else."""
    made: Statements = []
    counted = [column for column in table.columns if column.sequence]
    for column in counted:
        made.append(
            sql.SQL("create sequence {} as {}").format(in_public(column.sequence or ""), type_name(column.type))
        )
    lines: list[sql.Composable] = [column_line(column, column.default) for column in table.columns]
    if table.key:
        lines.append(
            sql.SQL("constraint {} primary key ({})").format(sql.Identifier(table.key_name), listed(table.key))
        )
    made.append(sql.SQL("create table {} (\n  {}\n)").format(in_public(table.name), sql.SQL(",\n  ").join(lines)))
    for column in counted:
        made.append(
            sql.SQL("alter sequence {} owned by {}").format(
                in_public(column.sequence or ""), sql.Identifier("public", table.name, column.name)
            )
        )
    return made


def create_part(table: str, part: Index | Unique) -> sql.Composed:
    """Make an index or a constraint that keeps values apart.

    An index may be there: a release that starts makes those it lacks, also when the change without it is taken back.
    """
    if isinstance(part, Unique):
        return sql.SQL("alter table {} add constraint {} unique ({})").format(
            in_public(table), sql.Identifier(part.name), listed(part.columns)
        )
    unique = sql.SQL("unique ") if part.is_unique else sql.SQL("")
    return sql.SQL("create {}index if not exists {} on {} ({})").format(
        unique, sql.Identifier(part.name), in_public(table), listed(part.columns)
    )


def drop_part(table: str, part: Index | Unique) -> sql.Composed:
    """Take such a part away, unless a release that does not know it has done so at its start."""
    if isinstance(part, Unique):
        return sql.SQL("alter table {} drop constraint if exists {}").format(
            in_public(table), sql.Identifier(part.name)
        )
    return sql.SQL("drop index if exists {}").format(in_public(part.name))


SEEN, UNSEEN = sql.SQL(""), sql.SQL(" not valid")
"""Whether the rows that are there must hold to a reference, or only those to come."""


def drop_reference(table: str, reference: ForeignKey) -> sql.Composed:
    """Take a foreign key away, as `drop_part` does."""
    return sql.SQL("alter table {} drop constraint if exists {}").format(
        in_public(table), sql.Identifier(reference.name)
    )


def add_reference(table: str, reference: ForeignKey, ending: sql.SQL = SEEN) -> sql.Composed:
    """Make a foreign key; `ending` says whether the rows that are there must hold to it."""
    return sql.SQL("alter table {} add constraint {} foreign key ({}) references {} ({}) on delete {}{}").format(
        in_public(table),
        sql.Identifier(reference.name),
        listed(reference.columns),
        in_public(reference.table),
        listed(reference.targets),
        sql.SQL(reference.on_delete),
        ending,
    )


def alter_column(table: str, column: str, what: str, *values: sql.Composable) -> sql.Composed:
    """Change one thing of a column; `what` has a place for each of the values."""
    start = sql.SQL("alter table {} alter column {} ").format(in_public(table), sql.Identifier(column))
    return start + sql.SQL(what).format(*values)


def set_default(table: str, column: str, default: app_schema.Default | None) -> sql.Composed:
    """Give a column a default, or none."""
    if default is None:
        return alter_column(table, column, "drop default")
    return alter_column(table, column, "set default {}", default_value(default))
