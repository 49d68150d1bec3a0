"""The track of the bot's own tables: which SQL was run for which change, and how it is taken back.

A change that touches schemas stores its proven SQL here before anybody is asked about it, and that is what runs, to the
letter. Code of the change is never needed again: "down" is stored with "up". A script runs in one transaction, alone,
and running it twice is harmless.

Two kinds of migration live side by side:

- Revision files in `bot/migrations/versions` are for people who write migrations by hand (`persais scaffold feature`,
  `persais migrate`). They are the project's code, run by Alembic under its own version table, and no change made in the
  chat may touch them.
- Changes made in the chat write no such files. Their SQL is in `persais.app_migrations`, in the database it was proven
  for.

So a database that has seen neither, on another computer, is brought up in this order by `bring_up`, at the start of a
release: the revision files first, and then whatever the project's schemas still lack is made from the schemas
themselves, safe steps only. The price: on such a database the steps of a change are not stored as that change's, and
cannot be taken back with it. A column that the tables have and no schema names stays: it may be what an older release,
or a hand-written revision to come, needs. In a database that is older than the project, it may also be one that is
called otherwise by now. Schemas do not tell, so what could be such a field is handed back, for somebody to be told.

Whatever made a table, it gets its policy in the same transaction (see `agent_role`).

After each of them, tables and schemas are equal, so `persais migrate status` and `persais migrate new` see nothing to
do. A revision written by `persais migrate new` says "if it is not there" of what it makes, since a change made in the
chat may have made it on another database before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from persais_core.db import agent_role, app_migrations, app_schema, app_sql, app_steps
from persais_core.domain.chats import Value

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from persais_core.db.tables.tracks import AppMigration

LOCK_PATIENCE_MS = 15_000  # for a table that a long turn holds; waiting for ever would hold up everybody behind us
STATEMENT_MS = 300_000


class MigrationError(app_migrations.MigrationError):
    """A change of the bot's tables could not be made or taken back. They are as before: it was one transaction."""


class Stored(Value):
    """One script as it is stored.

    Args:
        state: planned, applied, reverted or failed.
        steps: (text id, values) of each step that the change is the cause of, for the bot's languages.
        left: the same of those that an earlier change has left to be done.
        actor: who allowed it, of a lossy one.
    """

    id: int
    change_id: int | None
    commit: str | None
    is_lossy: bool
    state: str
    steps: tuple[tuple[str, dict[str, str]], ...]
    left: tuple[tuple[str, dict[str, str]], ...] = ()
    up_sql: str
    down_sql: str
    actor: int | None
    error: str | None


class Brought(Value):
    """What a start has made of the tables.

    Args:
        steps: the safe steps that were made from the schemas.
        apart: new fields, each with one that the schemas do not know and that has records: perhaps the same field.
    """

    steps: tuple[app_steps.Operation, ...] = ()
    apart: tuple[app_steps.Rename, ...] = ()


async def plan(session: AsyncSession, change_id: int, migration: app_sql.Migration) -> None:
    """Store what a change will do to the tables, in place of what was stored for it before.

    Args:
        session: the transaction that this belongs to.
        change_id: the change; one that does nothing to the tables has nothing stored.
        migration: proven.

    Raises:
        MigrationError: something of the change was run already.
    """
    from sqlalchemy import delete
    from sqlmodel import col

    from persais_core.db.tables.tracks import AppMigration

    if any(item.state == "applied" for item in await stored(session, change_id)):
        raise MigrationError(f"the tables have seen change {change_id} already; take it back first")
    await session.execute(delete(AppMigration).where(col(AppMigration.change_id) == change_id))
    for is_lossy, script in ((False, migration.safe), (True, migration.lossy)):
        if script:
            steps = [item for item in migration.operations if item.is_lossy is is_lossy]
            session.add(
                AppMigration(
                    change_id=change_id,
                    is_lossy=is_lossy,
                    tag=script.tag,
                    steps=[{"text": step.text_id, "values": step.values, "left": step.is_left} for step in steps],
                    up_sql=script.up,
                    down_sql=script.down,
                    again_sql=script.again,
                )
            )
    await session.flush()


async def stored(session: AsyncSession, change_id: int) -> tuple[Stored, ...]:
    """The scripts of a change, the safe one first."""
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core.db.tables.tracks import AppMigration

    rows = await session.execute(
        select(AppMigration).where(col(AppMigration.change_id) == change_id).order_by(col(AppMigration.is_lossy))
    )
    return tuple(_value(row) for row in rows.scalars())


def _value(row: AppMigration) -> Stored:
    assert row.id is not None
    return Stored(
        id=row.id,
        change_id=row.change_id,
        commit=row.commit,
        is_lossy=row.is_lossy,
        state=row.state,
        steps=tuple((step["text"], step["values"]) for step in row.steps if not step.get("left")),
        left=tuple((step["text"], step["values"]) for step in row.steps if step.get("left")),
        up_sql=row.up_sql,
        down_sql=row.down_sql,
        actor=row.actor,
        error=row.error,
    )


async def cause_of(session: AsyncSession, change_id: int, text: str, values: dict[str, str]) -> int | None:
    """The latest change before another one that was itself the cause of a step, and did not come to it."""
    from sqlalchemy import func, select
    from sqlmodel import col

    from persais_core.db.tables.tracks import AppMigration

    step = [{"text": text, "values": values, "left": False}]
    query = select(func.max(AppMigration.change_id)).where(
        col(AppMigration.change_id) < change_id,
        col(AppMigration.is_lossy),
        col(AppMigration.state) != "applied",
        col(AppMigration.steps).contains(step),
    )
    found: int | None = (await session.execute(query)).scalar_one_or_none()
    return found


async def allow(session: AsyncSession, change_id: int, *, actor: int) -> bool:
    """Note that somebody allowed the lossy script of a change.

    Returns:
        Whether the change has one.
    """
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core.db.tables.tracks import AppMigration

    query = select(AppMigration).where(col(AppMigration.change_id) == change_id, col(AppMigration.is_lossy))
    row = (await session.execute(query)).scalar_one_or_none()
    if row is not None:
        row.actor = actor
    return row is not None


def apply(url: str, change_id: int, *, is_lossy: bool = False, commit: str | None = None) -> bool:
    """Run a script of a change, once. Blocks.

    Made again after it was taken back, it also brings back what that put aside, for as long as it is kept.

    Args:
        url: a direct address, not through a pooler.
        change_id: the change.
        is_lossy: which of its scripts; the lossy one runs only when it was allowed.
        commit: the release it is for, noted for `revert`.

    Returns:
        Whether anything was done; False when there is nothing to do or it was done before.

    Raises:
        MigrationError: the database refused, or nobody allowed it.
    """
    with _noting(url, change_id, is_lossy), _alone(url) as connection:
        row = connection.execute(
            "select id, state, tag, up_sql, again_sql, actor from persais.app_migrations "
            "where change_id = %s and is_lossy = %s",
            (change_id, is_lossy),
        ).fetchone()
        if row is None or row[1] == "applied":
            return False
        number, _, tag, up, again, actor = row
        if is_lossy and actor is None:
            raise MigrationError(f"nobody has allowed change {change_id} to drop anything; nothing was dropped")
        connection.execute(app_sql.ATTIC)
        connection.execute((again if _is_kept(connection, tag) else up).encode())
        agent_role.guard(connection)
        connection.execute(
            "update persais.app_migrations set state = 'applied', applied_at = clock_timestamp(), reverted_at = null, "
            "error = null, commit = coalesce(%s, commit) where id = %s",
            (commit, number),
        )
    return True


def revert(url: str, *, change_id: int | None = None, commit: str | None = None, only_lossy: bool = False) -> bool:
    """Take back what a change, or all that a commit, did to the tables; the last first. Blocks.

    What had been made is kept in the attic, what had been dropped comes back from there.

    Args:
        url: a direct address, not through a pooler.
        change_id: the change.
        commit: the release, where the change is not known.
        only_lossy: bring back what was dropped, and leave what was added.

    Returns:
        Whether anything was done.

    Raises:
        MigrationError: the database refused; what had been dropped may be gone after 30 days.
    """
    if (change_id is None) is (commit is None):
        raise ValueError("name a change or a commit")
    with _alone(url) as connection:
        rows = connection.execute(
            "select id, tag, down_sql from persais.app_migrations where state = 'applied' "
            "and change_id is not null and (change_id = %s or commit = %s) "
            "and (is_lossy or not %s) order by applied_at desc, id desc",
            (change_id, commit, only_lossy),
        ).fetchall()
        connection.execute(app_sql.ATTIC)
        for number, tag, down in rows:
            if app_sql.needs_attic(down) and not _is_kept(connection, tag):
                raise MigrationError(
                    f"what was dropped was kept for {app_sql.KEPT_DAYS} days and is gone; "
                    "change the schema forward instead of taking the change back"
                )
            connection.execute(down.encode())
            connection.execute(
                "update persais.app_migrations set state = 'reverted', reverted_at = now() where id = %s", (number,)
            )
        if rows:
            agent_role.guard(connection)
            # The next start must look again whether the tables are as the schemas want them.
            connection.execute("update persais.app_migrations set digest = null where change_id is null")
    return bool(rows)


def _is_kept(connection: psycopg.Connection[Any], tag: str) -> bool:
    """Whether the attic still holds what a script put there."""
    return connection.execute("select 1 from attic.contents where tag = %s limit 1", (tag,)).fetchone() is not None


def digest(root: Path) -> str | None:
    """A digest of the project's schemas, or None where there are none."""
    folder = root / "bot" / "schemas"
    files = [file for file in sorted(folder.glob("*.py")) if file.is_file()]
    if not any(file.name != "__init__.py" for file in files):
        return None
    told = hashlib.sha256()
    for file in files:
        told.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return told.hexdigest()


def is_brought_up(url: str, wanted: str) -> bool:
    """Whether the last start that had something to compare found the schemas of this digest. Blocks.

    Raises:
        MigrationError: no connection.
    """
    with _alone(url) as connection:
        row = connection.execute(
            "select digest from persais.app_migrations where change_id is null and digest is not null "
            "order by id desc limit 1"
        ).fetchone()
    return row is not None and row[0] == wanted


def bring_up(
    url: str, root: Path, *, wanted: app_schema.Schema | None = None, digest: str | None = None, commit: str = ""
) -> Brought:
    """Bring the tables up to what a release needs: the revision files, then what its schemas still lack. Blocks.

    Args:
        url: a direct address, not through a pooler.
        root: of the release.
        wanted: what its schemas declare; None: only the revision files are looked at.
        digest: of the schemas that `wanted` was read from.
        commit: of the release.

    Raises:
        MigrationError: a revision or a step failed.
        SchemaError: the schemas cannot be reached from the tables that are there.
    """
    if any((root / app_migrations.VERSIONS).glob("*.py")):
        app_migrations.upgrade(url, root)
    if wanted is None:
        with _alone(url) as connection:
            agent_role.guard(connection)
        return Brought()
    with _alone(url) as connection:
        now = app_schema.observe(connection)
        steps = app_steps.difference(now, wanted)
        safe = tuple(step for step in steps if not step.is_lossy)
        apart = tuple(item for item in app_steps.left_apart(now, wanted, safe) if _is_filled(connection, item))
        script = app_sql.write(safe, tag="start").safe
        if script:
            connection.execute(script.up.encode())
        agent_role.guard(connection)
        connection.execute("delete from persais.app_migrations where change_id is null and up_sql = ''")
        connection.execute(
            "insert into persais.app_migrations (commit, is_lossy, state, tag, steps, up_sql, down_sql, again_sql, "
            "digest, applied_at) values (%s, false, 'applied', '', %s, %s, '', '', %s, now())",
            (
                commit,
                Jsonb([{"text": step.text_id, "values": step.values} for step in safe]),
                script.up,
                digest,
            ),
        )
    return Brought(steps=safe, apart=apart)


def _is_filled(connection: psycopg.Connection[Any], rename: app_steps.Rename) -> bool:
    """Whether the older one of two fields has anything in it."""
    query = sql.SQL("select from {} where {} is not null limit 1").format(
        sql.Identifier("public", rename.table), sql.Identifier(rename.before)
    )
    return connection.execute(query).rowcount > 0


def purge(url: str) -> tuple[str, ...]:
    """Throw away what has lain in the attic for longer than 30 days. Blocks.

    Returns:
        The names of what went.

    Raises:
        MigrationError: no connection.
    """
    with _alone(url) as connection:
        return app_sql.purge(connection)


@contextmanager
def _alone(url: str) -> Iterator[psycopg.Connection[Any]]:
    """One transaction, and nobody else migrates this bot's tables meanwhile."""
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute("select pg_advisory_xact_lock(%s)", (app_migrations.LOCK,))
            connection.execute(f"set local lock_timeout = {LOCK_PATIENCE_MS}")
            connection.execute(f"set local statement_timeout = {STATEMENT_MS}")
            yield connection
    except psycopg.Error as error:
        raise MigrationError(f"the database refused: {_sentence(error)}") from error


@contextmanager
def _noting(url: str, change_id: int, is_lossy: bool) -> Iterator[None]:
    """Note why the database refused a script; the script's own transaction is gone by then."""
    try:
        yield
    except MigrationError as failure:
        if failure.__cause__ is not None:
            with _alone(url) as connection:
                connection.execute(
                    "update persais.app_migrations set state = 'failed', error = %s "
                    "where change_id = %s and is_lossy = %s and state <> 'applied'",
                    (str(failure), change_id, is_lossy),
                )
        raise


def _sentence(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].removeprefix("ERROR:").strip()
