"""`persais scaffold …`: new parts of a bot from the templates the Mechanic uses too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core.cli import new, workplace

if TYPE_CHECKING:
    from persais_core.domain.plans import Part

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make an agent, tool, schema or feature from the templates."
)

Name = Annotated[str, typer.Argument(help="In snake_case; file, command and table are named after it.")]
Fields = Annotated[
    list[str], typer.Argument(help="name:type, or name:type? where it may be empty; str int float bool datetime date.")
]
Title = Annotated[str, typer.Option(help="As people read it; by default made from the name.")]
Description = Annotated[str, typer.Option(help="What it is for, in one sentence.")]
Keyword = Annotated[list[str] | None, typer.Option(help="A word that calls the agent; may be given several times.")]
Emoji = Annotated[str, typer.Option(help="Stands before the title.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which files would be made.")]
Root = Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")]


@app.command()
def agent(
    name: Name,
    title: Title = "",
    description: Description = "",
    keyword: Keyword = None,
    emoji: Emoji = "🤖",
    dry_run: DryRun = False,
    root: Root = None,
) -> None:
    """Make an agent and its test."""
    from persais_core.templates import engine

    made = engine.part("agent", name, title=title, description=description, keywords=tuple(keyword or ()), emoji=emoji)
    _make(root, [made], dry_run, f"write its answer in bot/agents/{name}.py, then: pytest")


@app.command()
def tool(
    name: Name, title: Title = "", description: Description = "", dry_run: DryRun = False, root: Root = None
) -> None:
    """Make a tool and its test."""
    from persais_core.templates import engine

    made = engine.part("tool", name, title=title, description=description)
    _make(root, [made], dry_run, f"write its work in bot/tools/{name}.py, then: pytest")


@app.command()
def schema(
    name: Name,
    fields: Fields,
    title: Title = "",
    description: Description = "",
    dry_run: DryRun = False,
    root: Root = None,
) -> None:
    """Make a schema and its test, without a migration."""
    made = _schema(name, fields, title, description)
    _make(root, [made], dry_run, f'when its fields are right: {workplace.program()} migrate new "add {name}"')


@app.command()
def feature(
    name: Name,
    fields: Fields,
    title: Title = "",
    description: Description = "",
    dry_run: DryRun = False,
    root: Root = None,
) -> None:
    """Make a schema, the tools for its records, tests and a migration."""
    from persais_core.templates import engine

    made = _schema(name, fields, title, description)
    tools = engine.part("tool", name, title=title, description=description, fields=made.fields)
    _make(root, [made, tools], dry_run, f"{workplace.program()} migrate up, then: pytest", migrations=True)


def _schema(name: str, fields: list[str], title: str, description: str) -> Part:
    from persais_core.templates import engine

    specs = tuple(engine.parse_field(field) for field in fields)
    return engine.part("schema", name, title=title, description=description, fields=specs)


def _make(root: Path | None, parts: list[Part], dry_run: bool, then: str, *, migrations: bool = False) -> None:
    from persais_core.templates import engine

    project = engine.project_root(root or Path.cwd())
    files = engine.scaffold(project, parts, dry_run=dry_run, migrations=migrations)
    new.show_tree(f"{project.name}{' (nothing was written)' if dry_run else ''}", files)
    if not dry_run:
        typer.echo(f"\nNext: {then}")
