"""What keeps failing is set aside, told once, and put back once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from typing import get_args

import psycopg
import pytest

from persais_core import errors, texts
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.db.tables.evolution import ChangeRow, Deployment
from persais_core.db.tables.people import Person
from persais_core.domain.changes import Change, Notice
from persais_core.domain.chats import Lane, User
from persais_core.domain.tasks import Task
from persais_core.queue import jobs, letters
from persais_core.queue.giving_up import GivingUp
from persais_core.queue.letters import LetterError
from persais_core.security.redact import Redactor
from updates import message

LANE = Lane(chat_id=1000001)
SECRET = "hunter2-hunter2"


def giving_up(database: Database) -> GivingUp:
    return GivingUp(database, Redactor([SECRET]), read=functools.partial(parse, bot_id=77))


@contextlib.asynccontextmanager
async def working(database: Database, handlers: Mapping[Task, jobs.Handler]) -> AsyncIterator[None]:
    """A worker that gives up as a bot's does."""
    task = asyncio.create_task(jobs.Worker(database, handlers, giving_up(database).take).run(alone=True))
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
        return await letters.keep(session, "job", subject="one", cause="no", redactor=Redactor(), **options)  # type: ignore[arg-type]


async def retry(database: Database, number: int) -> None:
    async with database.session() as session:
        await letters.retry(session, number, actor=7)


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


ANN, BOB = User(id=1000001, language="ru"), User(id=1000002, language="en")
FORUM, ELSEWHERE = Lane(chat_id=-5, topic_id=3), Lane(chat_id=-6)
NOWHERE = None
SPOKEN = {"chat": ELSEWHERE.chat_id, "topic": 0}
WAITING: dict[Task, tuple[dict[str, object], tuple[Lane, str] | None]] = {
    "turn": ({"turn": 1}, (FORUM, "ru")),
    "urgent": ({"update": 1}, (FORUM, "ru")),
    "deliver": ({"chat": FORUM.chat_id}, NOWHERE),
    "change": ({"change": 1}, (FORUM, "ru")),
    "decide": ({"change": 1, "decision": "deploy", "user": BOB.id}, (FORUM, "ru")),
    "deployed": ({"deployment": 1}, (FORUM, "ru")),
    "confirmed": ({"deployment": 1}, (FORUM, "ru")),
    "rollback": ({"what": "1", "user": ANN.id, **SPOKEN}, (ELSEWHERE, "ru")),
    "diff": ({"change": 1, "user": BOB.id, **SPOKEN}, (ELSEWHERE, "en")),
    "preview": ({"change": 1, "language": "ru", "token": "t", **SPOKEN}, (ELSEWHERE, "ru")),
    "stop_preview": ({"change": 1, "language": "en", **SPOKEN}, (ELSEWHERE, "en")),
}
"""Of each task a job, and where and in which language it is told that it was given up. Ann asked for it all."""


async def asked_in_a_forum(database: Database) -> None:
    """What Ann asked for in a topic: a turn, a command, and a change, which was deployed and then taken back by Bob."""
    notice = Notice(key="n", chat_id=ELSEWHERE.chat_id, language="en")
    change = Change(
        id=1,
        chat_id=FORUM.chat_id,
        topic_id=FORUM.topic_id,
        user_id=ANN.id,
        request="echo",
        language="ru",
        merge_commit="merge",
        rollback_notice=notice,
    )
    payload = message("/status", user=ANN.id)
    async with database.session() as session:
        session.add_all(Person(id=user.id, language=user.language) for user in (ANN, BOB))
        session.add(
            ChangeRow(chat_id=FORUM.chat_id, user_id=ANN.id, state="deployed", body=change.model_dump(mode="json"))
        )
        session.add(Turn(chat_id=FORUM.chat_id, topic_id=FORUM.topic_id, user_id=ANN.id))
        update = Update(bot_id=77, update_id=1, kind="message", payload=payload)
        update.chat_id, update.topic_id = FORUM.chat_id, FORUM.topic_id
        session.add(update)
        for commit in ("merge", "revert"):
            session.add(Deployment(change_id=1, commit=commit))
            await session.flush()


def given_up(task: Task, args: dict[str, object]) -> jobs.Dead:
    return jobs.Dead(task=task, args=args, lock=None, tries=2, cause="ValueError")


async def told(sql: psycopg.AsyncConnection) -> list[tuple[object, ...]]:
    return await found(sql, "select chat_id, topic_id, body->>'text' from persais.outbox")


def said(where: tuple[Lane, str] | None) -> list[tuple[object, ...]]:
    if where is None:
        return []
    lane, language = where
    return [(lane.chat_id, lane.topic_id, texts.say(texts.language_of(language), "set-aside"))]


@pytest.mark.parametrize("task", letters.KINDS)
async def test_whoever_waits_for_a_job_that_is_given_up_is_told_where_and_in_the_language_in_which_they_asked(
    database: Database, sql: psycopg.AsyncConnection, task: Task
) -> None:
    await asked_in_a_forum(database)
    args, where = WAITING[task]
    await giving_up(database).take(given_up(task, args))
    assert await told(sql) == said(where)
    assert await found(sql, "select kind from persais.dead_letters") == [(letters.KINDS[task],)]


async def test_of_the_deployment_of_a_rollback_whoever_took_the_change_back_is_told(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    await asked_in_a_forum(database)
    await giving_up(database).take(given_up("deployed", {"deployment": 2}))
    assert await told(sql) == said((ELSEWHERE, "en"))


async def test_a_job_about_what_is_not_there_any_more_is_set_aside_and_told_to_nobody(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    gone: dict[Task, str] = {"turn": "turn", "urgent": "update", "change": "change", "deployed": "deployment"}
    for task, name in gone.items():
        await giving_up(database).take(given_up(task, {name: 99}))
    assert await told(sql) == []
    assert len(await found(sql, "select from persais.dead_letters")) == len(gone)


def test_each_task_is_of_a_kind() -> None:
    assert set(letters.KINDS) == set(get_args(Task))


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
        await jobs.defer(session, "change", lock=None, number=1)
    async with working(database, {"change": step}):
        await asyncio.wait_for(done.wait(), 30)
    assert await found(sql, "select from persais.dead_letters") == []


async def test_of_two_who_put_a_letter_back_one_is_refused(database: Database, sql: psycopg.AsyncConnection) -> None:
    number = await keep(database, payload={"task": "change", "args": {"number": 5}, "lock": "lane"})
    done = await asyncio.gather(retry(database, number), retry(database, number), return_exceptions=True)
    assert [type(result) for result in done if result is not None] == [LetterError]
    assert await found(sql, "select task_name, lock, args from procrastinate_jobs") == [
        ("change", "lane", {"number": 5})
    ]
    assert await found(sql, "select actor, action, subject from persais.audit") == [
        (7, "dead letter retried", f"dead letter {number}")
    ]


async def test_what_holds_nothing_to_put_back_can_only_be_dropped(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    number = await keep(database)
    with pytest.raises(LetterError, match="can only be dropped"):
        await retry(database, number)
    async with database.session() as session:
        assert (await letters.drop(session, number, actor=None)).state == "dropped"
    for verb in (letters.retry, letters.drop):
        for unknown in (number, 99, 0, 2**70):
            with pytest.raises(LetterError, match="is waiting"):
                async with database.session() as session:
                    await verb(session, unknown, actor=7)
    assert await found(sql, "select action from persais.audit") == [("dead letter dropped",)]


async def test_a_subject_waits_once_with_its_newest_cause_and_keeps_no_secret(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    first = await keep(database)
    async with database.session() as session:
        cause = "refused 123456789:" + "A" * 35
        assert await letters.keep(session, "job", subject="one", cause=cause, redactor=Redactor(), tries=3) == first
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
