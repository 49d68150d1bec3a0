"""`persais migrate …`: the tables of the bot's own schemas, forward and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Bring the project's tables up to date, or take them back."
)

Root = Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")]


@app.command()
def up(
    revision: Annotated[str, typer.Argument(help="Where to; the newest by default.")] = "head", root: Root = None
) -> None:
    """Run the migrations the database has not seen."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        app_migrations.upgrade(url, project, revision)
        typer.echo(f"The database is at {app_migrations.current(url, project) or 'the beginning'}.")


@app.command(context_settings={"ignore_unknown_options": True})
def down(
    revision: Annotated[str, typer.Argument(help="Where to: -1 is one step back, base the very beginning.")] = "-1",
    root: Root = None,
) -> None:
    """Take migrations back. Tables and columns they made go, with what is in them."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        app_migrations.downgrade(url, project, revision)
        typer.echo(f"The database is at {app_migrations.current(url, project) or 'the beginning'}.")


@app.command()
def new(message: Annotated[str, typer.Argument(help="What changes, in a few words.")], root: Root = None) -> None:
    """Write the migration that makes the tables equal to the schemas."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        made = app_migrations.generate(url, project, message)
        if made is None:
            typer.echo("Nothing to do: the tables are equal to the schemas.")
        else:
            typer.echo(f"Wrote {made.relative_to(project)}. Read it, then: persais migrate up")


@app.command()
def status(root: Root = None) -> None:
    """Show where the database stands and what is missing; exit code 1 when something is."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        at, newest = app_migrations.current(url, project), app_migrations.head(project)
        typer.echo(f"Database: {at or 'the beginning'}\nProject:  {newest or 'no migrations'}")
        if at != newest:
            typer.echo("Next: persais migrate up")
            raise typer.Exit(1)
        differences = app_migrations.check(url, project)
        if differences:
            typer.echo("The schemas differ from the tables:")
            for line in differences:
                typer.echo(f"  {line}")
            typer.echo('Next: persais migrate new "what changed"')
            raise typer.Exit(1)
        typer.echo("The tables are equal to the schemas.")


@app.command()
def core(root: Root = None) -> None:
    """Bring the framework's own tables up to date, as every start of the bot does; for a release command."""
    from persais_core.db import core_migrations

    with project_database(root) as (_, url):
        core_migrations.prepare(url)
        typer.echo("The framework's tables are up to date.")


@contextmanager
def project_database(root: Path | None) -> Iterator[tuple[Path, str]]:
    """The project and the direct address of its database, which is started for the time of the block if need be."""
    from persais_core import settings
    from persais_core.db import embedded
    from persais_core.templates import engine

    project = engine.project_root(root or Path.cwd()).resolve()
    # Settings and PERSAIS_HOME are relative to the project, wherever in it the command is given.
    with inside(project):
        given = settings.load()
    url = given.database_direct_url or given.database_url
    if url is not None:
        yield project, url.get_secret_value()
        return
    server = embedded.EmbeddedPostgres(given.persais_home / "pg")
    ours = not (server.data_dir.exists() and server.is_running())
    try:
        yield project, server.start()
    finally:
        if ours:
            server.stop()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder while the block lasts."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.chdir(before)
