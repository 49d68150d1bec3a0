"""Tells Telegram where our webhook is."""

from __future__ import annotations

from typing import Any

from telegram import error as telegram_errors
from telegram.ext import ExtBot

from persais_core import errors
from persais_core.channels.telegram.poll import ALLOWED_UPDATES


async def register(bot: ExtBot[Any], url: str, secret: str) -> None:
    """Ask Telegram to post updates to an address.

    Args:
        url: public https address of the webhook.
        secret: sent along in a header with each of them.

    Raises:
        ChannelError: Telegram refuses the address.
    """
    try:
        await bot.set_webhook(url, secret_token=secret, allowed_updates=ALLOWED_UPDATES)
    except telegram_errors.TelegramError as error:
        raise errors.ChannelError(f"Telegram refuses the webhook {url}: {error.message}; check APP_BASE_URL") from error
