"""Sends to Telegram and translates its refusals into ours."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx
import structlog
from telegram import (
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LinkPreviewOptions,
    MessageEntity,
)
from telegram import error as telegram_errors
from telegram.ext import ExtBot

from persais_core import errors
from persais_core.channels.base import BlockedError, FloodError, MovedError, Noted, RejectedError, UnsureError
from persais_core.channels.telegram import poll, render, webhook
from persais_core.channels.telegram.connections import RenewedRequest
from persais_core.domain.chats import Lane, Language, Reply

# It is about the type of `RetryAfter.retry_after`, which is read here in both its forms.
warnings.filterwarnings("ignore", message=".*attribute `retry_after`")

LONG = 4000  # characters

log = structlog.get_logger(__name__)
T = TypeVar("T")

CONNECTIONS = 64
PATIENCE = 20.0  # seconds; who stops waiting for an answer too early sends the same again

Pace = Callable[[int], Awaitable[None]]
"""Lets a call to a chat pass when it may; raises FloodError where it has to wait."""
# What Telegram says, as a bad request, of chats where nothing can be sent any more.
_GONE = (
    "chat not found",
    "user is deactivated",
    "peer_id_invalid",
    "not enough rights",
    "have no rights",
    "chat_write_",
)


class TelegramChannel:
    """Implements `channels.base.Channel` on python-telegram-bot.

    Args:
        token: of the bot.
        api_url: base of the Bot API, such as https://api.telegram.org.
        pace: asked before each call that sends or edits; None: as fast as Telegram takes it.
    """

    def __init__(self, token: str, api_url: str, pace: Pace | None = None) -> None:
        # The library's own limiter counts for one process, and its retries hold up every chat while one must wait.
        self.bot: ExtBot[Any] = ExtBot(
            token,
            base_url=f"{api_url}/bot",
            base_file_url=f"{api_url}/file/bot",
            request=RenewedRequest(CONNECTIONS, PATIENCE),
            get_updates_request=RenewedRequest(1, PATIENCE),
        )
        self._pace = pace

    async def open(self) -> None:
        """Connect, and learn who the bot is.

        Raises:
            SettingsError: Telegram does not know the token.
            ChannelError: Telegram cannot be reached.
        """
        try:
            await self.bot.initialize()
        except telegram_errors.InvalidToken as error:
            raise errors.SettingsError("TELEGRAM_BOT_TOKEN is not accepted; get a new one from @BotFather") from error
        except telegram_errors.TelegramError as error:
            raise errors.ChannelError(_away(error)) from error

    @property
    def bot_id(self) -> int:
        """The bot's own number."""
        return self.bot.id

    @property
    def username(self) -> str:
        """The bot's name, without its @."""
        return self.bot.username

    async def receive(
        self, accept: Callable[[Any], Awaitable[None]], *, posted_to: str | None = None, secret: str | None = None
    ) -> None:
        """Fetch updates until cancelled, or have Telegram post them."""
        if posted_to is None:
            await poll.poll(self.bot, accept)
        else:
            await webhook.keep(self.bot, posted_to, secret or "")

    async def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(telegram_errors.TelegramError, RuntimeError):
            await self.bot.shutdown()

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        """Send a reply as one or more messages, or edit those it became before; the buttons go under the last."""
        # The library is slow with what is long and nested, and nobody else shall wait for that.
        is_long = len(reply.text) > LONG
        parts = await asyncio.to_thread(render.parts, reply) if is_long else render.parts(reply)
        kept = list(ids[:done])
        for number, part in enumerate(parts[done:], done):
            keyboard = reply if number == len(parts) - 1 else None
            if number >= len(ids):
                kept.append(await self._send(lane, part, keyboard))
            else:
                # A file stays as it was sent: Telegram makes no text of it, and what it holds stands in no card.
                if not isinstance(part, render.Document):
                    await self._edit(lane, ids[number], part, keyboard)
                kept.append(ids[number])
            if noted is not None and keyboard is None:
                await noted([*kept, *ids[len(kept) :]])
        for extra in ids[len(parts) :]:
            with contextlib.suppress(RejectedError):
                await _translated(lambda extra=extra: self.bot.delete_message(lane.chat_id, extra))  # type: ignore[misc]
        return kept

    async def answers(self) -> bool:
        """Whether Telegram can be reached and knows this bot."""
        try:
            await self.bot.get_me()
        except telegram_errors.RetryAfter:
            return True
        except telegram_errors.TelegramError:
            return False
        return True

    async def typing(self, lane: Lane) -> None:
        """Show that an answer is being written."""
        with contextlib.suppress(telegram_errors.TelegramError):
            await self.bot.send_chat_action(lane.chat_id, "typing", message_thread_id=lane.topic_id or None)

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        """End the waiting of a tapped button."""
        with contextlib.suppress(telegram_errors.TelegramError):
            await self.bot.answer_callback_query(press_id, text[:200] or None, show_alert=alert)

    async def set_menu(
        self, commands: Sequence[tuple[str, str]], language: Language | None, *, user_id: int | None = None
    ) -> None:
        """Show the commands in the client's menu: everybody's, or one person's."""
        menu = [BotCommand(name, description[:256]) for name, description in commands[:100]]
        scope = None if user_id is None else BotCommandScopeChat(user_id)
        await _translated(lambda: self.bot.set_my_commands(menu, scope=scope, language_code=language))

    async def _send(self, lane: Lane, part: render.Part, keyboard: Reply | None) -> int:
        await self._wait(lane)
        if isinstance(part, render.Document):
            message = await _translated(
                lambda: self.bot.send_document(
                    lane.chat_id,
                    InputFile(part.file.text.encode(), filename=part.file.name),
                    caption=part.caption[0] or None,
                    caption_entities=_entities(part.caption[1]),
                    reply_markup=_keyboard(keyboard),
                    message_thread_id=lane.topic_id or None,
                ),
                repeats=True,
            )
            return message.message_id
        text, entities = part
        message = await _translated(
            lambda: self.bot.send_message(
                lane.chat_id,
                text,
                entities=_entities(entities),
                reply_markup=_keyboard(keyboard),
                message_thread_id=lane.topic_id or None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            ),
            repeats=True,
        )
        return message.message_id

    async def _edit(self, lane: Lane, message_id: int, piece: render.Piece, keyboard: Reply | None) -> None:
        await self._wait(lane)
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

    async def _wait(self, lane: Lane) -> None:
        if self._pace is not None:
            await self._pace(lane.chat_id)


async def _translated(call: Callable[[], Awaitable[T]], *, repeats: bool = False) -> T:
    """Make a call and say its refusal in our words.

    Args:
        repeats: made again, it would show the same thing twice; so it matters whether it may have arrived.
    """
    try:
        return await call()
    except telegram_errors.RetryAfter as error:
        wait = error.retry_after
        raise FloodError(wait.total_seconds() if hasattr(wait, "total_seconds") else float(wait)) from error
    except telegram_errors.ChatMigrated as error:
        raise MovedError(error.new_chat_id) from error
    except telegram_errors.Forbidden as error:
        raise BlockedError(error.message) from error
    except telegram_errors.BadRequest as error:
        if any(words in error.message.lower() for words in _GONE):
            raise BlockedError(error.message) from error
        raise RejectedError(error.message) from error
    except telegram_errors.TelegramError as error:
        if repeats and _may_have_arrived(error):
            raise UnsureError(f"Telegram did not answer: {error.message}") from error
        raise errors.ChannelError(_away(error)) from error


def _away(error: telegram_errors.TelegramError) -> str:
    """Why there was no answer of use, without the words of the library below the library."""
    if isinstance(error, telegram_errors.TimedOut):
        return "Telegram cannot be reached: it does not answer in time; check the network, or try again later"
    if error.__cause__ is not None:
        return "Telegram cannot be reached; check the network, a proxy or firewall, and TELEGRAM_API_URL if it is set"
    return f"Telegram cannot be reached: {error.message}"


def _may_have_arrived(error: telegram_errors.TelegramError) -> bool:
    """Whether the request may have been carried out: it left us, and no answer of Telegram's says that it was not."""
    never_left = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    return error.__cause__ is not None and not isinstance(error.__cause__, never_left)


def _entities(entities: list[dict[str, Any]]) -> list[MessageEntity]:
    return [MessageEntity.de_json(entity, None) for entity in entities]


def _keyboard(reply: Reply | None) -> InlineKeyboardMarkup | None:
    if reply is None or not reply.buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(b.text, callback_data=b.data, url=b.url) for b in row] for row in reply.buttons]
    )
