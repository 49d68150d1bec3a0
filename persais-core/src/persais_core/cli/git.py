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
    what: Annotated[
        str | None,
        typer.Argument(help="A file, relative to the project, or the branch or commit whose whole change is shown."),
    ] = None,
    ref: Annotated[str, typer.Argument(help="With a file: main, the branch of a change, or a commit.")] = "main",
    root: Root = None,
) -> None:
    """Show a whole change, by default the newest on main, or with a file that file as it is on a branch."""
    from persais_core.git.repository import Repository
    from persais_core.mechanic.tools.git import REF
    from persais_core.templates import engine

    if what is not None and not REF.match(what):
        _look("show", root, ref=ref, path=what)
        return
    if what in {None, "main"}:  # the diff of main itself is empty: meant is what came into it last
        repository = Repository(engine.project_root(root or Path.cwd()))
        what = asyncio.run(repository.resolve("main"))
        if asyncio.run(repository.first_parent(what)) is None:
            typer.echo(f"{what[:12]} is the first commit. Its files:")
            _look("show", root, ref=what)
            return
    _look("diff", root, ref=what)


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
        typer.echo(f"... cut after {git.MAX_TEXT} characters; git itself shows all of it", err=True)
