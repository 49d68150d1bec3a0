"""`persais migrate …`: the tables of the bot's own schemas, forward and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from persais_core.cli import workplace

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Bring the project's tables up to date, or take them back."
)

Root = Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")]


@app.command()
def up(
    revision: Annotated[str, typer.Argument(help="The migration to stop at; the newest by default.")] = "head",
    root: Root = None,
) -> None:
    """Run the migrations the database has not seen."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        app_migrations.upgrade(url, project, revision)
        typer.echo(_stands(app_migrations.current(url, project)))


@app.command(context_settings={"ignore_unknown_options": True})
def down(
    revision: Annotated[
        str, typer.Argument(help="The migration to go back to: -1 is one step, base takes all back.")
    ] = "-1",
    root: Root = None,
) -> None:
    """Take migrations back. The tables and columns that they made are dropped, with what is in them."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        app_migrations.downgrade(url, project, revision)
        typer.echo(_stands(app_migrations.current(url, project)))


@app.command()
def new(message: Annotated[str, typer.Argument(help="What changes, in a few words.")], root: Root = None) -> None:
    """Write the migration that brings the tables to what the schemas ask for."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        made = app_migrations.generate(url, project, message)
        if made is None:
            typer.echo("Nothing to do: the tables are as the schemas ask for.")
        else:
            typer.echo(f"Wrote {made.relative_to(project)}. Read it, then: {workplace.program()} migrate up")


@app.command()
def status(root: Root = None) -> None:
    """Show which migrations the database has seen and what is missing; exit code 1 when something is."""
    from persais_core.db import app_migrations

    with project_database(root) as (project, url):
        at, newest = app_migrations.current(url, project), app_migrations.head(project)
        typer.echo(
            f"Newest migration in the project: {newest or 'none'}\nNewest one run on the database: {at or 'none'}"
        )
        if at != newest:
            typer.echo(f"The database is not up to date. Next: {workplace.program()} migrate up")
            raise typer.Exit(1)
        differences = app_migrations.check(url, project)
        if differences:
            typer.echo("All migrations have been run, but the schemas ask for other tables:")
            for line in differences:
                typer.echo(f"  {line}")
            typer.echo(f'Next: {workplace.program()} migrate new "what changed"')
            raise typer.Exit(1)
        typer.echo("Up to date: the tables are as the schemas ask for.")


@app.command()
def core(root: Root = None) -> None:
    """Bring the framework's own tables up to date, as every start of the bot does; a platform's release command."""
    from persais_core.db import core_migrations

    with project_database(root) as (_, url):
        core_migrations.prepare(url)
        typer.echo("The framework's tables are up to date.")


def _stands(revision: str | None) -> str:
    return (
        f"The newest migration run on the database is {revision}."
        if revision
        else "No migration has been run on the database."
    )


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
