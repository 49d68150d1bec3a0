"""`persais upgrade`: take the project to the templates of the framework that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def upgrade(
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
) -> None:
    """Merge the templates of the installed framework into your project, on a branch of its own."""
    import persais_core
    from persais_core.templates import engine
    from persais_core.templates import upgrade as upgrades

    project = (root.resolve() if root else engine.project_root(Path.cwd())).resolve()
    done = upgrades.upgrade(project)
    if done.branch is None:
        typer.echo(f"Nothing to do: the project is as Persais {persais_core.__version__} makes it.")
        return
    for title, paths in (("New", done.added), ("Changed", done.changed), ("Gone", done.removed)):
        for path in paths:
            typer.echo(f"{title:<8} {path}")
    if done.conflicts:
        for path in done.conflicts:
            typer.echo(f"Decide   {path}")
        typer.echo(
            f"\nBoth you and the templates changed what is marked Decide. You are on the branch {done.branch}; each\n"
            "file shows both sides between <<<<<<< and >>>>>>>. Edit them, then: git add -A && git commit\n"
            "To leave all as it was: git merge --abort && git switch - "
            f"&& git branch -D {done.branch}"
        )
        raise typer.Exit(1)
    typer.echo(
        f"\nDone on the branch {done.branch}. Read it (git show), then make it what the bot is:\n"
        "  git push persais HEAD:main"
    )
    _migrate(project)


def _migrate(project: Path) -> None:
    """Bring the framework's own tables up to date where there is a database already."""
    from persais_core import settings
    from persais_core.cli import migrate

    config = settings.load(project)
    if config.database_url is not None or (config.persais_home / "pg").exists():
        migrate.core(root=project)
