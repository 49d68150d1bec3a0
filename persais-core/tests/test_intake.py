"""Everything that may be posted to the webhook, through the real door into the real tables."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from persais_core import web
from persais_core.channels.base import Incoming
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.queue.inbox import Inbox
from persais_core.queue.intake import Intake
from updates import BIG, HOSTILE, message, press

SECRET = "webhook-secret_1"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
BOT = 77


def application(database: Database, intake: Intake | None = None) -> httpx.AsyncClient:
    """A client of a release's door over a database."""

    async def health() -> tuple[bool, dict[str, Any]]:
        return True, {}

    async def page(number: int, key: str) -> None:
        return None

    made = intake or Intake(Inbox(database), read=functools.partial(parse, bot_id=BOT), bot_id=BOT)
    app = web.application(health=health, accept=made.accept, page=page, webhook_secret=SECRET)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://bot.test")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with application(database) as made:
        yield made


async def post(http: httpx.AsyncClient, body: Any, **headers: str) -> int:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await http.post("/telegram/webhook", content=content, headers={HEADER: SECRET} | headers)
    assert answer.content == b""
    return answer.status_code


async def stored(sql: psycopg.AsyncConnection) -> list[tuple[int, str, bool]]:
    """Of each update that was kept: its number, its kind, and whether it is answered as a turn."""
    rows = await sql.execute("select update_id, kind, turn_id is not null from persais.updates order by id")
    return await rows.fetchall()  # type: ignore[return-value]


def of(kind: str, **changes: Any) -> dict[str, Any]:
    """An update of another kind, from a message."""
    update = message("/rollback")
    content = update.pop("message") | changes
    return update | {kind: content}


GROUP = {"id": -100123, "type": "supergroup", "title": "G"}
TABLE: dict[str, tuple[Any, str, bool]] = {
    "a message": (message("Hello"), "message", True),
    "in a group": (of("message", chat=GROUP, text="Hello"), "message", True),
    "an emergency command": (of("message"), "message", False),
    "by a bot": (of("message", **{"from": {"id": 5, "is_bot": True}}), "message", False),
    "by nobody": (of("message", **{"from": None}), "message", False),
    "in a channel": (of("channel_post", chat={"id": -1, "type": "channel"}), "channel_post", False),
    "edited": (of("edited_message"), "edited_message", False),
    "edited in a channel": (of("edited_channel_post"), "edited_channel_post", False),
    "deleted": ({"update_id": 1, "deleted_business_messages": {}}, "deleted_business_messages", False),
    "unknown": ({"update_id": 1, "telepathy": {"from": {"id": 5}}}, "telepathy", False),
    "without anything": ({"update_id": 1}, "unknown", False),
    "a tap": (press("agent:echo"), "press", True),
    "a tap without a message": (
        {"update_id": 1, "callback_query": {"id": "1", "from": {"id": 5}, "data": "agent:echo"}}, "press", True,
    ),
    "a tap by a bot": (
        {"update_id": 1, "callback_query": {"id": "1", "from": {"id": 5, "is_bot": True}, "data": "agent:echo"}},
        "callback_query", False,
    ),
    "a number that Postgres takes": (message("Hi", update=BIG - 1), "message", True),
    "a negative number": (message("Hi", update=-5), "message", True),
    "text with zero bytes": (message("a\x00b"), "message", True),
    "text with lone surrogates": (message("a\ud800b"), "message", True),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
async def test_what_telegram_may_send_is_kept_once_and_answered_where_somebody_said_something(
    http: httpx.AsyncClient, sql: psycopg.AsyncConnection, name: str
) -> None:
    update, kind, is_answered = TABLE[name]
    for _ in range(2):
        assert await post(http, update) == 200
    assert await stored(sql) == [(update["update_id"], kind, is_answered)]


async def test_only_a_message_fires_a_command(http: httpx.AsyncClient, sql: psycopg.AsyncConnection) -> None:
    for number, kind in enumerate(("edited_message", "channel_post", "edited_channel_post", "business_message"), 1):
        assert await post(http, of(kind) | {"update_id": number}) == 200
    assert await post(http, of("message", forward_origin={"type": "user"}) | {"update_id": 9}) == 200
    jobs = await (await sql.execute("select task_name from procrastinate_jobs")).fetchall()
    assert jobs == [("turn",)]  # the forwarded one, as data


DROPPED = {
    "nothing": b"", "a word": b"hello", "an array": b"[1, 2]", "null": b"null", "half": b'{"update_id": 1',
    "bytes": b"\xff\xfe\x00", "no number": b"{}", "text as number": b'{"update_id": "1"}',
    "2^63": b'{"update_id": %d}' % BIG,
    "below -2^63": b'{"update_id": %d}' % (-BIG - 1), "a float": b'{"update_id": 1.0}', "true": b'{"update_id": true}',
    "infinite": b'{"update_id": Infinity}', "many digits": b'{"update_id": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", DROPPED)
async def test_what_has_no_number_is_dropped_and_not_asked_for_again(
    http: httpx.AsyncClient, sql: psycopg.AsyncConnection, name: str
) -> None:
    assert await post(http, DROPPED[name]) == 200
    assert await stored(sql) == []


@pytest.mark.parametrize(
    ("secret", "body", "headers", "status"),
    [
        ("wrong", b"{}", {}, 403),
        ("", b"{}", {}, 403),
        (SECRET, b" " * (20 * 2**20), {}, 413),
        (SECRET, gzip.compress(b" " * (20 * 2**20)), {"content-encoding": "gzip"}, 415),
    ],
    ids=["wrong secret", "no secret", "20 MB", "gzip bomb"],
)
async def test_what_is_not_from_telegram_is_refused(
    http: httpx.AsyncClient,
    sql: psycopg.AsyncConnection,
    secret: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    assert await post(http, body, **{HEADER: secret}, **headers) == status
    assert await stored(sql) == []


async def test_a_good_message_among_all_hostile_ones_is_answered(
    http: httpx.AsyncClient, sql: psycopg.AsyncConnection
) -> None:
    for update in [*HOSTILE.values(), message("I am fine", user=42, update=5000)]:
        assert await post(http, json.dumps(update).encode()) == 200
    good = "select count(*) from persais.updates u join persais.turns t on t.id = u.turn_id where update_id = 5000"
    assert await (await sql.execute(good)).fetchone() == (1,)


async def test_what_breaks_our_reading_is_kept_by_its_number_and_holds_up_nothing(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    def read(update: Any) -> Incoming | None:
        if update["message"]["text"] == "bug":
            raise ZeroDivisionError
        return parse(update, bot_id=BOT)

    async with application(database, Intake(Inbox(database), read=read, bot_id=BOT)) as http:
        assert await post(http, message("bug", update=1)) == 200
        assert await post(http, message("fine", update=2)) == 200
    assert await stored(sql) == [(1, "unreadable", False), (2, "message", True)]


async def test_while_the_database_is_away_an_update_is_asked_for_again(core_url: str) -> None:
    gone = Database(core_url)  # never opened
    async with application(gone) as http:
        answer = await http.post("/telegram/webhook", json=message("Hello"), headers={HEADER: SECRET})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
