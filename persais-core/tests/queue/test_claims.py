"""An answer is sent by the worker that put it, in one go, and by the queue where that cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from persais_core.channels.base import Noted
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Reply
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.queue import claims, outbox
from persais_core.queue.outbox import Claimed, Outbox
from persais_core.security.redact import Redactor

CHAT = 1000001
LANE = Lane(chat_id=CHAT)


async def as_worker(sql: psycopg.AsyncConnection) -> None:
    """From here on this test is a job of a worker that lives."""
    found = await (await sql.execute("insert into procrastinate_workers default values returning id")).fetchone()
    assert found
    claims.WORKER.set(found[0])


async def answered(database: Database, sql: psycopg.AsyncConnection, *texts: str) -> Claimed | None:
    query = "insert into persais.turns (chat_id, user_id, state) values (%s, %s, 'working') returning id"
    found = await (await sql.execute(query, (CHAT, CHAT))).fetchone()
    assert found
    replies = [Reply(text=text) for text in texts]
    return await outbox.answer(database, found[0], LANE, replies, agent="echo", failed=False)


async def jobs(sql: psycopg.AsyncConnection) -> list[tuple[str, str]]:
    query = "select lock, status::text from procrastinate_jobs order by id"
    return await (await sql.execute(query)).fetchall()


async def states(sql: psycopg.AsyncConnection) -> list[str]:
    found = await (await sql.execute("select state from persais.outbox order by id")).fetchall()
    return [state for (state,) in found]


async def said(person: ChatClient) -> list[str]:
    return [message.text for message in await person.history() if message.from_bot]


async def test_an_answer_is_sent_at_once_and_leaves_no_job(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await as_worker(sql)
    claimed = await answered(database, sql, "one", "two", "three")
    assert claimed
    assert await jobs(sql) == [(f"out:{CHAT}", "doing")]
    await Outbox(database, channel, Redactor()).send(claimed)
    assert await said(person) == ["one", "two", "three"]
    assert await states(sql) == ["sent"] * 3
    assert await jobs(sql) == []


async def test_nothing_is_claimed_where_something_else_is_to_be_said_first(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await as_worker(sql)
    async with database.session() as session:
        await outbox.put(session, LANE, Reply(text="before"), key="before")
    assert await answered(database, sql, "one") is None
    await sql.execute("delete from procrastinate_jobs")
    assert await answered(database, sql, "two") is None
    await Outbox(database, channel, Redactor()).deliver(CHAT)
    assert await said(person) == ["before", "one", "two"]


async def test_nothing_is_claimed_while_a_chat_must_wait(
    database: Database, channel: TelegramChannel, sql: psycopg.AsyncConnection
) -> None:
    await as_worker(sql)
    await sql.execute(
        "insert into persais.send_limits (name, paused_until) values (%s, now() + interval '1 hour')",
        (f"chat:{CHAT}",),
    )
    assert await answered(database, sql, "one") is None
    assert await jobs(sql) == [(f"out:{CHAT}", "todo")]


async def test_an_answer_that_must_wait_leaves_a_job_for_later(
    database: Database,
    channel: TelegramChannel,
    person: ChatClient,
    emulator: TelegramEmulator,
    sql: psycopg.AsyncConnection,
) -> None:
    await as_worker(sql)
    emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests", retry_after=5)
    claimed = await answered(database, sql, "one")
    assert claimed
    await Outbox(database, channel, Redactor()).send(claimed)
    assert (await states(sql), await jobs(sql)) == (["queued"], [(f"out:{CHAT}", "todo")])


class DyingChannel:
    """Its process is stopped while a message is being sent."""

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        raise asyncio.CancelledError


async def test_what_was_claimed_and_not_sent_is_left_to_the_queue_once(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await as_worker(sql)
    claimed = await answered(database, sql, "one")
    assert claimed
    with pytest.raises(asyncio.CancelledError):
        await Outbox(database, DyingChannel(), Redactor()).send(claimed)  # type: ignore[arg-type]
    assert await jobs(sql) == [(f"out:{CHAT}", "todo")]
    # The queue has it begun by this very worker: from now on it is not the turn's any more.
    await sql.execute(
        "update procrastinate_jobs set status = 'doing', worker_id = %s where id = %s",
        (claims.WORKER.get(), claimed.job),
    )
    await claims.release(database, claimed.turn)
    assert await jobs(sql) == [(f"out:{CHAT}", "doing")]
    await Outbox(database, channel, Redactor()).deliver(CHAT)
    assert await said(person) == ["one"]
