"""`persais git …`: looking into the repository that evolves, as the Mechanic's model does; nothing here writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from persais_core.mechanic.tools.git import Action

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look into the repository that evolves.")

Ref = Annotated[str, typer.Argument(help="main, the branch of a change, or the digits of a commit.")]
Root = Annotated[Path | None, typer.Option(help="The repository's top; by default the project you are in.")]


@app.command()
def status(ref: Ref = "main", root: Root = None) -> None:
    """Show where a branch is, and which files it changes."""
    _look("status", root, ref=ref)


@app.command()
def diff(ref: Ref = "main", root: Root = None) -> None:
    """Show what a branch changes since it left main."""
    _look("diff", root, ref=ref)


@app.command()
def log(
    ref: Ref = "main", limit: Annotated[int, typer.Option(help="How many commits, 50 at most.")] = 20, root: Root = None
) -> None:
    """Show the commits, newest first."""
    _look("log", root, ref=ref, limit=limit)


@app.command()
def branches(root: Root = None) -> None:
    """Show main and the branches of changes."""
    _look("branches", root)


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="The file, relative to the project.")],
    ref: Ref = "main",
    root: Root = None,
) -> None:
    """Show a file as it is on a branch."""
    _look("show", root, ref=ref, path=path)


def _look(action: Action, root: Path | None, **asked: Any) -> None:
    from pydantic import ValidationError

    from persais_core import errors, texts
    from persais_core.git.repository import Repository
    from persais_core.mechanic.tools import git, refusals
    from persais_core.templates import engine

    repository = Repository(engine.project_root(root or Path.cwd()))
    try:
        arguments = git.GitArguments(action=action, **asked)
    except ValidationError as error:
        raise errors.GitError(refusals.why(error)) from None
    found = asyncio.run(git.manage_git(repository, arguments))
    for line in found.text.splitlines():
        typer.echo(texts.printable(line))
    if found.is_cut:
        typer.echo(f"... cut at {git.MAX_TEXT} characters", err=True)
