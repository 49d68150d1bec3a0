"""Updates as Telegram sends them, and as nobody should."""

from __future__ import annotations

from typing import Any

BIG = 2**63


def message(text: str, *, user: int = 1000001, update: int = 1) -> dict[str, Any]:
    """A text message in a private chat."""
    return {
        "update_id": update,
        "message": {
            "message_id": 5,
            "date": 1767312000,
            "chat": {"id": user, "type": "private", "first_name": "Ann"},
            "from": {"id": user, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "language_code": "en"},
            "text": text,
        },
    }


def press(data: str, *, user: int = 1000001, update: int = 1, under: int = 5) -> dict[str, Any]:
    """A tap on a button under a message in a private chat."""
    query = {
        "id": "tap-1",
        "from": {"id": user, "is_bot": False, "first_name": "Ann", "language_code": "en"},
        "message": {"message_id": under, "date": 1767312000, "chat": {"id": user, "type": "private"}},
        "data": data,
    }
    return {"update_id": update, "callback_query": query}


def _with(update: int, **changes: Any) -> dict[str, Any]:
    made = message("Hello", update=update)
    made["message"] |= changes
    return made


HOSTILE: dict[str, Any] = {
    "none": None,
    "true": True,
    "number": 5,
    "text": "update",
    "list": [1, 2],
    "empty": {},
    "no number": {"message": {}},
    "number is text": {"update_id": "1", "message": {}},
    "number is true": {"update_id": True},
    "number is float": {"update_id": 1.0},
    "number is null": {"update_id": None},
    "number is a list": {"update_id": [1]},
    "number too large": {"update_id": BIG},
    "number too small": {"update_id": -BIG - 1},
    "number largest": {"update_id": BIG - 1},
    "number negative": {"update_id": -1},
    "number alone": {"update_id": 100},
    "message null": {"update_id": 101, "message": None},
    "message text": {"update_id": 102, "message": "hi"},
    "message list": {"update_id": 103, "message": [{}]},
    "message empty": {"update_id": 104, "message": {}},
    "chat null": _with(105, chat=None),
    "chat without id": _with(106, chat={}),
    "chat id text": _with(107, chat={"id": "1"}),
    "chat id too large": _with(108, chat={"id": BIG}),
    "chat id huge": _with(109, chat={"id": 10**300}),
    "from null": _with(110, **{"from": None}),
    "from without id": _with(111, **{"from": {"first_name": "x"}}),
    "from id too large": _with(112, **{"from": {"id": BIG}}),
    "from id true": _with(113, **{"from": {"id": True}}),
    "names of other kinds": _with(114, **{"from": {"id": 5, "first_name": 1, "last_name": [], "language_code": {}}}),
    "text is a number": _with(115, text=5),
    "text is null": _with(116, text=None),
    "text is a list": _with(117, text=["a"]),
    "date is text": _with(118, date="now"),
    "date too large": _with(119, date=10**18),
    "date negative": _with(120, date=-1),
    "topic too large": _with(121, is_topic_message=True, message_thread_id=BIG),
    "topic flag is text": _with(122, is_topic_message="yes", message_thread_id=3),
    "zero bytes": _with(123, text="\x00\x00", caption="\x00"),
    "lone surrogates": _with(124, text="\ud800", **{"\udc00": "\udfff"}),
    "not a number": _with(125, location=float("nan"), speed=float("inf")),
    "very long text": _with(126, text="x" * 300_000),
    "very long kind": {"update_id": 127, "k" * 5000: {}},
    "kind with a zero byte": {"update_id": 128, "ki\x00nd": {}},
    "press null": {"update_id": 129, "callback_query": None},
    "press without id": {"update_id": 130, "callback_query": {"from": {"id": 5}, "data": "x"}},
    "press without from": {"update_id": 131, "callback_query": {"id": "1", "data": "x"}},
    "press id is a number": {"update_id": 132, "callback_query": {"id": 1, "from": {"id": 5}}},
    "press data is a list": {"update_id": 133, "callback_query": {"id": "1", "from": {"id": 5}, "data": ["x"]}},
    "press on a message that is gone": {"update_id": 134, "callback_query": {"id": "1", "from": {"id": 5}}},
    "press message id too large": {
        "update_id": 135,
        "callback_query": {"id": "1", "from": {"id": 5}, "message": {"message_id": BIG, "chat": {"id": 5}}},
    },
}
