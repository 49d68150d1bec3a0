"""A Telegram update, as JSON, becomes an `Incoming`.

Whatever is sent here was sent by somebody: nothing is believed to be there, or to be of its type. What cannot be
understood is still an update with a number, is kept, and has no lane.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from persais_core import texts
from persais_core.channels.base import Incoming, Press
from persais_core.domain.chats import Lane, Message, User, number, storable

ATTACHMENTS = (
    "voice", "audio", "video_note", "video", "photo", "document", "sticker", "animation", "location", "contact",
    "poll", "dice", "venue",
)  # fmt: skip
FOREIGN = ("forward_origin", "forward_from", "forward_from_chat", "forward_sender_name", "forward_date", "via_bot")
"""Fields of a message whose words are not those of whoever sent it."""
MAX_DEPTH = 64  # levels of an update that are kept; Telegram's have a dozen


def parse(update: Any, *, bot_id: int) -> Incoming | None:
    """Read one update.

    Args:
        update: decoded JSON.
        bot_id: whose update it is; update ids are unique for one bot only.

    Returns:
        None when it has no usable `update_id`, so that it cannot be told from others.
    """
    if not isinstance(update, dict):
        return None
    update_id = number(update.get("update_id"))
    if update_id is None:
        return None
    kind = next((key for key in update if key != "update_id"), "unknown")
    made = {"bot_id": bot_id, "update_id": update_id, "kind": storable(kind)[:64], "payload": _clean_tree(update)}
    if kind == "message":
        content = _dict(update["message"])
        lane, user = _lane(content), _user(content.get("from"))
        if lane and user:
            message = Message(
                text=storable(_text(content.get("text")) or _text(content.get("caption"))),
                attachment=next((name for name in ATTACHMENTS if content.get(name)), None),
                reply_to=number(_dict(content.get("reply_to_message")).get("message_id")),
                sent_at=_time(content.get("date")),
                is_forwarded=any(content.get(name) for name in FOREIGN),
            )
            album = storable(_text(content.get("media_group_id")))[:64] or None
            return Incoming(**made, lane=lane, user=user, message=message, album=album)
    elif kind == "callback_query":
        content = _dict(update["callback_query"])
        message_of = _dict(content.get("message"))
        lane, user, press_id = _lane(message_of), _user(content.get("from")), _text(content.get("id"))
        if user and press_id:
            press = Press(
                id=press_id, data=storable(_text(content.get("data"))), message_id=number(message_of.get("message_id"))
            )
            return Incoming(**made | {"kind": "press"}, lane=lane or Lane(chat_id=user.id), user=user, press=press)
    return Incoming(**made)


def _lane(message: dict[str, Any]) -> Lane | None:
    chat_id = number(_dict(message.get("chat")).get("id"))
    if chat_id is None:
        return None
    topic = number(message.get("message_thread_id")) if message.get("is_topic_message") is True else None
    return Lane(chat_id=chat_id, topic_id=topic or 0)


def _user(value: Any) -> User | None:
    person = _dict(value)
    user_id = number(person.get("id"))
    if user_id is None or person.get("is_bot") is True:
        return None
    name = " ".join(filter(None, (_text(person.get("first_name")), _text(person.get("last_name")))))
    return User(id=user_id, name=storable(name)[:200], language=texts.language_of(_text(person.get("language_code"))))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    seconds = number(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 <= seconds < 2**32 else None


def _clean_tree(value: Any, depth: int = 0) -> Any:
    """Without what JSON in Postgres cannot hold, so that no update comes back again and again."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, dict)) and depth >= MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [_clean_tree(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {storable(str(key)): _clean_tree(item, depth + 1) for key, item in value.items()}
    return value
