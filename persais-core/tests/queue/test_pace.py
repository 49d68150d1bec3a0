"""How fast may be sent, counted in Postgres for all processes together."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from persais_core.channels.base import FloodError
from persais_core.db.engine import Database
from persais_core.queue import pace
from persais_core.queue.pace import Budget, Pace


@pytest.mark.parametrize(("chat", "budget"), [(7, pace.PRIVATE), (-7, pace.GROUP)])
async def test_a_chat_may_have_its_burst_and_must_then_wait_for_whoever_sends(
    database: Database, sql: psycopg.AsyncConnection, chat: int, budget: Budget
) -> None:
    workers = Pace(database), Pace(database)
    for number in range(budget.burst):
        await workers[number % 2](chat)
    for worker in workers:
        with pytest.raises(FloodError) as caught:
            await worker(chat)
        assert caught.value.is_ours
        assert 0 < caught.value.seconds <= budget.gap
    await workers[0](chat + 100)  # another chat has a budget of its own
    await sql.execute(
        "update persais.send_limits set spent_until = spent_until - make_interval(secs => %s)", [budget.gap]
    )
    await workers[1](chat)


async def test_all_chats_together_keep_the_pace(database: Database, sql: psycopg.AsyncConnection) -> None:
    everyone = Budget(gap=0.02, burst=5)
    first, second = Pace(database, everyone=everyone), Pace(database, everyone=everyone)
    start = await (await sql.execute("select clock_timestamp()")).fetchone()
    await asyncio.gather(*((first, second)[number % 2](number + 1) for number in range(30)))
    assert start
    # The budget of the thirtieth call reaches at least that far; its caller was asleep until then.
    found = await (
        await sql.execute(
            "select extract(epoch from spent_until - %s)::float >= 0.6 and clock_timestamp() >= spent_until - "
            "interval '0.1 s' from persais.send_limits where name = 'all'",
            start,
        )
    ).fetchone()
    assert found == (True,)


def test_the_budgets_are_within_what_telegram_allows() -> None:
    assert pace.ALL.burst + 1 / pace.ALL.gap <= 30
    assert pace.GROUP.burst + 60 / pace.GROUP.gap <= 20
    assert pace.PRIVATE.gap >= 1
