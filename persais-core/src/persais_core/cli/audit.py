"""`persais audit`: who did what with the running bot, from the log that is only ever added to."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core import errors
from persais_core.texts import printable

if TYPE_CHECKING:
    from persais_core.audit import Wanted
    from persais_core.db.tables.people import AuditEntry

app = typer.Typer(add_completion=False)

MAX_DETAIL = 200  # characters of one detail in the table; --json has all of it
LOOK_EVERY = 1.0  # seconds, with --follow
STATUSES = {
    "edited": "files were edited",
    "no_edits": "no file was edited",
    "malformed": "the edits did not fit",
    "denied": "other files were wanted",
    "token_limit": "too many tokens",
    "cost_limit": "the cost limit was reached",
    "timed_out": "not done in time",
    "llm_error": "the model did not answer",
    "apply_error": "the edits could not be written",
}
"""How a run of the coder ended, in words."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many entries, the newest ones.")] = 20,
    action: Annotated[str | None, typer.Option(help="Only acts with these words in them, such as `tap`.")] = None,
    actor: Annotated[int | None, typer.Option(help="Only acts of this user id.")] = None,
    change: Annotated[int | None, typer.Option(help="Only acts on the change with this number.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 30m, 12h, 7d, or a date such as 2026-11-27.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on showing what is added, until ctrl-C.")] = False,
) -> None:
    """Show who did what with the running bot."""
    from persais_core.audit import Wanted

    wanted = Wanted(
        limit=limit, action=action, actor=actor, change=change, since=moment(since) if since is not None else None
    )
    asyncio.run(_show(wanted, as_json=as_json, follow=follow))


def moment(words: str) -> datetime:
    """A point in time: so long ago (30m, 12h, 7d, 2w), or an ISO date with or without a time, UTC where not said.

    Raises:
        SettingsError: it is neither.
    """
    now = datetime.now(UTC)
    with contextlib.suppress(ValueError, OverflowError):
        if ago := re.fullmatch(r"([0-9]{1,6})([smhdw])", words.strip()):
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        said = datetime.fromisoformat(words.strip())
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    raise errors.SettingsError(f"--since {words}: say how long ago (30m, 12h, 7d) or a date such as 2026-11-27")


async def _show(wanted: Wanted, *, as_json: bool, follow: bool) -> None:
    """Print the newest entries, oldest first, and then those that are added.

    Raises:
        DatabaseError: no bot is running here.
    """
    from persais_core import audit as log
    from persais_core.cli import workplace

    stop = asyncio.Event()
    if follow:
        # Not by cancelling: in the middle of a query that can be lost, and nobody would end it.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    async with workplace.database() as database:
        is_first = True
        while not stop.is_set():
            async with database.session() as session:
                entries = await log.read(session, wanted)
            _print(entries, as_json=as_json)
            if is_first and not entries and not follow and not as_json:
                typer.echo("Nothing like that has been noted yet.")
            if not follow:
                return
            is_first = False
            seen = entries[-1].id if entries else wanted.after or 0
            wanted = dataclasses.replace(wanted, after=seen, limit=100_000)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY)


def _print(entries: Sequence[AuditEntry], *, as_json: bool) -> None:
    lines = [json.dumps(entry.model_dump(mode="json")) for entry in entries] if as_json else _table(entries)
    for line in lines:
        typer.echo(line)


def _table(entries: Sequence[AuditEntry]) -> list[str]:
    """The entries as aligned lines; what an entry does not have is a dash."""
    cells = [
        (
            f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z",
            f"{entry.outcome}{'!' if entry.alarm else ''}",
            str(entry.actor or "bot"),
            entry.action,
            _subject(entry.subject),
            (entry.commit or "-")[:12],
        )
        for entry in entries
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for entry, row in zip(entries, cells, strict=True):
        padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        told = {name: value for name, value in entry.detail.items() if not name.startswith("_")}
        # What says nothing is left out; 0 and false say something.
        detail = "  ".join(
            f"{name}={_short(STATUSES.get(str(value), value) if name == 'status' else value)}"
            for name, value in told.items()
            if value is not None and value not in ("", [], {})
        )
        lines.append(printable(f"{padded}  {detail}".rstrip()))
    return lines


def _subject(subject: str) -> str:
    """What it was done to; `persais code` takes a number below zero, which no change has."""
    if subject.startswith("change -"):
        return "a trial"
    return subject or "-"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"
