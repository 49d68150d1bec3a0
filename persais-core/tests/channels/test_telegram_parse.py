"""Updates of Telegram, whole and hostile, become values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from persais_core.channels.telegram.parse import parse
from persais_core.domain.chats import Lane
from updates import HOSTILE, message, press


def test_a_message_is_read_with_who_where_what_and_when() -> None:
    incoming = parse(message("Hello", user=42, update=7), bot_id=77)
    assert incoming and incoming.message and incoming.user
    assert (incoming.bot_id, incoming.update_id, incoming.kind, incoming.lane) == (77, 7, "message", Lane(chat_id=42))
    assert (incoming.user.id, incoming.user.name, incoming.user.language) == (42, "Ann Lee", "en")
    assert incoming.message.text == "Hello"
    assert incoming.message.sent_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert not incoming.user.is_admin


def test_the_payload_is_the_update_as_it_came() -> None:
    update = message("Hello") | {"something_new": {"deep": [1, None, True, 1.5]}}
    incoming = parse(update, bot_id=77)
    assert incoming and incoming.payload == update


def test_a_tap_is_read_with_its_data_and_message() -> None:
    incoming = parse(press("c:abc", user=42), bot_id=77)
    assert incoming and incoming.press
    assert (incoming.kind, incoming.lane) == ("press", Lane(chat_id=42))
    assert (incoming.press.data, incoming.press.message_id) == ("c:abc", 5)


def test_a_topic_of_a_forum_is_a_lane_of_its_own() -> None:
    update = message("Hello", user=42)
    update["message"] |= {"chat": {"id": -100200300400, "type": "supergroup"}, "message_thread_id": 9}
    plain = parse(update, bot_id=77)
    update["message"]["is_topic_message"] = True
    topic = parse(update, bot_id=77)
    assert plain and plain.lane == Lane(chat_id=-100200300400)
    assert topic and topic.lane == Lane(chat_id=-100200300400, topic_id=9)


@pytest.mark.parametrize("kind", ["voice", "photo", "document", "sticker", "location"])
def test_what_came_along_is_named_and_its_caption_is_the_text(kind: str) -> None:
    update = message("")
    del update["message"]["text"]
    update["message"] |= {kind: [{"file_id": "x"}], "caption": "look"}
    incoming = parse(update, bot_id=77)
    assert incoming and incoming.message
    assert (incoming.message.attachment, incoming.message.text) == (kind, "look")


@pytest.mark.parametrize(
    ("code", "language"), [("ru", "ru"), ("ru-RU", "ru"), ("RU", "ru"), ("en", "en"), ("de", "en"), (None, "en")]
)
def test_we_speak_russian_with_russian_clients_and_english_with_others(code: str | None, language: str) -> None:
    update = message("Hello")
    update["message"]["from"]["language_code"] = code
    incoming = parse(update, bot_id=77)
    assert incoming and incoming.user and incoming.user.language == language


def test_other_bots_and_channels_are_not_spoken_to() -> None:
    other_bot, channel = message("Hello"), message("Hello")
    other_bot["message"]["from"]["is_bot"] = True
    del channel["message"]["from"]
    for update in (other_bot, channel):
        incoming = parse(update, bot_id=77)
        assert incoming and incoming.lane is None


def test_an_edited_message_is_kept_and_not_worked_on() -> None:
    update = message("Hello")
    update["edited_message"] = update.pop("message")
    incoming = parse(update, bot_id=77)
    assert incoming and (incoming.kind, incoming.lane) == ("edited_message", None)


def test_what_postgres_cannot_store_is_taken_out_everywhere() -> None:
    update = message("a\x00b\ud800c")
    update["message"]["from"]["first_name"] = "\x00Bob\udfff"
    update["message"]["\x00key\ud800"] = ["\x00", {"\ud83d": float("nan")}, float("inf"), -float("inf")]
    incoming = parse(update, bot_id=77)
    assert incoming and incoming.message and incoming.user
    assert incoming.message.text == "ab?c"
    assert incoming.user.name == "Bob? Lee"
    written = json.dumps(incoming.payload, allow_nan=False)
    assert "\\u0000" not in written
    assert "\\ud8" not in written


def test_emoji_beyond_the_first_plane_survive() -> None:
    incoming = parse(json.loads(json.dumps(message("👩‍👩‍👧 ok"))), bot_id=77)
    assert incoming and incoming.message and incoming.message.text == "👩‍👩‍👧 ok"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_update_raises_and_each_is_storable_or_nameless(name: str) -> None:
    given = HOSTILE[name]
    incoming = parse(given, bot_id=77)
    if incoming is None:
        number = given.get("update_id") if isinstance(given, dict) else None
        assert type(number) is not int or not -(2**63) <= number < 2**63
    else:
        json.dumps(incoming.payload, allow_nan=False).encode()
        assert -(2**63) <= incoming.update_id < 2**63


def deep(levels: int) -> Any:
    made: Any = "bottom"
    for _ in range(levels):
        made = {"in": [made]}
    return made


@pytest.mark.parametrize("levels", [10, 200, 5000])
def test_an_update_however_deep_is_kept_with_its_number_and_text(levels: int) -> None:
    incoming = parse(message("Hello") | {"deep": deep(levels)}, bot_id=77)
    assert incoming and incoming.message and incoming.message.text == "Hello"
    assert ("bottom" in json.dumps(incoming.payload)) is (levels == 10)
