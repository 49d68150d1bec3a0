"""`persais sandbox`: run a program exactly as the tests of a candidate are run.

No network, no secrets, no file of yours, and nowhere to write but in one folder. What the program prints is passed on,
and its exit code is ours. Codes that it cannot have meant itself are those of `timeout` and `env`: 124 when it was
stopped at a limit, 125 when it was not run at all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from persais_core.security.sandbox import Outcome

app = typer.Typer(add_completion=False)

STOPPED, NOT_RUN = 124, 125
NOT_FOUND = 127


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def sandbox(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.", metavar="COMMAND…")],
    work: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The one folder it may write to, and begins in. It is this folder itself, not a copy of it: what the "
            "program changes there stays changed.",
        ),
    ],
) -> None:
    """Run COMMAND as the tests of a change are run: no network, no secrets, one folder.

    Exit code: that of the program; 124 when it was stopped at a limit, 125 when it was not run.
    """
    from persais_core import errors

    try:
        folder = _folder(work)
        outcome = asyncio.run(_run(folder, tuple(command)))
    except errors.PersaisError as error:
        _fail(str(error))
    except Exception as error:  # a wall that fails with a traceback might be taken for one that let the program through
        _fail(f"the sandbox itself failed ({type(error).__name__}: {error})")
    for stream, text in ((sys.stdout, outcome.stdout), (sys.stderr, outcome.stderr)):
        stream.flush()
        stream.buffer.write(text.encode("utf-8", "replace"))
        stream.flush()
    if outcome.stopped:
        typer.echo(f"persais: it was stopped because {outcome.stopped}", err=True)
        raise typer.Exit(STOPPED)
    if outcome.exit_code == NOT_FOUND and outcome.stderr == f"{command[0]}: not found":
        typer.echo("; give its path, or install it for everybody", err=True)
    code = outcome.exit_code
    raise typer.Exit(code if code >= 0 else 128 - code)


def _fail(reason: str) -> None:
    typer.echo(f"persais: nothing was run: {reason}", err=True)
    raise typer.Exit(NOT_RUN)


def _folder(work: Path) -> Path:
    """The folder, when a program may be let loose on it.

    Raises:
        SandboxError: it is missing or none, or holds what must not be handed to anybody.
    """
    from persais_core import errors

    if work.is_symlink():
        raise errors.SandboxError(f"{work} is a symbolic link; name the folder itself")
    if not work.is_dir():
        raise errors.SandboxError(f"{work} is no folder; make one for this: mkdir {work}")
    folder = work.resolve()
    home = Path.home().resolve()
    if folder == Path("/") or folder in home.parents or folder == home:
        raise errors.SandboxError(f"{folder} holds more than this program may touch; make a folder for it alone")
    if len(folder.parts) == 2 and folder != Path("/tmp"):
        raise errors.SandboxError(f"{folder} belongs to the system; make a folder for the program alone")
    if folder == Path("/tmp"):
        raise errors.SandboxError("/tmp is everybody's; make a folder in it")
    for around in (folder, *folder.parents):
        if folder != around and around.name == ".git":
            raise errors.SandboxError(f"{folder} lies in a .git; programs of git would run what is written there")
    if (folder / ".git").exists() or (folder / ".git").is_symlink():
        raise errors.SandboxError(
            f"{folder} has a .git, by which it could run programs outside; name a copy without it"
        )
    return folder


async def _run(folder: Path, argv: tuple[str, ...]) -> Outcome:
    """Run it with the limits of the tests, or raise SandboxError."""
    from persais_core import processes, settings
    from persais_core.checks import tests
    from persais_core.security.sandbox import Profile, Sandbox

    config = settings.load()
    box = Sandbox(secrets_present=config.holds_secrets, allow_unsandboxed=config.allow_unsandboxed)
    command = processes.Command(
        argv=argv,
        cwd=folder,
        env=tests.ENVIRONMENT,
        timeout_seconds=tests.SECONDS,
    )
    isolation = await box.probe()
    if isolation.state == "limits_only":
        typer.echo(f"persais: no walls, only limits on time and memory ({isolation.reason})", err=True)
    before = folder.stat()
    made = [folder / name for name in (".home", ".tmp") if not (folder / name).exists()]
    try:
        return await box.run(command, folder=folder, profile=Profile.CHECK, limits=tests.LIMITS)
    finally:
        for leftover in made:
            shutil.rmtree(leftover, ignore_errors=True)
        await asyncio.to_thread(_take_back, folder, before.st_uid, before.st_gid)


def _take_back(folder: Path, uid: int, gid: int) -> None:
    """Make what lies in the folder the caller's again: for the run it belonged to the sandbox's own user."""
    if os.geteuid() != 0 or folder.stat().st_uid == uid:
        return
    os.chown(folder, uid, gid, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, uid, gid, follow_symlinks=False)
