"""`persais code "…"`: one round of the coder on files of your project, as a change has it; the rest is yours.

The coder works in a draft made from your last commit, in its cage and within the cost caps. What it edited is copied
into the project, uncommitted, for you to read; a file that differs from the last commit is not touched. Nothing is
checked, committed or deployed: `persais check` is the next step.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core import texts

if TYPE_CHECKING:
    from persais_core.coders.base import Coder
    from persais_core.db.engine import Database
    from persais_core.mechanic.tools.coding import CoderResult
    from persais_core.mechanic.workshop import Workshop
    from persais_core.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def code(
    task: Annotated[str, typer.Argument(help="What is to be done, in words.")],
    edit: Annotated[list[str], typer.Option(help="A file that may be written; may be given several times.")],
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
) -> None:
    """Let the coder work once on files of your project."""
    from persais_core.cli import migrate, workplace

    with migrate.project_database(root) as (project, url):
        result = asyncio.run(_code(project, url, task, tuple(edit)))
    for path in result.edited:
        typer.echo(f"edited {path}")
    for path in result.denied:
        typer.echo(f"refused {path}")
    typer.echo(f"{_became(result)} It cost ${result.cost:.4f}.")
    if result.status != "edited":
        raise typer.Exit(1)
    typer.echo(f"\nNext: read it, then: {workplace.program()} check")


def _became(result: CoderResult) -> str:
    """What became of the task, as a sentence; the coder's own words where it changed nothing and said why."""
    if result.status == "edited":
        count = len(result.edited)
        return f"The coder changed {count} file{'' if count == 1 else 's'}."
    if result.status == "denied":
        return "The coder wanted to write files that you did not name with --edit, so nothing of it was kept."
    said = texts.printable(" ".join(result.reply.split()))
    if result.status == "no_edits" and said:
        return f"The model changed no file, and said: {said}"
    detail = " ".join(result.detail.split()) or "the coder did not finish."
    return detail if detail.endswith((".", "!", "?")) else f"{detail}."


async def _code(project: Path, url: str, task: str, edit: tuple[str, ...]) -> CoderResult:
    """Let the coder work in a draft, and copy what it edited into the project.

    Raises:
        ChangeError: a file may not be written, is not committed, or differs from the last commit.
        ModelUnavailableError: there is no model to ask.
    """
    from pydantic import ValidationError

    from persais_core import errors
    from persais_core.db import core_migrations
    from persais_core.db.engine import Database
    from persais_core.domain.changes import Change
    from persais_core.mechanic.tools import coding, refusals
    from persais_core.mechanic.tools.draft import Draft

    await asyncio.to_thread(core_migrations.prepare, url)
    database = Database(url)
    await database.open()
    coder: Coder | None = None
    try:
        shop = await _workshop(project, database)
        coder = shop.coder
        base = await shop.repository.head()
        # A number that no change has: what it costs is booked to it, and the cap for one change is for this run.
        change = Change(id=-int(time.time()), chat_id=0, user_id=await _user(database), language="en", request=task)
        draft = Draft(shop, change, base)
        try:
            asked = coding.CoderArguments(task=task, edit=edit)
            await draft.more(edit=asked.edit)
            differing = {file.path for file in await shop.repository.changed(base, project)} & set(draft.files)
            if differing:
                raise errors.ChangeError(f"{min(differing)} differs from the last commit; commit or put it back first")
            result = await coding.run_coder_task(shop, draft, asked)
            made = shop.worktree(draft.change.branch or "")
            for path in result.edited:
                (project / path).parent.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(shutil.copyfile, made / path, project / path, follow_symlinks=False)
        finally:
            await draft.close()
    except ValidationError as error:
        raise errors.ChangeError(refusals.why(error)) from None
    finally:
        if coder is not None:
            await coder.close()
        await database.close()
    return result


async def _user(database: Database) -> int:
    from persais_core.cli import workplace

    return (await workplace.owner(database, "en")).id


async def _workshop(project: Path, database: Database) -> Workshop:
    """The parts of a change, for a project that no bot need be running for."""
    from persais_core.agents.config import AgentConfigs
    from persais_core.agents.registry import Registry
    from persais_core.coders.aider import AiderCoder
    from persais_core.deployers.local import LocalDeployer
    from persais_core.forges.local import LocalForge
    from persais_core.git.bare import BareRepository
    from persais_core.git.repository import Repository
    from persais_core.llm.models import Models
    from persais_core.mechanic.ledger import Ledger
    from persais_core.mechanic.workshop import Workshop
    from persais_core.security.redact import Redactor
    from persais_core.security.sandbox import Sandbox

    config = _with_model(project)
    box = Sandbox(secrets_present=config.holds_secrets, allow_unsandboxed=config.allow_unsandboxed)
    models, redactor = Models(config, database), Redactor(config.secrets)
    return Workshop(
        settings=config,
        database=database,
        ledger=Ledger(database, redactor),
        models=models,
        repository=Repository(project),
        coder=AiderCoder(venv=config.coder_venv, box=box),
        sandbox=box,
        forge=LocalForge(database, BareRepository(project), config.pages_url),
        deployer=LocalDeployer(),
        redactor=redactor,
        configs=AgentConfigs(database, models, Registry([])),
    )


def _with_model(project: Path) -> Settings:
    """The project's settings; the offline model of a bot that runs here, where no other model is named.

    Raises:
        ModelUnavailableError: there is no model at all.
    """
    from persais_core import errors, settings
    from persais_core.cli import migrate

    with migrate.inside(project):
        config = settings.load()
        if config.model_url is not None:
            return config
        try:
            desk = json.loads((config.persais_home / "desk.json").read_text("utf-8"))
            url, key = desk["url"], desk["model_key"]
        except (OSError, ValueError, KeyError):
            raise errors.ModelUnavailableError(
                "no model is named; set OPENROUTER_API_KEY or LLM_BASE_URL, or start `persais dev` for the offline one"
            ) from None
        return settings.load(llm_base_url=f"{url}/v1", llm_api_key=key, default_model="offline", coder_model="offline")
