"""`persais evolve "…"`: the same loop as in the chat, watched from the terminal.

The request becomes a change of the bot that runs here, on behalf of its owner, whose chat shows it too; each request
is a change of its own, and what is to correct one is said in the chat. This command only follows the stored change, and
taps its buttons when asked: closing the terminal stops nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from persais_core.domain.chats import Language

if TYPE_CHECKING:
    from persais_core.db.engine import Database
    from persais_core.domain.changes import Change
    from persais_core.domain.chats import User
    from persais_core.mechanic.ledger import Ledger

app = typer.Typer(add_completion=False)

LOOK_EVERY = 0.2  # seconds
MAX_REQUEST_SHOWN = 100  # characters of another change's request


@app.command()
def evolve(
    request: Annotated[str, typer.Argument(help="What the bot should learn to do, in words.")],
    deploy: Annotated[bool, typer.Option("--deploy", help="Deploy without asking when all checks pass.")] = False,
    language: Annotated[
        Language | None, typer.Option(help="Language of the answers; by default the terminal's.")
    ] = None,
) -> None:
    """Ask the Mechanic for a change and watch it work."""
    from persais_core import errors, settings
    from persais_core.mechanic.agent import MAX_REQUEST

    if not request.strip():
        raise errors.ChangeError("say in words what the bot should learn to do")
    if len(request) > MAX_REQUEST:
        raise errors.ChangeError(f"the request has {len(request)} characters, and at most {MAX_REQUEST} are read")
    spoken = language or settings.terminal_language() or "en"
    try:
        ended_well = asyncio.run(_evolve(request.strip(), deploy=deploy, language=spoken))
    except KeyboardInterrupt:
        typer.echo("\nThe change goes on in the bot; /status there shows it.")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if ended_well else 1)


async def _evolve(request: str, *, deploy: bool, language: Language) -> bool:
    """Open the change, follow it to its end, and say whether it was deployed, or was a question and got its answer."""
    from persais_core.cli import workplace
    from persais_core.domain.chats import Lane

    async with workplace.database() as database:
        user = await workplace.owner(database, language)
        await _require_chat(user)
        ledger = workplace.ledger(database)
        for line in also_open([change for change in await ledger.open_changes() if change.user_id == user.id]):
            typer.echo(line)
        change = await ledger.open(lane=Lane(chat_id=user.id), user=user, request=request, turn_id=None)
        return await _follow(database, ledger, change, user, deploy=deploy)


def also_open(changes: Sequence[Change]) -> list[str]:
    """What is said of changes that are not over when another one is asked for, a line each and one of advice."""
    from persais_core import texts
    from persais_core.mechanic import approvals

    if not changes:
        return []
    lines = []
    for change in changes:
        request = " ".join(change.request.split())
        short = request if len(request) <= MAX_REQUEST_SHOWN else f"{request[:MAX_REQUEST_SHOWN]}…"
        waits = change.is_asking or approvals.waits_in(change.state)
        lines.append(texts.printable(f"Open: change {change.id}, {'waits for you' if waits else 'at work'}: {short}"))
    return [*lines, "This becomes a change of its own; to correct one of those, say so in the chat."]


async def _require_chat(user: User) -> None:
    """See that the bot may write to its owner: what is shown of the change goes into that chat too.

    Raises:
        ChangeError: the owner has never written to the bot; nothing was begun.
    """
    from telegram.error import BadRequest, Forbidden, TelegramError

    from persais_core import errors, settings
    from persais_core.channels.telegram.send import TelegramChannel

    config = settings.load()
    try:
        if config.telegram_bot_token is not None:
            channel = TelegramChannel(config.telegram_bot_token.get_secret_value(), config.telegram_api_url)
        else:
            desk = json.loads((config.persais_home / "desk.json").read_text("utf-8"))
            channel = TelegramChannel(desk["token"], desk["url"])
    except (OSError, ValueError, KeyError):
        return  # the bot that runs here is another process's; whether it may write shows when it does
    try:
        await channel.open()
        await channel.bot.get_chat(user.id)
    except (BadRequest, Forbidden) as error:
        raise errors.ChangeError(
            "the bot may not write to its owner yet, and the change is shown in that chat: send the bot /start first "
            "(in Telegram, or on the chat page that `persais dev` prints), then ask again"
        ) from error
    except (TelegramError, errors.ChannelError):
        return  # away for the moment; the outbox tries again
    finally:
        await channel.close()


async def _follow(database: Database, ledger: Ledger, change: Change, user: User, *, deploy: bool) -> bool:
    from persais_core.channels.telegram import render
    from persais_core.domain.changes import ChangeState
    from persais_core.mechanic import cards

    printed: set[str] = set()
    tapped = False
    while True:
        replies = [cards.progress(change), *([cards.card(change)] if change.commit else [])]
        for line in "\n".join(text for reply in replies for text, _ in render.pieces(reply)).splitlines():
            if line.strip() and line not in printed:
                printed.add(line)
                typer.echo(f"  {line}")
        if change.is_asking:
            typer.echo("  Answer in the chat, or ask again with the answer in your request.")
            return False
        if change.state is ChangeState.FAILED:
            return False
        if change.state.is_over:
            return change.state in {ChangeState.DEPLOYED, ChangeState.ANSWERED}
        if change.state is ChangeState.AWAITING_APPROVAL and not tapped:
            tapped = True
            if not await _decide(database, ledger, change, user, deploy=deploy):
                return False
        await asyncio.sleep(LOOK_EVERY)
        change = await ledger.get(change.id)


async def _decide(database: Database, ledger: Ledger, change: Change, user: User, *, deploy: bool) -> bool:
    """Tap [Deploy] or [Abort], as the person at the terminal wants; returns False where nobody answers."""
    from persais_core.domain.chats import Lane
    from persais_core.mechanic import approvals

    typer.echo(f"  {change.pull_request_url}")
    try:
        yes = deploy or await asyncio.to_thread(typer.confirm, "Deploy?", default=True)
    except typer.Abort:
        typer.echo(f"\n  Nobody answered, so nothing is decided: change {change.id} waits, with its card in the chat.")
        return False
    data = change.buttons["deploy" if yes else "abort"]
    answer = await approvals.redeem(database, ledger, user=user, lane=Lane(chat_id=user.id), data=data)
    typer.echo(f"  {answer.note}")
    return True
