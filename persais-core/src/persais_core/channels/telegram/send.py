"""Sends to Telegram and translates its refusals into ours."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
from telegram import (
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LinkPreviewOptions,
    MessageEntity,
)
from telegram import error as telegram_errors
from telegram.ext import AIORateLimiter, ExtBot

from persais_core import errors
from persais_core.channels.base import BlockedError, FloodError, RejectedError
from persais_core.channels.telegram import render
from persais_core.domain.chats import File, Lane, Language, Reply

# It is about the type of `RetryAfter.retry_after`, which is read here in both its forms.
warnings.filterwarnings("ignore", message=".*attribute `retry_after`")

log = structlog.get_logger(__name__)
T = TypeVar("T")


class TelegramChannel:
    """Implements `channels.base.Channel` on python-telegram-bot.

    Args:
        token: of the bot.
        api_url: base of the Bot API, such as https://api.telegram.org.
    """

    def __init__(self, token: str, api_url: str) -> None:
        # Its own retries would hold up every chat while one must wait; the outbox waits for that chat alone.
        self.bot: ExtBot[Any] = ExtBot(
            token,
            base_url=f"{api_url}/bot",
            base_file_url=f"{api_url}/file/bot",
            rate_limiter=AIORateLimiter(max_retries=0),
        )

    async def open(self) -> int:
        """Connect and return the bot's id.

        Raises:
            SettingsError: Telegram does not know the token.
            ChannelError: Telegram cannot be reached.
        """
        try:
            await self.bot.initialize()
        except telegram_errors.InvalidToken as error:
            raise errors.SettingsError("TELEGRAM_BOT_TOKEN is not accepted; get a new one from @BotFather") from error
        except telegram_errors.TelegramError as error:
            raise errors.ChannelError(f"Telegram cannot be reached: {error.message}") from error
        return self.bot.id

    async def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(telegram_errors.TelegramError, RuntimeError):
            await self.bot.shutdown()

    async def send(self, lane: Lane, reply: Reply) -> list[int]:
        """Send a reply as one or more messages; the buttons go under the last."""
        if reply.file is not None:
            return [await self._send_file(lane, reply, reply.file)]
        parts = render.pieces(reply)
        sent = []
        for number, piece in enumerate(parts, 1):
            try:
                sent.append(await self._send(lane, piece, reply if number == len(parts) else None))
            except FloodError as error:
                error.sent = sent
                raise
        return sent

    async def edit(self, lane: Lane, message_ids: Sequence[int], reply: Reply) -> list[int]:
        """Edit the messages of an earlier reply; more pieces than before are sent after them, fewer are emptied."""
        parts = render.pieces(reply)
        kept: list[int] = []
        for number, piece in enumerate(parts, 1):
            keyboard = reply if number == len(parts) else None
            if number > len(message_ids):
                try:
                    kept.append(await self._send(lane, piece, keyboard))
                except FloodError as error:
                    error.sent = kept
                    raise
            else:
                await self._edit(lane, message_ids[number - 1], piece, keyboard)
                kept.append(message_ids[number - 1])
        for extra in message_ids[len(parts) :]:
            with contextlib.suppress(RejectedError):
                await _translated(lambda extra=extra: self.bot.delete_message(lane.chat_id, extra))  # type: ignore[misc]
        return kept

    async def typing(self, lane: Lane) -> None:
        """Show that an answer is being written."""
        with contextlib.suppress(telegram_errors.TelegramError):
            await self.bot.send_chat_action(lane.chat_id, "typing", message_thread_id=lane.topic_id or None)

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        """End the waiting of a tapped button."""
        with contextlib.suppress(telegram_errors.TelegramError):
            await self.bot.answer_callback_query(press_id, text[:200] or None, show_alert=alert)

    async def set_menu(self, commands: Sequence[tuple[str, str]], language: Language | None) -> None:
        """Show the commands in the client's menu."""
        menu = [BotCommand(name, description[:256]) for name, description in commands[:100]]
        await _translated(lambda: self.bot.set_my_commands(menu, language_code=language))

    async def _send(self, lane: Lane, piece: render.Piece, keyboard: Reply | None) -> int:
        text, entities = piece
        message = await _translated(
            lambda: self.bot.send_message(
                lane.chat_id,
                text,
                entities=_entities(entities),
                reply_markup=_keyboard(keyboard),
                message_thread_id=lane.topic_id or None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        )
        return message.message_id

    async def _send_file(self, lane: Lane, reply: Reply, file: File) -> int:
        message = await _translated(
            lambda: self.bot.send_document(
                lane.chat_id,
                InputFile(file.text.encode(), filename=file.name),
                caption=reply.text[:1000],
                message_thread_id=lane.topic_id or None,
            )
        )
        return message.message_id

    async def _edit(self, lane: Lane, message_id: int, piece: render.Piece, keyboard: Reply | None) -> None:
        text, entities = piece
        try:
            await _translated(
                lambda: self.bot.edit_message_text(
                    text,
                    lane.chat_id,
                    message_id,
                    entities=_entities(entities),
                    reply_markup=_keyboard(keyboard),
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                )
            )
        except RejectedError as error:
            if "not modified" not in str(error):
                raise


async def _translated(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call and say its refusal in our words."""
    try:
        return await call()
    except telegram_errors.RetryAfter as error:
        wait = error.retry_after
        raise FloodError(wait.total_seconds() if hasattr(wait, "total_seconds") else float(wait)) from error
    except telegram_errors.Forbidden as error:
        raise BlockedError(error.message) from error
    except telegram_errors.BadRequest as error:
        raise RejectedError(error.message) from error
    except telegram_errors.TelegramError as error:
        raise errors.ChannelError(f"Telegram cannot be reached: {error.message}") from error


def _entities(entities: list[dict[str, Any]]) -> list[MessageEntity]:
    return [MessageEntity.de_json(entity, None) for entity in entities]


def _keyboard(reply: Reply | None) -> InlineKeyboardMarkup | None:
    if reply is None or not reply.buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(b.text, callback_data=b.data, url=b.url) for b in row] for row in reply.buttons]
    )
