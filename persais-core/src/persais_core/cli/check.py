"""`persais check`: the checks that the Mechanic's changes must pass, on what you changed by hand.

Judged is what differs from the last commit of the project, with untracked files. Which files a person may touch is
their own business, so the paths check is left out unless asked for.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from persais_core.domain.changes import Verdict

app = typer.Typer(add_completion=False)


@app.command()
def check(
    only: Annotated[list[str] | None, typer.Option(help="A check to ask; may be given several times.")] = None,
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
) -> None:
    """Ask the checks about what you changed."""
    from persais_core import checks, errors
    from persais_core.templates import engine

    folder = root.resolve() if root else engine.project_root(Path())
    names = tuple(only) if only else tuple(name for name in checks.ORDER if name != "paths")
    if unknown := sorted(set(names) - set(checks.ORDER)):
        raise errors.ProjectError(f"no check is called {unknown[0]}; there are {', '.join(checks.ORDER)}")
    verdicts = asyncio.run(_ask(folder, names))
    raise typer.Exit(0 if all(verdict.passed for verdict in verdicts) else 1)


async def _ask(folder: Path, names: tuple[str, ...]) -> tuple[Verdict, ...]:
    from persais_core import checks, errors, settings
    from persais_core.checks.base import ChangedFile, Subject
    from persais_core.cli import workplace
    from persais_core.git.repository import Repository
    from persais_core.security.sandbox import Sandbox

    config = settings.load(folder)
    try:
        url = workplace.database_url(config)
    except errors.DatabaseError:
        # Changes of tables are proven on a copy of the bot's database; without one there is nothing to prove them on.
        url = None
        names = tuple(name for name in names if name != "migrations")
    repository = Repository(folder)
    base = await repository.head()
    ignored = (".persais/", ".venv/", ".pytest_cache/", ".ruff_cache/")
    changed = [f for f in await repository.changed(base, folder) if not f.path.startswith(ignored)]
    if not changed:
        typer.echo("Nothing differs from the last commit.")
        return ()

    async def tell(verdict: Verdict) -> None:
        typer.echo(
            f"{'✅' if verdict.passed else '❌'} {verdict.check:<10} {verdict.summary} ({verdict.seconds:.1f} s)"
        )
        for finding in verdict.findings:
            typer.echo(f"   {finding}")

    with tempfile.TemporaryDirectory(prefix="persais-check-") as scratch:
        subject = Subject(
            root=folder,
            base=base,
            allowed=tuple(file.path for file in changed),
            changed=tuple(ChangedFile(path=f.path, mode=f.mode, status=f.status, size=f.size) for f in changed),
            sandbox=Sandbox(secrets_present=config.holds_secrets, allow_unsandboxed=config.allow_unsandboxed),
            scratch=Path(scratch),
            database_url=url,
        )
        return await checks.verify(subject, names=names, tell=tell)
