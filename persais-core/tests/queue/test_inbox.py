"""What comes in is stored once, and becomes the right work."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from persais_core.channels.base import Incoming
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.queue.inbox import Inbox, Raw, is_urgent
from updates import HOSTILE, message, press


def read(update: Any, bot_id: int = 77) -> Incoming:
    incoming = parse(update, bot_id=bot_id)
    assert incoming is not None
    return incoming


async def jobs_of(sql: psycopg.AsyncConnection) -> list[tuple[str, str | None, dict[str, int]]]:
    found = await sql.execute("select task_name, lock, args from procrastinate_jobs order by id")
    return await found.fetchall()  # type: ignore[return-value]


async def count(sql: psycopg.AsyncConnection, table: str) -> int:
    found = await (await sql.execute(f"select count(*) from persais.{table}")).fetchone()  # type: ignore[arg-type]
    assert found
    return int(found[0])


async def test_a_message_becomes_an_update_a_turn_and_a_job_of_its_lane(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    assert await Inbox(database).accept(read(message("Hello", user=42)))
    found = await (
        await sql.execute(
            "select u.update_id, t.id, t.chat_id, t.user_id, t.state from persais.updates u "
            "join persais.turns t on t.id = u.turn_id"
        )
    ).fetchall()
    [(update_id, turn, chat, user, state)] = found
    assert (update_id, chat, user, state) == (1, 42, 42, "waiting")
    assert await jobs_of(sql) == [("turn", "chat:42:0", {"turn": turn})]


async def test_an_update_that_comes_again_does_nothing(database: Database, sql: psycopg.AsyncConnection) -> None:
    inbox = Inbox(database)
    assert await inbox.accept(read(message("Hello")))
    assert not await inbox.accept(read(message("Hello")))
    assert not await Inbox(database).accept(read(message("changed on the way")))
    assert (await count(sql, "updates"), await count(sql, "turns"), len(await jobs_of(sql))) == (1, 1, 1)


async def test_an_update_that_comes_twenty_times_at_once_is_taken_once(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox = Inbox(database)
    taken = await asyncio.gather(*(inbox.accept(read(message("Hello"))) for _ in range(20)))
    assert sorted(taken) == [False] * 19 + [True]
    assert (await count(sql, "turns"), len(await jobs_of(sql))) == (1, 1)


async def test_the_same_number_from_another_bot_is_another_update(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox = Inbox(database)
    assert await inbox.accept(read(message("Hello"), bot_id=77))
    assert await inbox.accept(read(message("Hello"), bot_id=78))
    assert await count(sql, "turns") == 2


async def test_each_message_gets_one_turn_in_the_order_they_came(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox = Inbox(database)
    for number in (5, 4, 1, 2, 3):  # ids may go backwards
        await inbox.accept(read(message(f"m{number}", update=number)))
    turns = [args["turn"] for _, _, args in await jobs_of(sql)]
    assert turns == sorted(set(turns))
    stored = "select turn_id, payload -> 'message' ->> 'text' from persais.updates order by id"
    assert await (await sql.execute(stored)).fetchall() == list(zip(turns, ["m5", "m4", "m1", "m2", "m3"], strict=True))


async def test_what_comes_by_many_doors_at_once_has_one_order_by_every_number(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    doors = [Inbox(database) for _ in range(4)]
    await asyncio.gather(*(doors[n % 4].accept(read(message("x", update=n, user=1 + n % 2))) for n in range(60)))
    for user in (1, 2):
        query = (
            "select u.id, u.turn_id, j.id from persais.updates u join procrastinate_jobs j "
            "on (j.args ->> 'turn')::bigint = u.turn_id where u.chat_id = %s order by u.id"
        )
        rows = await (await sql.execute(query, (user,))).fetchall()
        assert len(rows) == 30
        for column in range(3):
            assert [row[column] for row in rows] == sorted(row[column] for row in rows)


async def test_an_urgent_update_goes_beside_the_lane_and_has_no_turn(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox = Inbox(database)
    await inbox.accept(read(press("c:abcdef")))
    await inbox.accept(read(message("/status", update=2)))
    assert [(task, lock) for task, lock, _ in await jobs_of(sql)] == [("urgent", None), ("urgent", None)]
    assert await count(sql, "turns") == 0
    [(_, _, first), _] = await jobs_of(sql)
    assert await inbox.update(first["update"]) == Raw(77, press("c:abcdef"))
    assert await inbox.update(first["update"] + 1000) is None


@pytest.mark.parametrize(
    ("text", "urgent"),
    [
        ("/status", True), ("/STATUS", True), ("/status@persais_bot", True), ("/abort 3", True), ("/claim X", True),
        ("/deploy", True), ("/rollback", True), ("/status\nnow", True), ("/", False), ("/ status", False),
        ("/statuses", False), ("/start", False), ("/mechanic", False), ("status", False), (" /status", False),
        ("", False),
    ],
)  # fmt: skip
def test_only_commands_that_must_not_wait_are_urgent(text: str, urgent: bool) -> None:
    assert is_urgent(read(message(text))) is urgent


@pytest.mark.parametrize(
    ("data", "urgent"), [("c:abc", True), ("", True), ("anything", True), ("agent:echo", False), ("agent:", False)]
)
def test_a_tap_is_urgent_unless_it_chooses_an_agent(data: str, urgent: bool) -> None:
    assert is_urgent(read(press(data))) is urgent


async def test_all_hostile_updates_with_a_number_are_kept_and_the_good_one_among_them_is_answered(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox, kept = Inbox(database), set()
    for update in [*HOSTILE.values(), message("I am fine", user=42, update=5000)]:
        incoming = parse(update, bot_id=77)
        if incoming is not None:
            assert await inbox.accept(incoming), update
            kept.add(incoming.update_id)
    assert len(kept) > 35
    stored = await (await sql.execute("select update_id from persais.updates")).fetchall()
    assert {number for (number,) in stored} == kept
    assert ("turn", "chat:42:0") in {(task, lock) for task, lock, _ in await jobs_of(sql)}


async def test_what_was_stored_reads_like_what_came(database: Database, sql: psycopg.AsyncConnection) -> None:
    inbox = Inbox(database)
    first = read(json.loads(json.dumps(message("Ё 🎭 \U0001f9e9"))))
    await inbox.accept(first)
    [(bot, payload)] = await (await sql.execute("select bot_id, payload from persais.updates")).fetchall()
    assert parse(payload, bot_id=bot) == first


async def test_a_turn_that_broke_is_asked_again_with_all_its_messages(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    inbox = Inbox(database)
    for number in (1, 2):
        await inbox.accept(read(message(f"m{number}", update=number)))
    await sql.execute("update persais.updates set turn_id = 1")
    await sql.execute("delete from persais.turns where id = 2")
    await sql.execute("update persais.turns set state = 'failed', finished_at = now()")
    assert await inbox.again(datetime(2026, 1, 1, tzinfo=UTC)) == 1
    [fresh] = await (await sql.execute("select id from persais.turns where state = 'waiting'")).fetchall()
    assert await (await sql.execute("select distinct turn_id from persais.updates")).fetchall() == [fresh]


async def test_a_failure_while_storing_leaves_neither_update_nor_job(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    await sql.execute("alter table persais.turns add constraint no_more check (chat_id < 0)")
    with pytest.raises(Exception, match="no_more"):
        await Inbox(database).accept(read(message("Hello")))
    assert (await count(sql, "updates"), await jobs_of(sql)) == (0, [])
    await sql.execute("alter table persais.turns drop constraint no_more")
    assert await Inbox(database).accept(read(message("Hello")))
