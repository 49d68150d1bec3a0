"""`persais dev`: a whole bot on this computer, stopped with ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from persais_core.supervisor import Desk

app = typer.Typer(add_completion=False)

STARTED = time.monotonic()


@app.command()
def dev(
    project: Annotated[Path, typer.Argument(help="The bot project; where you are by default.")] = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 inside a container.")] = "127.0.0.1",
) -> None:
    """Run a bot on this computer: database, chat page and all."""
    from persais_core import errors, settings, sockets, supervisor
    from persais_core.cli import ports, workplace

    folder = project.resolve()
    config = settings.load(folder)
    for stranger in settings.strangers(folder):
        typer.echo(f"Settings: {stranger}")
    path = workplace.prepare(config, folder)

    def ready(desk: Desk, port: int) -> None:
        seconds = time.monotonic() - STARTED
        typer.echo(f"Ready after {seconds:.1f} s. Health: http://127.0.0.1:{port}/health. Stop with ctrl-C.")
        if config.telegram_bot_token is None:
            chat = workplace.chat_command(config)
            typer.echo(
                f"\n  Open {desk.url}/?key={desk.key}\n  or type `{chat}` in another terminal, in this folder.\n"
            )

    async def run() -> None:
        fetching = asyncio.create_task(_fetch_coder(config.coder_venv))
        try:
            await supervisor.Supervisor(
                config,
                folder=folder,
                project=path,
                make_desk=workplace.desk,
                tell=typer.echo,
                host=host,
            ).run(ready=ready)
        finally:
            fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await fetching

    try:
        asyncio.run(run())
    except sockets.TakenError as error:
        taken = ports.taken(error.port, config, folder)
        raise errors.SettingsError(f"{taken.says}; {taken.do}") from error
    typer.echo("Stopped. What is still to be done is done after the next start.")


async def _fetch_coder(venv: Path) -> None:
    """Make aider's environment while the chat is already up; a failure is told and tried again at first use."""
    from persais_core import errors
    from persais_core.coders.aider import AiderCoder

    await asyncio.sleep(1)  # the database and the bot come first
    try:
        await AiderCoder(venv=venv).prepare(lambda line: typer.echo(f"Coder: {line}"))
    except errors.CoderError as error:
        typer.echo(f"Coder: not ready: {error}")
