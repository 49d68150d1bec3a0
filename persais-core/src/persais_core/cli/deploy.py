"""`persais deploy`: the first deploy to Fly.io, step by step; later ones happen by themselves on each push to main.

It runs Fly's own program and prints each command before it does. Secrets go to it over standard input: arguments can be
read by everybody on the machine.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from persais_core import errors, processes

app = typer.Typer(add_completion=False)

LEFT_HERE = frozenset({"PORT", "PERSAIS_HOME", "AIDER_VENV", "APP_BASE_URL", "FLY_APP_NAME", "ALLOW_UNSANDBOXED"})
"""Settings of this computer, or that fly.toml sets."""
NEEDED = ("DATABASE_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET", "GIT_REMOTE_URL", "GITHUB_TOKEN")
BUILD_TIMEOUT = 1800.0  # seconds
HEALTHY_WITHIN = 180.0  # seconds after the deploy


@dataclass(frozen=True)
class Step:
    """One command of Fly's program.

    Args:
        why: what it is for, in a few words.
        stdin: what it reads; never shown.
    """

    why: str
    arguments: tuple[str, ...]
    stdin: bytes = b""


@app.command()
def deploy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print each command, run none.")] = False,
    root: Annotated[Path | None, typer.Option(help="The project; by default the one you are in.")] = None,
    flyctl: Annotated[str, typer.Option(help="Fly's program.")] = "flyctl",
) -> None:
    """Walk through the first deploy to Fly.io."""
    from persais_core.templates import engine

    project = (root.resolve() if root else engine.project_root(Path.cwd())).resolve()
    name, address = _app(project)
    secrets, missing = _secrets(project)
    if missing and not dry_run:
        raise errors.SettingsError(_lacking(project, missing))
    commit = _commit(project)
    program = shutil.which(flyctl)
    if program is None and not dry_run:
        raise errors.SettingsError(f"{flyctl} is not installed; see fly.io/docs/flyctl/install, or try --dry-run first")
    create = Step("make the app", ("apps", "create", name))
    rest = [
        Step(
            f"give it {len(secrets)} secrets: {', '.join(sorted(secrets)) or 'there are none yet'}",
            ("secrets", "import", "--stage", "--app", name),
            "".join(f"{key}={_quoted(value)}\n" for key, value in secrets.items()).encode(),
        ),
        Step("build and start it", ("deploy", "--remote-only", "--app", name, "--build-arg", f"COMMIT={commit}")),
    ]
    if dry_run:
        for step in (create, *rest):
            _show(flyctl, step)
            if missing and step.arguments[0] == "secrets":
                typer.echo(f"! {len(missing)} more are needed and missing: {', '.join(missing)}")
        typer.echo(f"# then wait until {address}/health answers with {commit[:12]}")
        if missing:
            raise errors.SettingsError(_lacking(project, missing))
        return
    assert program is not None
    asyncio.run(_walk(program, project, name, create, rest))
    typer.echo(f"Waiting for {address}/health ...")
    asyncio.run(_healthy(address, commit))
    typer.echo(
        f"{name} answers at {address}.\nLet GitHub deploy from now on:\n"
        f"  {flyctl} tokens create deploy --app {name}\n  gh secret set FLY_API_TOKEN"
    )


async def _walk(program: str, project: Path, name: str, create: Step, rest: list[Step]) -> None:
    """Run the steps; the app is made only where there is none.

    Raises:
        DeployError: a step failed; those before it have been done, and doing them again is harmless.
    """
    who = await _run(program, project, Step("", ("auth", "whoami")))
    if not who:
        raise errors.DeployError(f"you are not logged in at Fly.io; run: {program} auth login")
    listed = await _run(program, project, Step("", ("apps", "list", "--json")))
    try:
        mine = {str(found.get("Name") or found.get("name")) for found in json.loads(listed.stdout or "[]")}
    except (ValueError, AttributeError) as error:
        raise errors.DeployError("flyctl lists your apps in a form that is not understood; update it") from error
    steps = rest if name in mine else [create, *rest]
    for step in steps:
        _show(program, step)
        done = await _run(program, project, step)
        if not done:
            cause = (done.stderr or done.stdout).strip().splitlines()
            hint = ""
            if step is create and any("taken" in line.lower() for line in cause):
                hint = "; choose another name for app and APP_BASE_URL in fly.toml"
            raise errors.DeployError(f"could not {step.why}: {cause[-1] if cause else 'no reason given'}{hint}")


async def _run(program: str, project: Path, step: Step) -> processes.Outcome:
    from persais_core import settings

    command = processes.Command(
        (program, *step.arguments),
        cwd=project,
        env=settings.child_environment(),
        stdin=step.stdin,
        timeout_seconds=BUILD_TIMEOUT,
    )
    return await processes.run(command)


async def _healthy(address: str, commit: str) -> None:
    """Wait until a commit answers.

    Raises:
        DeployError: it does not; says what does.
    """
    import httpx

    until, said = time.monotonic() + HEALTHY_WITHIN, "nothing"
    async with httpx.AsyncClient(timeout=10) as client:
        while time.monotonic() < until:
            try:
                answer = await client.get(f"{address}/health")
                found: dict[str, Any] = answer.json()
                if answer.status_code == 200 and found.get("commit") == commit:
                    return
                said = f"{found.get('status')} by {str(found.get('commit'))[:12]}: {found.get('checks')}"
            except (httpx.HTTPError, ValueError) as error:
                said = type(error).__name__
            await asyncio.sleep(2)
    raise errors.DeployError(f"{address}/health does not answer well ({said}); see why: flyctl logs")


def _app(project: Path) -> tuple[str, str]:
    """Name and address of the app, from fly.toml.

    Raises:
        ProjectError: there is no usable one.
    """
    try:
        found = tomllib.loads((project / "fly.toml").read_text("utf-8"))
        name = str(found["app"])
        return name, str(found.get("env", {}).get("APP_BASE_URL") or f"https://{name}.fly.dev").rstrip("/")
    except FileNotFoundError as error:
        raise errors.ProjectError(f"{project} has no fly.toml; `persais upgrade` brings one") from error
    except (tomllib.TOMLDecodeError, KeyError, UnicodeDecodeError) as error:
        raise errors.ProjectError(
            "fly.toml cannot be read, or names no app; mend it, or bring it back from git"
        ) from error


def _secrets(project: Path) -> tuple[dict[str, str], list[str]]:
    """What the app has to be told, from the project's .env, and the names of what a public bot needs besides."""
    import dotenv

    written = dotenv.dotenv_values(project / ".env")
    secrets = {name: value for name, value in written.items() if value and name not in LEFT_HERE}
    missing = [name for name in NEEDED if name not in secrets]
    if not {"OPENROUTER_API_KEY", "LLM_BASE_URL"} & set(secrets):
        missing.append("OPENROUTER_API_KEY")
    return secrets, missing


def _lacking(project: Path, missing: list[str]) -> str:
    return (
        f"{project / '.env'} lacks {', '.join(missing)}; a bot at Fly.io has no stand-ins to fall back on, and "
        "Telegram calls it over a webhook (docs: Run it on Fly.io)"
    )


def _commit(project: Path) -> str:
    """What is deployed, which is what is checked out and committed.

    Raises:
        ProjectError: there is no repository, or changes are not committed.
    """
    import pygit2

    try:
        repo = pygit2.Repository(str(project / ".git"))
        commit = str(repo.head.target)
    except pygit2.GitError as error:
        raise errors.ProjectError(f"{project} is no git repository with a commit; commit your project first") from error
    if any(flags != pygit2.enums.FileStatus.IGNORED for flags in repo.status().values()):
        raise errors.ProjectError(
            "there are changes that are not committed; commit them, so that /health tells the truth"
        )
    return commit


def _quoted(value: str) -> str:
    """A value as `secrets import` reads it."""
    return json.dumps(value) if any(sign in value for sign in " \t#\"'\\\n") else value


def _show(program: str, step: Step) -> None:
    shown = shlex.join((Path(program).name, *step.arguments)) + (
        " < (the secrets)" if step.arguments[0] == "secrets" else ""
    )
    typer.echo(f"# {step.why}\n$ {shown}")
