"""`persais`: one file for each command, imported when it is used.

`persais --help` costs no more than typer itself: the one-line helps stand here, and a command's module is loaded only
to run it or to show its own help.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys

import typer
import typer.core

from persais_core import errors

COMMANDS = {
    "new": "Make a new bot project.",
    "dev": "Run a bot on this computer: database, chat page and all.",
    "chat": "Talk to the bot that runs here, in the terminal.",
    "evolve": "Ask the Mechanic for a change and watch it work.",
    "rollback": "Take a deployed change of the running bot back.",
    "audit": "Show who did what with the running bot.",
    "dead": "Show what kept failing, and have it tried again or dropped.",
    "scaffold": "Make an agent, tool, schema or feature from the templates.",
    "code": "Let the coder work once on files of your project.",
    "check": "Run the checks on what you changed by hand.",
    "sandbox": "Run a program as the tests of a change are run: no network, one folder.",
    "git": "Look into the repository that evolves.",
    "migrate": "Bring the project's tables up to date, or take them back.",
    "doctor": "Look at everything the bot needs, and say what to do.",
    "deploy": "Walk through the first deploy to Fly.io.",
    "upgrade": "Take your project to the templates of the installed framework.",
    "serve": "Serve one release of a bot (what `dev` and the container start).",
}


class Lazy(typer.core.TyperGroup):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, name: str):  # type: ignore[no-untyped-def,override]
        if name not in COMMANDS:
            return None
        if _only_listing():
            return typer.core.TyperCommand(name, help=COMMANDS[name])
        module = importlib.import_module(f"persais_core.cli.{name}")
        command = typer.main.get_command(module.app)
        command.name = name
        command.help = command.help or COMMANDS[name]
        return command


def _only_listing() -> bool:
    """Whether the commands are wanted for their names alone."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--"]
    return not arguments or arguments[0].startswith("-")


app = typer.Typer(
    cls=Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Persais: a chat bot that grows by being asked.",
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    """A chat bot that grows by being asked."""
    if version:
        from persais_core import __version__

        typer.echo(f"persais {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an expected failure is one line on stderr and exit code 1.

    Where JSON was asked for, standard output is JSON then too: `{"error": "the same sentence"}`.
    """
    try:
        app()
    except errors.PersaisError as error:
        own = itertools.takewhile(lambda argument: argument != "--", sys.argv)
        if "--json" in own:
            typer.echo(json.dumps({"error": str(error)}, ensure_ascii=False))
        typer.echo(f"persais: {error}", err=True)
        sys.exit(1)
