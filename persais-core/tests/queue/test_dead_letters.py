"""What keeps failing is set aside, told once, and put back once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import psycopg
import pytest

from persais_core import errors, texts
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane
from persais_core.queue import dead_letters, jobs
from persais_core.queue.dead_letters import DeadLetterError
from persais_core.queue.giving_up import GivingUp
from persais_core.security.redact import Redactor

LANE = Lane(chat_id=1000001)
SECRET = "hunter2-hunter2"


@contextlib.asynccontextmanager
async def working(database: Database, handlers: Mapping[str, jobs.Handler]) -> AsyncIterator[None]:
    """A worker that gives up as a bot's does."""
    on_dead = GivingUp(database, Redactor([SECRET])).take
    task = asyncio.create_task(jobs.Worker(database, handlers, on_dead).run(alone=True))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def new_turn(database: Database, sql: psycopg.AsyncConnection) -> int:
    await sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, 'A', 'ru', false, false) "
        "on conflict do nothing",
        [LANE.chat_id],
    )
    query = "insert into persais.turns (chat_id, user_id, state) values (%s, %s, 'waiting') returning id"
    found = await (await sql.execute(query, (LANE.chat_id, LANE.chat_id))).fetchone()
    assert found
    async with database.session() as session:
        await jobs.defer(session, "turn", lock=LANE.key, turn=found[0])
    return int(found[0])


async def keep(database: Database, **options: object) -> int:
    async with database.session() as session:
        return await dead_letters.keep(session, "job", subject="one", cause="no", **options)  # type: ignore[arg-type]


async def retry(database: Database, number: int) -> None:
    async with database.session() as session:
        await dead_letters.retry(session, number, actor=7)


async def found(sql: psycopg.AsyncConnection, query: str) -> list[tuple[object, ...]]:
    return await (await sql.execute(query.encode())).fetchall()


async def test_a_poison_turn_is_tried_twice_set_aside_and_told_once_and_the_next_goes_on(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    tries: list[int] = []
    next_done, is_mended = asyncio.Event(), False
    poison, after = await new_turn(database, sql), await new_turn(database, sql)

    async def turn(turn: int) -> None:
        tries.append(turn)
        if turn == poison and not is_mended:
            raise ValueError(f"never works, and {SECRET} is in it")
        if turn == after or is_mended:
            next_done.set()

    async def wait_for_letter(count: int) -> None:
        while len(await found(sql, "select from persais.dead_letters where state = 'waiting'")) < count:
            await asyncio.sleep(0.05)

    async def deliver(chat: int) -> None:
        pass

    async with working(database, {"turn": turn, "deliver": deliver}):
        await asyncio.wait_for(next_done.wait(), 30)
        assert tries == [poison, poison, after]
        assert await found(sql, "select kind, subject, cause, tries, state from persais.dead_letters") == [
            ("turn", f"turn {poison}", "ValueError: never works, and [hidden] is in it", 2, "waiting")
        ]
        assert await found(sql, f"select state from persais.turns where id = {poison}") == [("dead",)]
        said = "select body->>'text' from persais.outbox"
        assert await found(sql, said) == [(texts.say("ru", "set-aside"),)]
        await retry(database, 1)
        await wait_for_letter(1)  # it failed again: a letter of its own, and nobody is told a second time
        assert tries == [poison, poison, after, poison, poison]
        assert await found(sql, said) == [(texts.say("ru", "set-aside"),)]
        is_mended = True
        next_done.clear()
        await retry(database, 2)
        await asyncio.wait_for(next_done.wait(), 30)
    assert await found(sql, "select state from persais.dead_letters order by id") == [("retried",), ("retried",)]
    assert await found(sql, "select from procrastinate_jobs where lock like 'chat:%'") == []


@pytest.mark.parametrize(
    "away", [psycopg.OperationalError("the server closed the connection"), errors.ForgeUnavailableError("it is away")]
)
async def test_while_what_it_needs_is_away_a_job_gets_more_tries(
    database: Database, sql: psycopg.AsyncConnection, away: Exception
) -> None:
    tries: list[int] = []
    done = asyncio.Event()

    async def step(number: int) -> None:
        tries.append(number)
        if len(tries) <= jobs.TRIES:
            raise away
        done.set()

    async with database.session() as session:
        await jobs.defer(session, "step", lock=None, number=1)
    async with working(database, {"step": step}):
        await asyncio.wait_for(done.wait(), 30)
    assert await found(sql, "select from persais.dead_letters") == []


async def test_of_two_who_put_a_letter_back_one_is_refused(database: Database, sql: psycopg.AsyncConnection) -> None:
    number = await keep(database, payload={"task": "step", "args": {"number": 5}, "lock": "lane"})
    done = await asyncio.gather(retry(database, number), retry(database, number), return_exceptions=True)
    assert [type(result) for result in done if result is not None] == [DeadLetterError]
    assert await found(sql, "select task_name, lock, args from procrastinate_jobs") == [("step", "lane", {"number": 5})]
    assert await found(sql, "select actor, action, subject from persais.audit") == [
        (7, "dead letter retried", f"dead letter {number}")
    ]


async def test_what_holds_nothing_to_put_back_can_only_be_dropped(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    number = await keep(database)
    with pytest.raises(DeadLetterError, match="can only be dropped"):
        await retry(database, number)
    async with database.session() as session:
        assert (await dead_letters.drop(session, number, actor=None)).state == "dropped"
    for verb in (dead_letters.retry, dead_letters.drop):
        for unknown in (number, 99, 0, 2**70):
            with pytest.raises(DeadLetterError, match="is waiting"):
                async with database.session() as session:
                    await verb(session, unknown, actor=7)
    assert await found(sql, "select action from persais.audit") == [("dead letter dropped",)]


async def test_a_subject_waits_once_with_its_newest_cause_and_keeps_no_secret(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    first = await keep(database)
    async with database.session() as session:
        cause = "refused 123456789:" + "A" * 35
        assert await dead_letters.keep(session, "job", subject="one", cause=cause, tries=3) == first
    assert await found(sql, "select cause, tries from persais.dead_letters") == [("refused [hidden]", 3)]


async def test_a_message_that_is_put_back_is_sent_again(database: Database, sql: psycopg.AsyncConnection) -> None:
    await sql.execute(
        "insert into persais.outbox (key, chat_id, body, version, state, attempts) "
        "values ('turn:1:0', 7, '{\"text\": \"hi\"}', 1, 'failed', 8)"
    )
    number = await keep(database, payload={"outbox": 1})
    await retry(database, number)
    assert await found(sql, "select state, attempts from persais.outbox") == [("queued", 0)]
    assert await found(sql, "select lock from procrastinate_jobs") == [("out:7",)]
