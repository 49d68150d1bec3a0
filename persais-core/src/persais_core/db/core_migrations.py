"""The core's own track: forward only, applied at start, by one process at a time.

Schemas: `persais` holds the core's tables, `persais_queue` Procrastinate's, `persais_graph` LangGraph's checkpoints,
and `persais_agents` what guards the bot's own tables (see `agent_role`). The role's
search path finds the first three, so no connection needs options that a pooler would refuse.
"""

from __future__ import annotations

import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from persais_core import errors
from persais_core.db import agent_role

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0010"
"""The newest core revision; known here so that an up-to-date start need not load Alembic."""

LOCK = 0x70657273  # advisory lock: two processes that start together migrate one after the other
LOCK_PATIENCE = 120.0  # seconds
SEARCH_PATH = ("public", "persais_queue", "persais_graph")


def prepare(url: str) -> bool:
    """Bring the core's tables up to date; does nothing and costs milliseconds when they are. Blocks.

    Args:
        url: a direct address, not through a pooler.

    Returns:
        Whether anything was changed.

    Raises:
        DatabaseError: no connection, no right to create, no vector extension, or a database newer than this program.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            if _is_prepared(connection):
                return False
            _lock(connection)
            if _is_prepared(connection):
                return False
            _extensions(connection)
            _search_path(connection)
            if _stamp(connection) == _wanted():
                agent_role.install(connection)
                return True  # a copy or a restored dump: only what belongs to the role was missing
            _upgrade(url)
            _checkpoints(url)
            agent_role.install(connection)
            connection.execute(sql.SQL("comment on schema persais is {}").format(sql.Literal(_wanted())))
            return True
    except psycopg.Error as error:
        cause = str(error).strip().splitlines()[-1]
        raise errors.DatabaseError(f"the database could not be prepared: {cause}") from error


def _is_prepared(connection: psycopg.Connection[tuple[str]]) -> bool:
    """Whether the tables are those of this version, and a new connection of this role finds them."""
    row = connection.execute(
        "select 1 from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase "
        "where d.datname = current_database() and s.setrole = current_user::regrole and %s = any(s.setconfig)",
        (f"search_path={', '.join(SEARCH_PATH)}",),
    ).fetchone()
    return row is not None and _stamp(connection) == _wanted() and agent_role.is_installed(connection)


def _lock(connection: psycopg.Connection[tuple[str]]) -> None:
    """Take the lock by asking, not by waiting: a statement that waits holds a snapshot, and the holder of the lock
    builds indexes concurrently, which waits until all older snapshots are gone.
    """
    until = time.monotonic() + LOCK_PATIENCE
    while connection.execute("select 1 where pg_try_advisory_lock(%s)", (LOCK,)).fetchone() is None:
        if time.monotonic() > until:
            raise errors.DatabaseError(
                f"another process has been preparing this database for {LOCK_PATIENCE:g} s; stop it and start again"
            )
        time.sleep(0.1)


def _wanted() -> str:
    checkpoints = metadata.version("langgraph-checkpoint-postgres")
    return f"core {HEAD}, checkpoints {checkpoints}, agents {agent_role.VERSION}"


def _stamp(connection: psycopg.Connection[tuple[str]]) -> str | None:
    row = connection.execute("select obj_description(to_regnamespace('persais'), 'pg_namespace')").fetchone()
    return row[0] if row else None


def _extensions(connection: psycopg.Connection[tuple[str]]) -> None:
    try:
        connection.execute("create extension if not exists vector with schema public")
    except psycopg.Error as error:
        raise errors.DatabaseError(
            "the database has no pgvector extension, or this role may not create it: "
            "run `create extension vector` as an administrator"
        ) from error


def _search_path(connection: psycopg.Connection[tuple[str]]) -> None:
    for schema in ("persais", "persais_queue", "persais_graph"):
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    database = connection.info.dbname
    connection.execute(
        sql.SQL("alter role current_user in database {} set search_path = {}").format(
            sql.Identifier(database), sql.SQL(", ").join(map(sql.Identifier, SEARCH_PATH))
        )
    )


def config() -> Config:
    """Alembic's configuration of the core track, without a connection."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations" / "core").replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.util import CommandError
    from sqlalchemy import create_engine

    from persais_core.db.engine import sqlalchemy_url

    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.begin() as connection:
            settings = config()
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
    except CommandError as error:
        raise errors.DatabaseError(
            f"the database was made by a newer Persais ({error}); upgrade persais-core"
        ) from error
    finally:
        engine.dispose()


def _checkpoints(url: str) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg.rows import dict_row

    with psycopg.connect(url, autocommit=True, prepare_threshold=None, row_factory=dict_row) as connection:
        connection.execute("set search_path = persais_graph")
        PostgresSaver(connection).setup()
