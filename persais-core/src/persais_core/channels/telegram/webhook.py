"""Tells Telegram where our webhook is, and again until it takes that."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from telegram import error as telegram_errors
from telegram.ext import ExtBot

from persais_core import errors
from persais_core.channels.telegram.poll import ALLOWED_UPDATES, pause_after

log = structlog.get_logger(__name__)


async def keep(bot: ExtBot[Any], url: str, secret: str) -> None:
    """Have Telegram post updates to an address, until cancelled.

    What is in the queue is worked on all the same while Telegram is away, or refuses the address: it holds the updates
    for a day.
    """
    failures, told = 0, ""
    while True:
        try:
            await register(bot, url, secret)
            break
        except errors.ChannelError as error:
            failures += 1
            if str(error) != told:
                log.error("no updates come in, and the webhook is registered again", cause=str(error))
            told = str(error)
            await asyncio.sleep(pause_after(failures))
    if failures:
        log.warning("the webhook is registered", failures=failures)
    await asyncio.Event().wait()


async def register(bot: ExtBot[Any], url: str, secret: str) -> None:
    """Ask Telegram to post updates to an address.

    Args:
        url: public https address of the webhook.
        secret: sent along in a header with each of them.

    Raises:
        ChannelError: Telegram refuses the address, or is away.
    """
    try:
        await bot.set_webhook(url, secret_token=secret, allowed_updates=ALLOWED_UPDATES)
    except telegram_errors.TelegramError as error:
        raise errors.ChannelError(f"Telegram refuses the webhook {url}: {error.message}; check APP_BASE_URL") from error
