"""Databases for tests: one server per run, one template with the bot's tables, one copy per test."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

from persais_core import errors, settings
from persais_core.db import agent_role, app_migrations, embedded, engine


@contextmanager
def server() -> Iterator[str]:
    """A server for the time of the block: the one of DATABASE_URL, or an embedded one in a temporary directory.

    Only the environment counts, not `.env`: that may name the database in which people's records lie.

    Raises:
        DatabaseError: it cannot be started.
    """
    given = settings.load(_env_file=None)
    url = given.database_direct_url or given.database_url
    if url is not None:
        yield url.get_secret_value()
        return
    folder = Path(tempfile.mkdtemp(prefix="persais-test-"))
    # As root the server runs as another user, who must be able to walk through.
    folder.chmod(0o711)
    postgres = embedded.EmbeddedPostgres(folder / "pg", durable=False)
    try:
        yield postgres.start()
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def template(url: str, root: Path) -> Iterator[str]:
    """A database with the tables of a project's schemas, for the time of the block.

    The tables are made from the schemas themselves, so that a test shows a missing field before there is a migration.
    Records are guarded there as they are in a bot.

    Args:
        url: of the server.
        root: the project; without `bot/schemas`, the tables of whatever is imported are made.

    Yields:
        The name of the database.
    """
    metadata = app_migrations.schemas(root) if (root / "bot" / "schemas").is_dir() else SQLModel.metadata
    with _database(url, sql.SQL("template template0")) as name:
        with psycopg.connect(_at(url, name), autocommit=True) as connection, suppress(psycopg.Error):
            # A schema may hold vectors. Where the server has none, making such a table says so better.
            connection.execute("create extension if not exists vector")
        made = create_engine(engine.sqlalchemy_url(_at(url, name)))
        try:
            metadata.create_all(made)
        finally:
            made.dispose()
        with psycopg.connect(_at(url, name), autocommit=True) as connection:
            agent_role.install(connection)
            role = agent_role.name(connection)
        yield name
    # A role belongs to the server, so it outlives the databases that it was made for.
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection, suppress(psycopg.Error):
        connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))


@contextmanager
def copy(url: str, name: str) -> Iterator[str]:
    """The address of a fresh copy of a template, for the time of the block."""
    with _database(url, sql.SQL("template {}").format(sql.Identifier(name))) as fresh:
        yield _at(url, fresh)


@contextmanager
def _database(url: str, made_from: sql.Composable) -> Iterator[str]:
    name = f"persais_test_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("create database {} {}").format(sql.Identifier(name), made_from))
    except psycopg.Error as error:
        cause = str(error).strip().splitlines()[0]
        raise errors.DatabaseError(
            f"no database for tests could be made: {cause}; DATABASE_URL must name a server where the role may create "
            "databases, or be unset"
        ) from error
    try:
        yield name
    finally:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _at(url: str, database: str) -> str:
    """The same server, another database."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)
