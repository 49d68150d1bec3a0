"""`persais new DIR`: a bot project of one's own, under version control from its first commit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core.domain.chats import Language

if TYPE_CHECKING:
    from pygit2 import Repository, Signature

app = typer.Typer(add_completion=False)

BRANCH = "refs/heads/main"


@app.command()
def new(
    directory: Annotated[Path, typer.Argument(help="Where the project goes; made if it is not there.")],
    name: Annotated[str | None, typer.Option(help="Its name; by default that of the folder.")] = None,
    language: Annotated[Language, typer.Option(help="Language of the README.")] = "en",
    owner_id: Annotated[
        int, typer.Option(help="Your Telegram id, if you know it; else /claim the bot later.", show_default=False)
    ] = 0,
    no_git: Annotated[bool, typer.Option("--no-git", help="Do not make a git repository.")] = False,
) -> None:
    """Make a new bot project."""
    from persais_core.cli import workplace
    from persais_core.templates import projects

    projects.check_target(directory)
    called = projects.check_name(name) if name is not None else projects.name_from(directory)
    with projects.prepared(directory) as fresh:
        files = projects.render(fresh, name=called, language=language, owner_id=owner_id)
        if not no_git:
            commit_all(fresh, f"Start {called}")
    show_tree(str(directory), files)
    typer.echo(f"\nNext: cd {shlex.quote(str(directory))} && {workplace.program(here=directory.absolute())} dev")


def commit_all(root: Path, message: str) -> str:
    """Make a repository of a directory and commit what it does not ignore.

    Returns:
        The commit, 40 hex digits.
    """
    import pygit2

    from persais_core.templates.upgrade import PRISTINE

    repository = pygit2.init_repository(str(root), initial_head="main")
    repository.index.add_all()
    repository.index.write()
    who = _signature(repository)
    commit = repository.create_commit(BRANCH, who, who, message, repository.index.write_tree(), [])
    repository.set_head(BRANCH)
    repository.references.create(PRISTINE, commit)
    return str(commit)


def _signature(repository: Repository) -> Signature:
    """Whoever git is configured for, else Persais."""
    from pygit2 import Signature

    def configured(key: str) -> str:
        return (repository.config[key] or "").strip() if key in repository.config else ""

    name = configured("user.name")
    return Signature(name or "Persais", (configured("user.email") if name else "") or "persais@localhost")


def show_tree(top: str, paths: Iterable[str]) -> None:
    """Print relative paths as a tree under `top`."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(top, "bold"))
    branches: dict[str, Tree] = {"": root}
    for path in paths:
        folder = ""
        *folders, file = path.split("/")
        for part in folders:
            inner = f"{folder}/{part}"
            if inner not in branches:
                branches[inner] = branches[folder].add(Text(f"{part}/", "blue"))
            folder = inner
        branches[folder].add(Text(file))
    Console(highlight=False).print(root)
