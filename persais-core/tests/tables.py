"""Declared tables and their records, for tests of what happens to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import MetaData
from sqlmodel import SQLModel

from persais_core.db import agent_role, app_document, app_schema, app_sql, app_steps, engine
from persais_core.db.app_schema import Schema
from persais_core.db.app_sql import Migration
from persais_core.db.records import Record

TAG = "20261127_ab12"


def declared(tables: Mapping[str, Sequence[Any]]) -> Schema:
    """The schema of some tables, read as the bot reads it; each has the columns of a record as well."""
    return app_document.read(json.dumps(app_document.describe(metadata(tables))).encode())


def metadata(tables: Mapping[str, Sequence[Any]]) -> MetaData:
    made = MetaData()
    for name, things in tables.items():
        sa.Table(
            name,
            made,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("created_by", sa.BigInteger, nullable=False, default=0, index=True),
            *things,
        )
    return made


def migration(
    url: str,
    wanted: Schema,
    *,
    droppable: Sequence[str] = (),
    renames: Sequence[app_steps.Rename] = (),
    tag: str = TAG,
) -> Migration:
    """The way from the tables of a database to a schema."""
    with psycopg.connect(url) as connection:
        now = app_schema.observe(connection)
    return app_sql.write(app_steps.difference(now, wanted, droppable=droppable, renames=renames), tag=tag)


def make(url: str, wanted: Schema) -> None:
    """Make the tables of a schema."""
    run(url, migration(url, wanted, tag="first").safe.up)


def run(url: str, *scripts: str) -> None:
    """Run scripts, each in a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(app_sql.ATTIC)
        for script in scripts:
            with connection.transaction():
                connection.execute(script.encode())


def add(url: str, table: str, *rows: Mapping[str, Any]) -> None:
    """Add records."""
    with psycopg.connect(url) as connection:
        for row in rows:
            values = {"created_by": 1} | dict(row)
            connection.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, values)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(values)),
                ),
                [Jsonb(value) if isinstance(value, dict) else value for value in values.values()],
            )


def rows(url: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Some columns of all records, in the order they were made."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            sql.SQL("select {} from {} order by id").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(*table.split("."))
            )
        ).fetchall()


def contents(url: str) -> list[str]:
    """What lies in the attic."""
    with psycopg.connect(url) as connection:
        if connection.execute("select to_regclass('attic.contents')").fetchone() == (None,):
            return []
        return [name for (name,) in connection.execute("select name from attic.contents order by name")]


def names(url: str) -> set[str]:
    """The bot's tables."""
    with psycopg.connect(url) as connection:
        return {table.name for table in app_schema.observe(connection).tables}


@contextmanager
def of(url: str, *records: type[Record]) -> Iterator[None]:
    """The tables of some records, guarded as a bot's are, for the time of the block."""
    wanted = [SQLModel.metadata.tables[record.__tablename__] for record in records]
    made = sa.create_engine(engine.sqlalchemy_url(url))
    try:
        SQLModel.metadata.create_all(made, tables=wanted)
        with psycopg.connect(url) as connection:
            agent_role.guard(connection)
        yield
    finally:
        SQLModel.metadata.drop_all(made, tables=wanted)
        made.dispose()
