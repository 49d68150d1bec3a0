"""Figures for Prometheus: what happened in the process, what waits in the database, and who may read them."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import psycopg
import pytest
from starlette.applications import Starlette

from persais_core import metrics
from persais_core.channels.base import BlockedError, Channel
from persais_core.channels.counted import CountedSender
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Reply
from persais_core.metrics import Metrics


async def lines(figures: Metrics, database: Database | None = None) -> list[str]:
    return (await figures.text(database)).decode().splitlines()


async def test_events_are_counted_by_name_and_outcome() -> None:
    figures = Metrics()
    figures.turn(agent="echo", outcome="answered", seconds=0.02)
    figures.turn(agent="echo", outcome="answered", seconds=40)
    figures.model_call("vendor/x", "failed")
    figures.model_usage("vendor/x", tokens_in=100, tokens_out=10, dollars=0.5)
    shown = await lines(figures)
    assert 'persais_turns_total{agent="echo",outcome="answered"} 2.0' in shown
    assert 'persais_turn_seconds_bucket{le="0.025"} 1.0' in shown
    assert "persais_turn_seconds_count 2.0" in shown
    assert 'persais_model_calls_total{model="vendor/x",outcome="failed"} 1.0' in shown
    assert 'persais_model_tokens_total{direction="in",model="vendor/x"} 100.0' in shown
    assert 'persais_model_cost_dollars_total{model="vendor/x"} 0.5' in shown


async def test_two_bots_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.turn(agent="echo", outcome="answered", seconds=1)
    assert not [line for line in await lines(other) if 'agent="echo"' in line]


async def test_what_waits_is_asked_of_the_database(database: Database, sql: psycopg.AsyncConnection) -> None:
    figures = Metrics()
    await sql.execute(
        "insert into persais.outbox (key, chat_id, version, state, attempts) values "
        "('a', 1, 1, 'queued', 0), ('b', 1, 1, 'queued', 0), ('c', 1, 1, 'sent', 1)"
    )
    await sql.execute(
        "insert into persais.dead_letters (kind, subject, cause, tries, state) values "
        "('turn', 'turn 1', 'x', 2, 'waiting'), ('turn', 'turn 2', 'x', 2, 'dropped')"
    )
    await sql.execute(
        "select procrastinate_defer_jobs_v1("
        "array[row('persais', 'turn', 0, null, null, '{}', null)::procrastinate_job_to_defer_v1])"
    )
    shown = await lines(figures, database)
    assert 'persais_outbox_messages{state="queued"} 2.0' in shown
    assert 'persais_dead_letters{kind="turn"} 1.0' in shown
    assert 'persais_queue_jobs{task="turn"} 1.0' in shown
    await sql.execute("update persais.outbox set state = 'sent'")
    assert not [line for line in await lines(figures, database) if line.startswith("persais_outbox_messages{")]


class Refusing:
    """A channel of somebody who blocked the bot."""

    async def put(self, lane: Lane, reply: Reply, **given: object) -> list[int]:
        raise BlockedError("they do not want us")


async def test_what_cannot_be_sent_is_counted_by_its_cause() -> None:
    figures = Metrics()
    inner: Channel = Refusing()  # type: ignore[assignment]
    with pytest.raises(BlockedError):
        await CountedSender(inner, figures).put(Lane(chat_id=1), Reply(text="x"))
    assert 'persais_send_failures_total{cause="blocked"} 1.0' in await lines(figures)


async def read(token: str | None, peer: str, headers: Mapping[str, str]) -> int:
    async def text() -> bytes:
        return b"figures"

    app = Starlette(routes=[metrics.route(text, token)])
    transport = httpx.ASGITransport(app=app, client=(peer, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://bot.test") as http:
        return (await http.get("/metrics", headers=dict(headers))).status_code


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.1.2.3", "172.19.0.9", "fdaa:0:1::3", "::ffff:127.0.0.1"])
async def test_neighbours_read_them_without_a_token(peer: str) -> None:
    assert await read(None, peer, {}) == 200


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("8.8.8.8", {}), ("2606:4700::1", {}), ("nonsense", {}),
        ("127.0.0.1", {"X-Forwarded-For": "8.8.8.8"}), ("172.19.0.9", {"Fly-Client-IP": "8.8.8.8"}),
        ("127.0.0.1", {"Forwarded": "for=8.8.8.8"}), ("127.0.0.1", {"Sec-Fetch-Site": "cross-site"}),
    ],
)  # fmt: skip
async def test_the_world_is_told_that_there_is_no_such_page(peer: str, headers: dict[str, str]) -> None:
    assert await read(None, peer, headers) == 404


async def test_with_a_token_only_the_token_counts() -> None:
    assert await read("t0ken", "8.8.8.8", {"Authorization": "Bearer t0ken"}) == 200
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "t0ken"}]
    for given in wrong:
        assert await read("t0ken", "127.0.0.1", given) == 404
