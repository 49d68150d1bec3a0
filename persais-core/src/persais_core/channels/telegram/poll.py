"""Long polling that confirms nothing before it is stored.

python-telegram-bot's own updater moves the offset as soon as the updates are in memory, so a kill loses them. Here an
update is accepted (stored and committed) first; the next request's offset confirms it. What comes twice all the same
is recognised where it is stored.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from telegram import error as telegram_errors
from telegram.ext import ExtBot

from persais_core import errors

# The library's own method gives objects, which drop whatever it does not know yet; we keep updates as they came.
warnings.filterwarnings("ignore", message="Please use 'Bot.getUpdates'")

log = structlog.get_logger(__name__)

ALLOWED_UPDATES = ["message", "callback_query", "edited_message", "my_chat_member"]
LONG_POLL = 20  # seconds Telegram holds an empty request open
LONGEST_PAUSE = 15.0  # seconds between tries while Telegram is away


async def poll(bot: ExtBot[Any], accept: Callable[[Any], Awaitable[None]]) -> None:
    """Fetch updates until cancelled.

    Args:
        bot: whose updates.
        accept: stores one raw update; an exception keeps it unconfirmed, so that it comes again.
    """
    await _leave_webhook(bot)
    offset, failures, told = 0, 0, ""
    while True:
        try:
            updates = await bot.do_api_request(
                "getUpdates",
                api_kwargs={"offset": offset, "timeout": LONG_POLL, "allowed_updates": ALLOWED_UPDATES},
                read_timeout=LONG_POLL + 10,
            )
            # That there is nothing new tells that all before is confirmed. Numbers begin anew at random after a quiet
            # week; an offset that is kept would confirm them before they were seen.
            if not updates:
                offset = 0
            before = offset
            for update in updates if isinstance(updates, list) else []:
                await accept(update)
                number = update.get("update_id") if isinstance(update, dict) else None
                offset = number + 1 if isinstance(number, int) and number >= 0 else offset
            if updates and offset == before:
                raise errors.ChannelError("there are updates, and none of them has a number that can be confirmed")
            if failures:
                log.warning("polling goes on", failures=failures)
            failures, told = 0, ""
        except asyncio.CancelledError:
            await _confirm(bot, offset)
            raise
        except Exception as error:  # the reason may be Telegram, the network or our database: all come back
            failures += 1
            cause = f"{type(error).__name__}: {error}"
            if cause != told:  # an outage may last for days
                log.warning("polling failed, and is tried again", error=str(error), error_type=type(error).__name__)
            told = cause
            await asyncio.sleep(pause_after(failures))


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row, be they days of them."""
    return min(LONGEST_PAUSE, 0.3 * 2.0 ** min(failures, 10))


async def _confirm(bot: ExtBot[Any], offset: int) -> None:
    """Tell Telegram what we have, so that the next poller does not get it again (it would be recognised anyway)."""
    if offset:
        try:
            await asyncio.wait_for(
                bot.do_api_request("getUpdates", api_kwargs={"offset": offset, "timeout": 0, "limit": 1}), 2
            )
        except (TimeoutError, telegram_errors.TelegramError):
            log.info("the last updates could not be confirmed; they will be recognised when they come again")


async def _leave_webhook(bot: ExtBot[Any]) -> None:
    try:
        await bot.delete_webhook()
    except telegram_errors.TelegramError as error:
        log.warning("the webhook could not be removed", error=error.message)
