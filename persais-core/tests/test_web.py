"""The HTTP door of a release."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from persais_core import errors, metrics, web
from persais_core.channels.telegram.parse import parse
from persais_core.db.tables.evolution import PullRequest

SECRET = "webhook-secret_1"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
PULL = PullRequest(number=3, title="Add <b>Echo</b>", body="b", branch="feat/x-v1", head="1", base="0", key="right")
DIFF = (
    "diff --git a/bot/x.py b/bot/x.py\nnew file mode 100644\n--- /dev/null\n+++ b/bot/x.py\n@@ -0,0 +1 @@\n+<script>\n"
)


class Door:
    """A release's door over what it was told to do."""

    def __init__(self, webhook_secret: str | None = SECRET) -> None:
        self.accepted: list[Any] = []
        self.problem: Exception | None = None
        self.well = True
        app = web.application(
            health=self._health,
            accept=self._accept,
            page=self._page,
            webhook_secret=webhook_secret,
            more=[metrics.route(self._figures, None)],
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://bot.test")

    async def post(self, body: bytes, secret: str | bytes = SECRET) -> httpx.Response:
        return await self.http.post("/telegram/webhook", content=body, headers={HEADER: secret})  # type: ignore[dict-item]

    async def _health(self) -> tuple[bool, dict[str, Any]]:
        return self.well, {"status": "ok" if self.well else "failing", "first_turns": {"diary": [2, 1]}}

    async def _accept(self, update: Any) -> None:
        if self.problem:
            raise self.problem
        self.accepted.append(update)

    async def _figures(self) -> bytes:
        return b"figures"

    async def _page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        return (PULL, DIFF) if (number, key) == (3, "right") else None


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    yield made
    await made.http.aclose()


async def test_an_update_with_the_secret_is_accepted_with_an_empty_answer(door: Door) -> None:
    answer = await door.post(b'{"update_id": 1}')
    assert (answer.status_code, answer.content) == (200, b"")
    assert door.accepted == [{"update_id": 1}]


@pytest.mark.parametrize(
    "secret", ["", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), b"\xff\xfe\x00\x80", "пароль".encode(), "é"]
)
async def test_a_wrong_secret_is_turned_away_before_the_body_is_read(door: Door, secret: str | bytes) -> None:
    given = secret if isinstance(secret, bytes) else secret.encode("latin-1")
    answer = await door.post(b"not even json", given)
    assert answer.status_code == 403
    assert door.accepted == []


async def test_a_missing_secret_is_turned_away(door: Door) -> None:
    assert (await door.http.post("/telegram/webhook", content=b"{}")).status_code == 403


async def test_without_a_webhook_the_route_is_not_there() -> None:
    polling = Door(webhook_secret=None)
    assert (await polling.post(b"{}")).status_code == 404
    await polling.http.aclose()


async def test_the_webhook_takes_nothing_but_posts(door: Door) -> None:
    assert (await door.http.get("/telegram/webhook", headers={HEADER: SECRET})).status_code == 405


async def test_a_body_that_is_too_large_is_refused_while_it_comes(door: Door) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 65536

    answer = await door.http.post("/telegram/webhook", content=endless(), headers={HEADER: SECRET})
    assert answer.status_code == 413
    assert sent < 30
    assert (await door.post(b" " * web.MAX_BODY + b"1")).status_code == 413
    assert (await door.post(b" " * (web.MAX_BODY - 1) + b"1")).status_code == 200


async def test_a_body_that_says_it_is_too_large_or_packed_is_not_read(door: Door) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    for headers, status in (
        ({"content-length": str(20 * 2**20)}, 413),
        ({"content-length": "9" * 18}, 413),
        ({"content-encoding": "gzip"}, 415),
        ({"content-encoding": "br"}, 415),
    ):
        answer = await door.http.post("/telegram/webhook", content=body(), headers={HEADER: SECRET} | headers)
        assert (answer.status_code, read) == (status, 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"nonsense", b'{"a": }', b"9" * 5000],
    ids=["empty", "open", "bytes", "word", "hole", "digits"],
)
async def test_what_is_no_json_is_dropped_and_never_asked_for_again(door: Door, body: bytes) -> None:
    assert (await door.post(body)).status_code == 200
    assert door.accepted == []


@pytest.mark.parametrize("levels", [100, 900, 100_000])
async def test_deep_nesting_is_never_asked_for_again(door: Door, levels: int) -> None:
    body = b'{"update_id": 5, "deep": ' + b"[" * levels + b"]" * levels + b"}"
    answer = await door.post(body)
    assert answer.status_code == 200
    for update in door.accepted:
        kept = parse(update, bot_id=77)
        assert kept and json.dumps(kept.payload)


@pytest.mark.parametrize("problem", [errors.ChannelError("starting"), OSError("no disk"), RuntimeError("bug")])
async def test_an_update_that_cannot_be_stored_is_asked_for_again(door: Door, problem: Exception) -> None:
    door.problem = problem
    answer = await door.post(b'{"update_id": 1}')
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.content == b""
    door.problem = None
    assert (await door.post(b'{"update_id": 1}')).status_code == 200


async def test_many_at_once_are_all_accepted(door: Door) -> None:
    answers = await asyncio.gather(*(door.post(b'{"update_id": %d}' % number) for number in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(update["update_id"] for update in door.accepted) == list(range(50))


DOCUMENT = {
    "status": "failing",
    "version": "1",
    "commit": "c",
    "active": True,
    "safe_mode": "bot/agents/diary.py: the cause",
    "first_turns": {"diary": [2, 1]},
    "checks": {"release": "bot/agents/diary.py: the cause", "database": "down", "other": "ok"},
}


async def test_the_world_hears_no_name_of_an_agent_and_no_cause_and_the_supervisor_hears_all() -> None:
    async def health() -> tuple[bool, dict[str, Any]]:
        return False, DOCUMENT

    assert web.public(DOCUMENT) == {
        "status": "failing",
        "version": "1",
        "commit": "c",
        "active": True,
        "checks": {"release": "failing", "database": "down", "other": "ok"},
    }
    transport = httpx.ASGITransport(app=web.probe(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://bot.test") as http:
        assert (await http.get("/health")).json() == DOCUMENT


@pytest.mark.parametrize(("well", "status"), [(True, 200), (False, 503)])
async def test_health_says_it_in_status_and_document(door: Door, well: bool, status: int) -> None:
    door.well = well
    answer = await door.http.get("/health")
    assert answer.status_code == status
    assert answer.json() == {"status": "ok" if well else "failing", "checks": {}}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_process_that_answers_is_live_whatever_it_depends_on(door: Door) -> None:
    door.well = False
    answer = await door.http.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_the_figures_have_their_page(door: Door) -> None:
    assert (await door.http.get("/metrics")).text == "figures"


async def test_a_pull_request_is_shown_to_who_holds_its_key_with_everything_escaped(door: Door) -> None:
    answer = await door.http.get("/pulls/3?key=right")
    assert answer.status_code == 200
    assert "Add &lt;b&gt;Echo" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_pull_request_is_shown_in_the_language_that_the_browser_asks_for(door: Door) -> None:
    for asked, language, state in (
        ("", "en", "open"),
        ("de, ru-RU;q=0.8, en;q=0.5", "ru", "открыт"),
        ("en-GB, ru;q=0.5", "en", "open"),
    ):
        answer = await door.http.get("/pulls/3?key=right", headers={"Accept-Language": asked})
        assert f'<html lang="{language}">' in answer.text and f">{state}</span>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/pulls/3",
        "/pulls/3?key=",
        "/pulls/3?key=wrong",
        "/pulls/4?key=right",
        "/pulls/x?key=right",
        "/pulls/-1?key=right",
        "/pulls/%D9%A3?key=right",
        f"/pulls/{'9' * 20}?key=right",
        f"/pulls/{'9' * 5000}?key=right",
    ],
    ids=lambda path: path[:30],
)
async def test_without_the_key_nobody_learns_whether_there_is_such_a_pull_request(door: Door, path: str) -> None:
    answer = await door.http.get(path)
    assert (answer.status_code, answer.text) == (404, "Not found")
    assert "Echo" not in answer.text


async def test_the_page_brings_its_own_style(door: Door) -> None:
    answer = await door.http.get("/pulls/pull.css")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")


async def test_an_unknown_address_is_not_found(door: Door) -> None:
    for path in ("/", "/admin", "/pulls/", "/pulls/3/files"):
        assert (await door.http.get(path)).status_code == 404, path
