"""`persais audit`: who did what with the running bot, from the log that is only ever added to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from persais_core.db.tables.people import AuditEntry

app = typer.Typer(add_completion=False)

MAX_DETAIL = 200  # characters of one detail in the table; --json has all of it


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many entries, the newest ones.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show who did what with the running bot."""
    entries = asyncio.run(_read(limit))
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(entry.model_dump(mode="json")))
    elif entries:
        for line in _table(entries):
            typer.echo(line)
    else:
        typer.echo("Nothing has been noted yet.")


async def _read(limit: int) -> Sequence[AuditEntry]:
    """The newest entries, oldest first.

    Raises:
        DatabaseError: no bot is running here.
    """
    from sqlalchemy import select
    from sqlmodel import col

    from persais_core.cli import workplace
    from persais_core.db.tables.people import AuditEntry

    async with workplace.database() as database, database.session() as session:
        found = await session.execute(select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit))
        return found.scalars().all()[::-1]


def _table(entries: Sequence[AuditEntry]) -> list[str]:
    """The entries as aligned lines; what an entry does not have is a dash."""
    from datetime import UTC

    cells = [
        (
            f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z",
            entry.outcome,
            str(entry.actor or "bot"),
            entry.action,
            entry.subject or "-",
            (entry.commit or "-")[:12],
        )
        for entry in entries
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for entry, row in zip(entries, cells, strict=True):
        padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        detail = "  ".join(f"{name}={_short(value)}" for name, value in entry.detail.items())
        lines.append(printable(f"{padded}  {detail}".rstrip()))
    return lines


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def printable(text: str) -> str:
    """A text on one line that does nothing to a terminal; strangers and models choose some of the words shown."""
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)
