"""What a change does to the bot's tables: stored when it is proven, run when it is deployed, taken back when it fails.

    keep            the check has proven the SQL: it is stored for the change
    losses          what would go, in words for the card; such a change needs the tap of `allow`
    left            what would go with it, as an earlier change had no such tap
    before_proving  the safe script, just before the new release is started beside the old one
    after_confirmed the lossy script, once the new release serves and somebody allowed it
    take_back       both, the last first, when the new release does not serve or is rolled back

Each may be repeated, so that a step that is killed in the middle is simply done again. None of them runs a line of the
project's code. `bring_up` is for the start of a release on whatever database it finds.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from persais_core import audit, errors, texts
from persais_core.checks import migrations
from persais_core.db import app_schema, app_sql, app_track
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, subject_of_change
from persais_core.domain.chats import Language
from persais_core.mechanic.workshop import Workshop
from persais_core.security import sandbox
from persais_core.security.sandbox import leftovers

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)


async def former(shop: Workshop, change: Change, paths: Iterable[str]) -> dict[str, str]:
    """The text that changed schemas and tests had at the commit a change started from, by path, for `checks`.

    Args:
        paths: all changed paths; those that are neither, or were not there, are left out.
    """
    if change.base is None:
        return {}
    there = await shop.repository.files(change.base)
    wanted = [path for path in paths if path.startswith((migrations.FOLDER, "tests/")) and path in there]
    return {path: await shop.repository.read(change.base, path) for path in wanted if path.endswith(".py")}


async def keep(shop: Workshop, change_id: int, migration: app_sql.Migration) -> None:
    """Store what was proven, in place of what an earlier round proved.

    Raises:
        DatabaseError: the tables have seen the change already.
    """
    async with shop.database.session() as session:
        await app_track.plan(session, change_id, migration)


async def losses(session: AsyncSession, change_id: int, language: Language) -> tuple[str, ...]:
    """What a change drops or binds, one sentence each; empty when its plain [Deploy] is all it needs."""
    stored = await app_track.stored(session, change_id)
    return tuple(
        texts.say(language, text, **values) for script in stored if script.is_lossy for text, values in script.steps
    )


async def left(session: AsyncSession, change_id: int, language: Language) -> tuple[str, ...]:
    """What the tap that allows losses does as well, though earlier changes are the cause; one sentence each."""
    told = []
    for script in await app_track.stored(session, change_id):
        for text, values in script.left:
            cause = await app_track.cause_of(session, change_id, text, values)
            what = texts.say(language, text, **values)
            told.append(texts.say(language, "card-left", change=cause or 0, what=what))
    return tuple(told)


async def allow(session: AsyncSession, change_id: int, *, actor: int) -> None:
    """Note the tap that allows a change to drop what `losses` names; nothing is dropped by it yet.

    Args:
        session: the transaction that uses up the tap.
        actor: who tapped.
    """
    if await app_track.allow(session, change_id, actor=actor):
        audit.record(session, "loss allowed", actor=actor, subject=subject_of_change(change_id))


async def before_proving(shop: Workshop, change: Change) -> bool:
    """Run the safe script of a change. The release that serves goes on as before.

    Returns:
        Whether anything was done.

    Raises:
        DatabaseError: the database refused; the tables are as they were, and the release must not be asked for.
    """
    return await _run(shop, change, is_lossy=False)


async def after_confirmed(shop: Workshop, change: Change) -> bool:
    """Run the lossy script of a change that serves now, if somebody allowed it; without that everything stays.

    Returns:
        Whether anything was done.

    Raises:
        DatabaseError: the database refused; nothing was dropped, and the release goes on serving.
    """
    async with shop.database.session() as session:
        allowed = [s for s in await app_track.stored(session, change.id) if s.is_lossy and s.actor is not None]
    return bool(allowed) and await _run(shop, change, is_lossy=True)


async def _run(shop: Workshop, change: Change, *, is_lossy: bool) -> bool:
    action = "tables dropped" if is_lossy else "tables changed"
    subject = change.subject
    try:
        done = await asyncio.to_thread(
            app_track.apply, shop.database.direct_url, change.id, is_lossy=is_lossy, commit=change.commit
        )
    except errors.DatabaseError as error:
        async with shop.database.session() as session:
            audit.record(session, action, subject=subject, commit=change.commit, outcome="failed", cause=str(error))
        raise
    if done:
        async with shop.database.session() as session:
            audit.record(session, action, subject=subject, commit=change.commit)
    return done


async def bring_back(shop: Workshop, change: Change) -> bool:
    """Bring back what a change had dropped, for the release that is to serve again: it would make it anew, and empty.

    The release that serves meanwhile is not disturbed: it does not know what comes back.

    Returns:
        Whether anything was done.

    Raises:
        DatabaseError: it cannot be brought back; the tables are as they were.
    """
    return await _undo(shop, change, only_lossy=True)


async def take_back(shop: Workshop, change: Change) -> bool:
    """Undo what a change did to the tables. What it had added is kept in the attic, what it had dropped comes back.

    Call it when nothing runs that needs what the change added: after the old release serves again.

    Returns:
        Whether anything was done.

    Raises:
        DatabaseError: it cannot be undone; the tables are as they were, which the old release can work with unless
            something was dropped.
    """
    return await _undo(shop, change, only_lossy=False)


async def _undo(shop: Workshop, change: Change, *, only_lossy: bool) -> bool:
    url = shop.database.direct_url
    done = await asyncio.to_thread(app_track.revert, url, change_id=change.id, only_lossy=only_lossy)
    if done:
        async with shop.database.session() as session:
            audit.record(session, "tables taken back", subject=change.subject, commit=change.commit)
    return done


async def taken_back(shop: Workshop, change: Change) -> tuple[errors.DatabaseError, ...]:
    """Undo what a change did to the tables; returns what there is to say when that fails."""
    try:
        await take_back(shop, change)
    except errors.DatabaseError as error:
        told = f"the tables could not be brought back to what they were: {error}"
        return (errors.DatabaseError(told, key="migration-not-taken-back", cause=error),)
    return ()


async def purge(database: Database) -> tuple[str, ...]:
    """Throw away what has lain in the attic for 30 days; for a daily job.

    Returns:
        The names of what went.
    """
    gone = await asyncio.to_thread(app_track.purge, database.direct_url)
    if gone:
        async with database.session() as session:
            audit.record(session, "attic emptied", names=list(gone))
    return gone


async def bring_up(database: Database, root: Path, box: sandbox.Sandbox, *, commit: str) -> None:
    """Give a release the tables that it needs, whatever the database has seen; costs milliseconds when it has them.

    What only a person can put right, the admins are told: tables that cannot be brought up to the schemas, and fields
    that seem to have been renamed since the database was as it is, such as one that was restored.

    Args:
        root: folder of the release.
        box: where its schemas are read. Where it refuses, a plain child process does: the release was approved, and
            this process is about to import it.
        commit: of the release.

    Raises:
        DatabaseError: a revision file failed, or the database is away.
    """
    url = database.direct_url
    digest = await asyncio.to_thread(app_track.digest, root)
    if digest is None or await asyncio.to_thread(app_track.is_brought_up, url, digest):
        await asyncio.to_thread(app_track.bring_up, url, root)
        return
    try:
        wanted = await _render(root, box)
    except errors.ProjectError as error:
        # The agents that need it will say so; the others need not wait for them.
        log.warning("the tables could not be compared with the schemas", cause=str(error))
        await asyncio.to_thread(app_track.bring_up, url, root)
        return
    try:
        made = await asyncio.to_thread(app_track.bring_up, url, root, wanted=wanted, digest=digest, commit=commit)
    except app_schema.SchemaError as error:
        log.warning("the tables could not be brought up to the schemas", cause=str(error))
        await _alarm(database, [str(error)], commit=commit)
        return
    if made.steps:
        log.info("the tables were brought up to the schemas", steps=[step.sentence for step in made.steps])
    if apart := [f"{item.table}: {item.after} is new, {item.before} has records" for item in made.apart]:
        log.warning("fields may have been renamed since the database was as it is", fields=apart)
        await _alarm(database, apart, commit=commit)


async def _alarm(database: Database, causes: list[str], *, commit: str) -> None:
    async with database.session() as session:
        audit.record(session, "tables changed", outcome="failed", commit=commit, alarm="tables", cause=causes)


async def _render(root: Path, box: sandbox.Sandbox) -> app_schema.Schema:
    scratch = Path(tempfile.mkdtemp(prefix=await asyncio.to_thread(leftovers.prefix, "schemas")))
    scratch.chmod(0o711)  # the sandbox's own uid, where there is one, passes through it
    try:
        try:
            return await migrations.render(root, scratch, box)
        except errors.SandboxError as error:
            log.warning("the schemas are read without a sandbox", cause=str(error))
        await sandbox.remove_tree(scratch / "schemas")
        return await migrations.render(root, scratch, None)
    finally:
        await sandbox.remove_tree(scratch)
