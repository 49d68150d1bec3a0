"""What is said in one go is one turn, and nothing is in two."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from persais_core.channels.base import Incoming
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Message, Turn, User
from persais_core.queue import jobs, lanes
from persais_core.queue.inbox import Inbox, Raw
from persais_core.security.access import Known
from updates import message, press

ANN, BOB = 1000001, 1000002
AGENTS = {"poem": "poet", "verse": "poet", "sum": "clerk"}


def read(raw: Raw) -> Incoming | None:
    return parse(raw.payload, bot_id=raw.bot_id)


def calls(text: str, holder: str | None) -> str | None:
    if holder == "mechanic":  # lets nobody be called away
        return None
    return next((agent for word, agent in AGENTS.items() if word in text.split()), None)


def gatherer(database: Database, debounce: float = 0.05) -> lanes.Lanes:
    return lanes.Lanes(database, read=read, calls=calls, debounce=debounce)


class Group:
    """One lane, and what its people say in it."""

    def __init__(self, database: Database) -> None:
        self.inbox, self.number = Inbox(database), 0

    async def says(self, text: str, *, user: int = ANN, **fields: Any) -> None:
        self.number += 1
        update = message(text, user=ANN, update=self.number)
        update["message"]["from"]["id"] = user
        update["message"] |= fields
        await self._accept(update)

    async def taps(self, data: str) -> None:
        self.number += 1
        await self._accept(press(data, user=ANN, update=self.number))

    async def _accept(self, update: dict[str, Any]) -> None:
        incoming = parse(update, bot_id=77)
        assert incoming and await self.inbox.accept(incoming)


@pytest.fixture
def lane(database: Database) -> Group:
    return Group(database)


async def turns(database: Database, sql: psycopg.AsyncConnection, debounce: float = 0.05) -> list[str]:
    """The texts of each turn of the lane, joined, as a worker would meet them one after the other."""
    told = []
    while job := await (
        await sql.execute("select id, args from procrastinate_jobs where status = 'todo' order by id limit 1")
    ).fetchone():
        await sql.execute("update procrastinate_jobs set status = 'doing' where id = %s", (job[0],))
        if "turn" in job[1]:
            gathered = await gatherer(database, debounce).gather(job[1]["turn"])
            assert gathered
            said = [p.message.text if p.message else f"[{p.press.data}]" for p in gathered.parts if p]  # type: ignore[union-attr]
            told.append(" + ".join(said))
            await sql.execute("update persais.turns set state = 'done' where id = %s", (job[1]["turn"],))
        else:
            told.append("(another job)")
        await sql.execute("delete from procrastinate_jobs where id = %s", (job[0],))
    return told


async def test_quick_messages_are_one_turn_and_each_update_is_in_exactly_one(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    for text in ("I want", "a thing", "that works"):
        await lane.says(text)
    assert await turns(database, sql) == ["I want + a thing + that works"]
    assert await (await sql.execute("select id, state from persais.turns")).fetchall() == [(1, "done")]
    assert await (await sql.execute("select distinct turn_id from persais.updates")).fetchall() == [(1,)]


async def test_without_debounce_each_message_is_a_turn(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    for text in ("one", "two"):
        await lane.says(text)
    assert await turns(database, sql, debounce=0) == ["one", "two"]


FORWARDED = {"forward_origin": {"type": "user"}}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["a", "/echo", "b", "c"], ["a", "/echo", "b + c"]),
        (["/echo", "a"], ["/echo", "a"]),
        (["a", ("[agent:echo]", {}), "b"], ["a", "[agent:echo]", "b"]),
        (["hello", "a poem please", "about verse"], ["hello", "a poem please + about verse"]),
        (["a poem please", "and a sum"], ["a poem please", "and a sum"]),
        (["a poem please", "on the sea"], ["a poem please + on the sea"]),
        (["a", ("b", {"reply_to_message": {"message_id": 4}}), "c"], ["a", "b + c"]),
        (
            [("a", {"reply_to_message": {"message_id": 4}}), ("b", {"reply_to_message": {"message_id": 4}})],
            ["a + b"],
        ),
        (["a", ("b", {"user": BOB}), "c"], ["a", "b", "c"]),
        (["look", ("/echo", FORWARDED), ("a poem", FORWARDED), "nice"], ["look + /echo + a poem + nice"]),
        ([str(n) for n in range(13)], [" + ".join(map(str, range(10))), "10 + 11 + 12"]),
        (
            [*map(str, range(8)), *[("", {"media_group_id": "x", "photo": [1]})] * 4],
            [" + ".join(map(str, range(8))), " +  +  + "],
        ),
    ],
    ids=[
        "command inside", "command first", "button", "keyword", "two keywords", "after a keyword", "answer",
        "answers to one", "another person", "forwarded", "more than ten", "album is not split",
    ],
)  # fmt: skip
async def test_a_turn_ends_before_whatever_wants_something_else(
    database: Database,
    sql: psycopg.AsyncConnection,
    lane: Group,
    said: list[str | tuple[str, dict[str, Any]]],
    expected: list[str],
) -> None:
    for one in said:
        text, fields = one if isinstance(one, tuple) else (one, {})
        await (lane.taps(text[1:-1]) if text.startswith("[") else lane.says(text, **fields))
    assert await turns(database, sql) == expected


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        ("mechanic", ["Make me an agent + that writes a poem + of four lines"]),
        ("poet", ["Make me an agent + that writes a poem + of four lines"]),
        ("clerk", ["Make me an agent", "that writes a poem + of four lines"]),
    ],
)
async def test_a_word_that_calls_whoever_holds_the_lane_or_that_they_need_not_heed_ends_no_turn(
    database: Database, sql: psycopg.AsyncConnection, lane: Group, holder: str, expected: list[str]
) -> None:
    await lane.says("earlier")
    assert await turns(database, sql) == ["earlier"]
    await sql.execute("update persais.turns set agent = %s", (holder,))
    for text in ("Make me an agent", "that writes a poem", "of four lines"):
        await lane.says(text)
    assert await turns(database, sql) == expected


async def test_what_stands_between_two_messages_in_the_line_keeps_them_apart(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    await lane.says("a")
    async with database.session() as session:
        await jobs.defer(session, "preview", lock=Lane(chat_id=ANN).key, change=1)
    await lane.says("b")
    assert await turns(database, sql) == ["a", "(another job)", "b"]


async def test_a_message_that_comes_while_its_lane_is_still_open_joins(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    await lane.says("first")
    gathering = asyncio.create_task(gatherer(database, debounce=1.0).gather(1))
    await lane.says("second")
    gathered = await gathering
    assert gathered
    assert [part.message.text for part in gathered.parts if part and part.message] == ["first", "second"]


async def test_a_turn_that_is_repeated_after_a_kill_is_the_same_turn(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    for text in ("one", "two"):
        await lane.says(text)
    first = await gatherer(database).gather(1)
    await lane.says("three")
    again = await gatherer(database).gather(1)
    assert first == again
    assert first
    assert len(first.parts) == 2
    await sql.execute("update persais.turns set state = 'done' where id = 1")
    assert await gatherer(database).gather(1) is None


async def test_two_workers_that_close_one_turn_at_once_agree(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    for number in range(4):
        await lane.says(str(number))
    both = await asyncio.gather(*(gatherer(database, 0.01).gather(1) for _ in range(5)))
    assert all(one == both[0] for one in both)
    assert both[0]
    assert len(both[0].parts) == 4


async def test_a_turn_comes_with_whoever_speaks_and_whether_the_lane_tries_a_candidate(
    database: Database, sql: psycopg.AsyncConnection, lane: Group
) -> None:
    await lane.says("Hello")
    new = await gatherer(database, 0).gather(1)
    assert new
    assert (new.lane, new.known, new.is_tried) == (Lane(chat_id=ANN), None, False)
    await sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, 'Ann', 'ru', true, false)",
        (ANN,),
    )
    await sql.execute(
        "insert into persais.previews (lane, change_id, commit, agent) values (%s, 1, 'c', 'echo')",
        (Lane(chat_id=ANN).key,),
    )
    owner = await gatherer(database, 0).gather(1)
    assert owner
    assert (owner.known, owner.is_tried) == (Known("Ann", "ru", is_admin=True), True)


def test_messages_of_a_turn_read_as_one() -> None:
    parts = (
        Message(text="look", reply_to=7),
        Message(text="", attachment="photo"),
        Message(text="/rollback", is_forwarded=True),
    )
    turn = Turn(id=1, lane=Lane(chat_id=1), user=User(id=1), messages=parts)
    assert turn.message == Message(text="look\n/rollback", attachment="photo", reply_to=7, is_forwarded=True)
    assert not turn.is_own_words
    assert Turn(id=1, lane=Lane(chat_id=1), user=User(id=1), message=parts[0]).messages == parts[:1]  # type: ignore[call-arg]
