"""`persais rollback [CHANGE]`: the same as /rollback in the chat, asked for and followed from the terminal.

The running bot does it, on behalf of its owner, whose chat is told too. This command only asks and then follows what
the bot notes about it: closing the terminal stops nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from persais_core.db.engine import Database
    from persais_core.db.tables.evolution import Deployment
    from persais_core.db.tables.people import AuditEntry
    from persais_core.domain.changes import Change

T = TypeVar("T")

app = typer.Typer(add_completion=False)

LOOK_EVERY = 0.2  # seconds
MAX_REQUEST = 200  # characters of the request that are shown


@app.command()
def rollback(
    change: Annotated[
        str, typer.Argument(help="Its number, or its commit (7 digits or more); by default the one deployed last.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Take a deployed change of the running bot back."""
    try:
        asyncio.run(_rollback(change, yes=yes))
    except KeyboardInterrupt:
        typer.echo("\nWhat was asked for goes on in the bot; its owner's chat tells how it ends.")
        raise typer.Exit(130) from None


async def _rollback(what: str, *, yes: bool) -> None:
    """Ask for the rollback of one change and follow it to the end of its deployment.

    Raises:
        ChangeError: there is nothing like it to take back, or it could not be taken back.
        DeployError: it was taken back, and the version without it does not start.
        DatabaseError: no bot is running here.
    """
    from persais_core.cli import workplace
    from persais_core.mechanic import rollback
    from persais_core.queue import jobs, locks

    async with workplace.database() as database:
        await workplace.require_bot(database)
        user = await workplace.owner(database, "en")
        noted = await _newest_entry(database)
        change = rollback.find(await workplace.ledger(database).deployed(), what)
        typer.echo(_named(change))
        if not yes and not await asyncio.to_thread(typer.confirm, "Take it back?"):
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
        async with database.session() as session:
            await jobs.defer(
                session, "rollback", lock=locks.ROLLBACK, what=str(change.id), user=user.id, chat=user.id, topic=0
            )
        await _follow(database, change, noted)


def _named(change: Change) -> str:
    """What people recognise a change by, on one line."""
    from persais_core import texts

    request = " ".join(change.request.split())
    short = request if len(request) <= MAX_REQUEST else f"{request[:MAX_REQUEST]}…"
    return texts.printable(f"Change {change.id} ({change.branch}, {(change.merge_commit or '')[:12]}): {short}")


async def _follow(database: Database, change: Change, noted: int) -> None:
    """Tell what the bot notes of the rollback, until its deployment has ended."""
    from persais_core import errors, texts

    entry = await _until(lambda: _entry(database, change, noted))
    if entry.outcome != "ok":
        raise errors.ChangeError(f"nothing was rolled back: {entry.detail.get('cause', 'see the chat')}")
    typer.echo(f"Taken out of main by {(entry.commit or '')[:12]}; the version without it is being started...")
    deployment = await _until(lambda: _ended(database, entry.commit))
    if deployment.state == "failed":
        cause = texts.printable(deployment.cause or "see the bot's log")
        raise errors.DeployError(
            f"the version without change {change.id} does not start, the present one stays: {cause}"
        )
    typer.echo(f"Rolled back: change {change.id} is not in the bot any more.")


async def _until(look: Callable[[], Awaitable[T | None]]) -> T:
    while True:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(LOOK_EVERY)


async def _newest_entry(database: Database) -> int:
    from sqlalchemy import func, select
    from sqlmodel import col

    from persais_core.db.tables.people import AuditEntry

    async with database.session() as session:
        return (await session.execute(select(func.max(col(AuditEntry.id))))).scalar() or 0


async def _entry(database: Database, change: Change, noted: int) -> AuditEntry | None:
    """What was noted of the rollback of a change since `noted`."""
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core.db.tables.people import AuditEntry

    mine = (col(AuditEntry.action) == "rolled back", col(AuditEntry.subject) == change.subject)
    async with database.session() as session:
        found = await session.execute(select(AuditEntry).where(col(AuditEntry.id) > noted, *mine).limit(1))
        return found.scalar_one_or_none()


async def _ended(database: Database, commit: str | None) -> Deployment | None:
    """The deployment of a commit, once it has ended one way or the other."""
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core.db.tables.evolution import Deployment

    newest = select(Deployment).where(col(Deployment.commit) == commit).order_by(col(Deployment.id).desc()).limit(1)
    async with database.session() as session:
        found = (await session.execute(newest)).scalar_one_or_none()
    return found if found is not None and found.state in {"serving", "confirmed", "failed"} else None
