"""`persais dead …`: what kept failing and was set aside, and what to do with it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from persais_core.db.tables.sending import DeadLetter
    from persais_core.queue.outbox import Counts

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show what kept failing, and have it tried again or dropped."
)

MAX_LETTERS = 1000
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Number = Annotated[int, typer.Argument(min=1, help="The letter's number, as `persais dead list` shows it.")]


@app.command("list")
def show(as_json: AsJson = False) -> None:
    """Show what is set aside, oldest first, and what became of all messages."""
    from persais_core.texts import printable

    letters, counts = asyncio.run(_read())
    if as_json:
        for letter in letters:
            typer.echo(json.dumps(letter.model_dump(mode="json")))
        return
    for letter in letters:
        typer.echo(_line(letter))
    if not letters:
        typer.echo("Nothing is set aside.")
    typer.echo(
        f"Messages: {counts.sent} sent, {counts.waiting} waiting, {counts.failed} not delivered; "
        f"{counts.doubts} may stand in a chat twice."
    )
    if counts.since and counts.cause:
        typer.echo(printable(f"The oldest has waited since {_moment(counts.since)}: {counts.cause}"))


@app.command()
def retry(number: Number, as_json: AsJson = False) -> None:
    """Have a letter tried again, once, in its place in the queue."""
    _told(asyncio.run(_act("retry", number)), as_json)


@app.command()
def drop(number: Number, as_json: AsJson = False) -> None:
    """Let a letter go; it stays on record."""
    _told(asyncio.run(_act("drop", number)), as_json)


def _told(letter: DeadLetter, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(letter.model_dump(mode="json")))
    else:
        typer.echo(f"Letter {letter.id} ({letter.kind}) {letter.state}.")


def _moment(at: datetime) -> str:
    from datetime import UTC

    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _line(letter: DeadLetter) -> str:
    from persais_core.texts import printable

    tries = f"{letter.tries} {'try' if letter.tries == 1 else 'tries'}"
    return printable(f"{letter.id}  {_moment(letter.at)}  {letter.kind}  {letter.subject}  {tries}  {letter.cause}")


async def _read() -> tuple[list[DeadLetter], Counts]:
    """The letters that wait, and the figures of the outbox.

    Raises:
        DatabaseError: no bot is running here.
    """
    from persais_core.cli import workplace
    from persais_core.queue import letters, outbox

    async with workplace.database() as database:
        async with database.session() as session:
            waiting = list(await letters.waiting(session, MAX_LETTERS))
        return waiting, await outbox.counts(database)


async def _act(verb: str, number: int) -> DeadLetter:
    """Retry or drop a letter, in the name of whoever runs this program.

    Raises:
        DatabaseError: no bot is running here.
        LetterError: no such letter waits, or it can only be dropped.
    """
    from persais_core.cli import workplace
    from persais_core.queue import letters

    act: Any = {"retry": letters.retry, "drop": letters.drop}[verb]
    async with workplace.database() as database, database.session() as session:
        letter: DeadLetter = await act(session, number, actor=None)
        return letter
