"""`persais check`: the checks that the Mechanic's changes must pass, on what you changed by hand.

Judged is what differs from the last commit of the project, with untracked files. Which files a person may touch is
their own business, so the paths check is left out unless asked for.

With `--as` one file is judged by what it holds, and with `--paths` a list of paths by their names; neither needs a
project. Whatever goes wrong in these two counts as refused, so a gate that calls them never fails open.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from persais_core.domain.changes import Verdict

app = typer.Typer(add_completion=False)

LONGEST = 60.0  # seconds that one file or list may take


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file to judge, with --as.", show_default=False)] = None,
    only: Annotated[list[str] | None, typer.Option(help="A check to run; may be given several times.")] = None,
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="PATH", help="Judge FILE as if it stood here: bot/agents/x.py.")
    ] = None,
    paths: Annotated[
        str | None, typer.Option(metavar="LIST.JSON", help="Judge a list of paths and modes; - reads it from stdin.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (with --as and --paths).")] = False,
) -> None:
    """Run the checks on what you changed.

    With --as or --paths the exit code is 0 when nothing was found, 1 when something was, and 2 when it could not be
    judged, which counts as refused.
    """
    if as_ is not None or paths is not None:
        if (as_ is None) is (paths is None) or (file is None) is not (as_ is None) or only or (root and paths):
            raise typer.BadParameter("give --as PATH and a FILE, or --paths LIST.json; --only goes with neither")
        asked = _listed(str(paths)) if as_ is None or file is None else _single(as_, file, root or Path())
        answer = _guarded(asked, as_ or "")
        _print(answer, as_json=as_json)
        raise typer.Exit({"clean": 0, "findings": 1}.get(str(answer["verdict"]), 2))
    if file is not None or as_json:
        raise typer.BadParameter("a FILE and --json go with --as or --paths")
    from persais_core import checks, errors
    from persais_core.templates import engine

    folder = root.resolve() if root else engine.project_root(Path())
    names = tuple(only) if only else tuple(name for name in checks.ORDER if name != "paths")
    if unknown := sorted(set(names) - set(checks.ORDER)):
        raise errors.ProjectError(f"no check is called {unknown[0]}; there are {', '.join(checks.ORDER)}")
    verdicts = asyncio.run(_ask(folder, names, is_chosen=bool(only)))
    raise typer.Exit(0 if all(verdict.passed for verdict in verdicts) else 1)


def _guarded(work: Awaitable[dict[str, Any]], path: str) -> dict[str, Any]:
    """Do the work; whatever goes wrong in it is an answer too."""
    from persais_core import errors

    async def limited() -> dict[str, Any]:
        return await asyncio.wait_for(work, LONGEST)

    try:
        return asyncio.run(limited())
    except errors.PersaisError as error:
        reason = str(error)
    except TimeoutError:
        reason = f"judging it took more than {LONGEST:g} s"
    except Exception as error:  # a gate that ends in a traceback might be taken for one that is not there
        reason = f"judging it failed ({type(error).__name__})"
    return _answer(path, "error", [{"line": 1, "rule": "unreadable", "message": reason, "instead": ""}])


def _answer(path: str, verdict: str, findings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"path": path, "verdict": verdict, "findings": list(findings)}


async def _single(path: str, file: Path, root: Path) -> dict[str, Any]:
    from persais_core.checks import single

    found = await single.judge(path, file, more=await _owners_lists(root.absolute()))
    return _answer(path, found.verdict, [row._asdict() for row in found.findings])


async def _listed(name: str) -> dict[str, Any]:
    from persais_core.checks import base, listed, single

    def read() -> str:
        if name == "-":
            return typer.get_text_stream("stdin").read(listed.MAX_LIST + 1)
        return single.read(Path(name), listed.MAX_LIST).decode("utf-8", "surrogateescape")

    text = await asyncio.to_thread(read)
    if len(text) > listed.MAX_LIST:
        raise base.CheckError(f"the list has more than {listed.MAX_LIST // 1_000_000} MB; shorten it")
    troubles = await asyncio.to_thread(lambda: listed.judge(listed.read(text)))
    rows = [{"path": one.shown, **single.row(1, one.rule, one.text)._asdict()} for one in troubles]
    return _answer(name, "findings" if rows else "clean", rows)


async def _owners_lists(here: Path) -> str:
    """The owner's own lists, where a folder is in a project that has some: as they were committed, not as they lie."""
    from persais_core.checks import imports

    for folder in (here, *here.parents):
        if (folder / "bot").is_dir() and (folder / "pyproject.toml").is_file():
            if not (folder / ".git").exists() or not (folder / imports.OWNERS).is_file():
                return ""
            from persais_core.git.repository import Repository

            repository = Repository(folder)
            return await imports.owners_lists(repository, await repository.head())
    return ""


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for row in answer["findings"]:
        where = row.get("path") or f"{answer['path']}:{row['line']}"
        typer.echo(f"{where}: {row['rule']}: {row['message']}" + (f"; {row['instead']}" if row["instead"] else ""))
    typer.echo(
        {"clean": "✅ clean", "findings": "❌ refused"}.get(answer["verdict"], "❌ could not be judged: refused")
    )


async def _ask(folder: Path, names: tuple[str, ...], *, is_chosen: bool) -> tuple[Verdict, ...]:
    """Ask the checks, and tell what they found, and which were not asked and why.

    Raises:
        DatabaseError: a check was chosen that needs the bot's database, and there is none.
    """
    from persais_core import checks, errors, settings
    from persais_core.checks import imports, migrations
    from persais_core.checks.base import ChangedFile, Subject
    from persais_core.cli import workplace
    from persais_core.git.repository import Repository
    from persais_core.security.sandbox import Sandbox

    config = settings.load(folder)
    repository = Repository(folder)
    base = await repository.head()
    ignored = (".persais/", ".venv/", ".pytest_cache/", ".ruff_cache/")
    changed = [f for f in await repository.changed(base, folder) if not f.path.startswith(ignored)]
    if not changed:
        typer.echo("Nothing differs from the last commit.")
        return ()
    not_asked = {} if is_chosen else {"paths": "which files you touch is your own business; --only paths asks it"}
    url = None
    try:
        url = workplace.database_url(config)
    except errors.DatabaseError as error:
        # Changes of tables are proven on a copy of the bot's database; without one there is nothing to prove them on.
        if migrations.NAME in names and any(file.path.startswith(migrations.FOLDER) for file in changed):
            if is_chosen:
                raise
            not_asked[migrations.NAME] = f"a schema changed, and is tried on the bot's database: {error}"
            names = tuple(name for name in names if name != migrations.NAME)

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
            allowed_more=await imports.owners_lists(repository, base),
        )
        verdicts = await checks.verify(subject, names=names, tell=tell)
    if verdicts and not verdicts[-1].passed and verdicts[-1].check in checks.GUARDS:
        asked = {verdict.check for verdict in verdicts}
        not_asked |= {name: f"{verdicts[-1].check} comes first" for name in names if name not in asked}
    for name in (name for name in checks.ORDER if name in not_asked):
        typer.echo(f"➖ {name:<10} not run: {not_asked[name]}")
    return verdicts
