"""`persais doctor`: look at everything a bot needs and say what to do about what is wrong."""

from __future__ import annotations

import asyncio
import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core import errors

if TYPE_CHECKING:
    from persais_core.cli.examinations import Examination, Finding, Patient

app = typer.Typer(add_completion=False)

MARKS = {"well": "✅", "look": "⚠️ ", "ill": "❌"}
WITHIN = 60.0  # seconds for one examination


@app.command()
def doctor(
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make aider's environment if it is missing or broken.")
    ] = False,
) -> None:
    """Look at everything the bot needs, and say what to do; exit code 1 when something does not work."""
    from persais_core import settings
    from persais_core.cli.examinations import Patient, ill
    from persais_core.security.redact import Redactor
    from persais_core.templates import engine

    secrets: tuple[str, ...] = ()
    what = "Project"
    try:
        project = (root or engine.project_root(Path.cwd())).resolve()
        what = "Settings"
        config = settings.load(project)
        secrets = config.secrets
        if repair:
            what = "Coder"
            asyncio.run(_repair(config.coder_venv))
        findings = asyncio.run(_all(Patient(project, config)))
    except errors.PersaisError as error:
        # Without a project, usable settings or the repair that was asked for there is nothing else to look at.
        findings = [ill(what, str(error), "then run persais doctor again")]
    clean = Redactor(secrets).text
    if as_json:
        typer.echo(clean(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2)))
    else:
        for finding in findings:
            typer.echo(clean(f"{MARKS[finding.verdict]} {finding.what}: {finding.says}"))
            if finding.do:
                typer.echo(clean(f"      {finding.do}"))
    if any(finding.verdict == "ill" for finding in findings):
        raise typer.Exit(1)


async def _all(patient: Patient) -> list[Finding]:
    """All examinations side by side, told in their order."""
    from persais_core.cli.examinations import CATALOGUE

    found = await asyncio.gather(*(_one(name, place, patient) for name, place in CATALOGUE.items()))
    return [finding for findings in found for finding in findings]


async def _one(name: str, place: str, patient: Patient) -> list[Finding]:
    from persais_core.cli.examinations import ill

    module, _, function = place.partition(":")
    examine: Examination = getattr(importlib.import_module(module), function)
    try:
        async with asyncio.timeout(WITHIN):
            return await examine(patient)
    except TimeoutError:
        return [ill(name.capitalize(), f"no answer within {WITHIN:g} s", "try again; see that nothing holds it up")]
    except errors.PersaisError as error:
        return [ill(name.capitalize(), "could not be examined", str(error))]
    except Exception as error:  # whatever one setting breaks, the other examinations are what the reader came for
        advice = "see that its settings are written exactly as their service gives them"
        return [ill(name.capitalize(), f"could not be examined ({type(error).__name__})", advice)]


async def _repair(venv: Path) -> None:
    from persais_core.coders.aider import AiderCoder

    await AiderCoder(venv=venv).prepare(lambda line: typer.echo(f"Coder: {line}", err=True))
