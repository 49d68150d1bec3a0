"""The track of people who write migrations by hand: revision files of the schemas a project owns, run by Alembic.

Changes made in the chat do not come here; see `app_track`. The project holds only the revisions
(`bot/migrations/versions`); Alembic's environment lies in the core, so that an upgrade of the core mends it everywhere.
The track's version stands in `persais.alembic_version_app`, beside the core's tables, while the bot's tables lie in the
default schema. All functions block; they take a direct address, since a pooler would break the lock that keeps two
releases from migrating at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persais_core import errors

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, MetaData

VERSION_SCHEMA = "persais"
VERSION_TABLE = "alembic_version_app"
VERSIONS = Path("bot", "migrations", "versions")

LOCK = 0x70657274  # advisory lock, released with the transaction


class MigrationError(errors.DatabaseError):
    """The bot's tables could not be brought to a revision. The transaction was rolled back: they are as before."""


def config(root: Path) -> Config:
    """Alembic's configuration of a project's track, without a connection."""
    from alembic.config import Config

    def option(value: Path) -> str:
        return str(value).replace("%", "%%")

    made = Config(cmd_opts=argparse.Namespace(quiet=True), stdout=io.StringIO())
    made.set_main_option("script_location", option(Path(__file__).parent / "migrations" / "app"))
    made.set_main_option("version_locations", option((root / VERSIONS).absolute()))
    # A path may hold a space, a colon or a comma, but hardly a line break.
    made.set_main_option("path_separator", "newline")
    return made


def schemas(root: Path) -> MetaData:
    """Import every module of `bot/schemas` and return the tables they declare.

    Raises:
        ProjectError: a module cannot be imported, a table lies in another schema, or this process runs another bot.
    """
    from sqlmodel import SQLModel

    folder = (root / "bot" / "schemas").resolve()
    if not folder.is_dir():
        raise errors.ProjectError(f"{root} has no bot/schemas directory")
    if str(folder.parents[1]) not in sys.path:
        sys.path.insert(0, str(folder.parents[1]))
        importlib.invalidate_caches()
    for file in sorted(folder.glob("*.py")):
        name = "bot.schemas" if file.stem == "__init__" else f"bot.schemas.{file.stem}"
        try:
            module = importlib.import_module(name)
        except Exception as error:  # importing runs the owner's code, which may raise anything
            raise errors.ProjectError(
                f"bot/schemas/{file.name} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if Path(module.__file__ or "").resolve() != file:
            raise errors.ProjectError(f"this process runs another bot already ({module.__file__}); start a new one")
    for table in SQLModel.metadata.tables.values():
        if table.schema is not None:
            raise errors.ProjectError(f"the table {table.fullname} names a schema; a bot's tables lie in the default")
    return SQLModel.metadata


def head(root: Path) -> str | None:
    """The newest revision in the project, or None when there is none. Needs no database.

    Raises:
        MigrationError: two revisions claim to be the newest, or one cannot be read.
    """
    from alembic.script import ScriptDirectory

    with _told():
        return ScriptDirectory.from_config(config(root)).get_current_head()


def current(url: str, root: Path) -> str | None:
    """The revision the database stands at, or None before the first.

    Raises:
        MigrationError: no connection.
    """
    from alembic.migration import MigrationContext

    with _told(), _connection(url) as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
        )
        return context.get_current_revision()


def generate(url: str, root: Path, message: str) -> Path | None:
    """Compare the schemas with the database and write the revision that makes them equal.

    Returns:
        The new file, or None when there is nothing to do.

    Raises:
        MigrationError: the database is not at the newest revision yet, or cannot be reached.
        ProjectError: a schema cannot be imported.
    """
    from alembic import command

    made: list[Path] = []

    def keep_if_needed(context: Any, revision: Any, directives: list[Any]) -> None:
        if directives[0].upgrade_ops.is_empty():
            directives.clear()
            return
        _make_tolerant(directives[0].upgrade_ops.ops)

    def write(settings: Config) -> None:
        (root / VERSIONS).mkdir(parents=True, exist_ok=True)
        script = command.revision(
            settings,
            message=" ".join(message.split()) or "change",
            autogenerate=True,
            process_revision_directives=keep_if_needed,
        )
        for item in script if isinstance(script, list) else [script]:
            if item is not None:
                made.append(Path(item.path))

    _with_database(url, root, write, schemas(root))
    return made[0] if made else None


def _make_tolerant(operations: list[Any]) -> None:
    """Let a revision make only what is not there: on another database a change made in the chat may have made it."""
    for operation in operations:
        if hasattr(operation, "ops"):
            _make_tolerant(operation.ops)
        elif hasattr(operation, "if_not_exists"):
            operation.if_not_exists = True


def upgrade(url: str, root: Path, revision: str = "head") -> None:
    """Bring the bot's tables to a revision, the newest by default; all steps or none.

    Raises:
        MigrationError: a step failed, the revision is unknown, or the database cannot be reached.
    """
    from alembic import command

    _with_database(url, root, lambda settings: _guarded(settings, command.upgrade, revision))


def downgrade(url: str, root: Path, revision: str) -> None:
    """Take the bot's tables back to a revision, `-1` for one step, or `base`; all steps or none.

    Raises:
        MigrationError: a step failed, the revision is unknown, or the database cannot be reached.
    """
    from alembic import command

    _with_database(url, root, lambda settings: _guarded(settings, command.downgrade, revision))


def _guarded(settings: Config, move: Callable[[Config, str], None], revision: str) -> None:
    """Move to a revision, and give the tables that it made their policies."""
    from persais_core.db import agent_role

    move(settings, revision)
    agent_role.guard(settings.attributes["connection"].connection.driver_connection)


def check(url: str, root: Path) -> tuple[str, ...]:
    """What differs between the schemas and the database, one line each; empty when they are equal.

    Raises:
        MigrationError: the database is not at the newest revision yet, or cannot be reached.
        ProjectError: a schema cannot be imported.
    """
    from alembic import command
    from alembic.util.exc import AutogenerateDiffsDetected

    found: list[str] = []

    def compare(settings: Config) -> None:
        try:
            command.check(settings)
        except AutogenerateDiffsDetected as differences:
            found.extend(_line(item) for item in differences.diffs)

    _with_database(url, root, compare, schemas(root))
    return tuple(found)


def _line(difference: Any) -> str:
    """One difference in words: Alembic gives a tuple, or a list of tuples for one column."""
    if isinstance(difference, list):
        return "; ".join(map(_line, difference))
    what, *things = difference
    names = [str(getattr(thing, "name", thing)) for thing in things if isinstance(getattr(thing, "name", thing), str)]
    return f"{str(what).replace('_', ' ')}: {'.'.join(names)}"


def _with_database(url: str, root: Path, run: Callable[[Config], None], metadata: MetaData | None = None) -> None:
    """Run one Alembic command in one transaction, alone."""
    from sqlalchemy import text

    with _told(), _connection(url) as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(text(f"create schema if not exists {VERSION_SCHEMA}"))
        settings = config(root)
        settings.attributes.update(connection=connection, metadata=metadata)
        run(settings)


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    from sqlalchemy import create_engine, pool

    from persais_core.db import engine

    made = create_engine(engine.sqlalchemy_url(url), poolclass=pool.NullPool)
    try:
        with made.begin() as connection:
            yield connection
    finally:
        made.dispose()


@contextmanager
def _told() -> Iterator[None]:
    """Turn Alembic's and SQLAlchemy's errors into one sentence."""
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except CommandError as error:
        reason = str(error).rstrip(".")
        if "not up to date" in reason:
            reason = "the database has not seen the newest migrations yet; run persais migrate up first"
        elif "multiple heads" in reason.lower():
            reason = "two migrations claim to be the newest; set down_revision of one of them to the other"
        raise MigrationError(reason) from error
    except SQLAlchemyError as error:
        cause = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
        raise MigrationError(f"the database refused: {cause}") from error
