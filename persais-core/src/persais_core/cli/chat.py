"""`persais chat`: the local chat in a terminal; how it goes is told in `emulators/telegram/terminal.py`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from persais_core import errors, settings

DESK = "desk.json"

app = typer.Typer(add_completion=False)


class NoBotError(errors.ProjectError):
    """No bot is running in this place."""

    def __init__(self) -> None:
        super().__init__(
            "no bot is running here; start one with `persais dev`, or name where one keeps its state with --home"
        )


@app.command()
def chat(
    home: Annotated[Path | None, typer.Option(help="Where the bot keeps its state; PERSAIS_HOME by default.")] = None,
    language: Annotated[
        str | None, typer.Option(help="en or ru; by default what was chosen before, else the terminal's.")
    ] = None,
) -> None:
    """Chat with the bot that `persais dev` runs here, in the terminal."""
    if language not in (None, "en", "ru"):
        raise typer.BadParameter("the bot speaks en and ru")
    try:
        url, key = read_desk(home or settings.load().persais_home)
        # Only here: `persais --help` should not wait for an HTTP client.
        from persais_core.emulators.telegram import client, terminal

        try:
            asyncio.run(terminal.talk(url, key, language=language, guess=settings.terminal_language()))
        except client.ChatUnreachableError:
            raise NoBotError from None
    except errors.PersaisError as error:
        typer.echo(f"persais: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def read_desk(home: Path) -> tuple[str, str]:
    """Address and client key of the chat that runs in a place.

    Raises:
        NoBotError: there is no such note, or it is not readable.
    """
    try:
        note = json.loads((home / DESK).read_text("utf-8"))
        return str(note["url"]), str(note["key"])
    except (OSError, ValueError, LookupError, TypeError):
        raise NoBotError from None
