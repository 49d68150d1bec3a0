"""Many chats at once over several processes, while those are killed and the database goes away.

`make test-load` runs it in full and prints the counts; `make test` runs a small version.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet
import psycopg
import pytest
import senders

import updates
from persais_core.db.embedded import EmbeddedPostgres

FIRST_CHAT = 5001
ECHO = 'return "Echo: " + message.text'
NUMBER = re.compile(r"#(\d+)")
MAX_GROWTH = 96.0  # MB that a process may hold more after thousands of strange updates


@dataclass(frozen=True)
class Size:
    """How much of it.

    Args:
        processes: name and role of each.
        harm: what is done at which share of the messages: `kill NAME` (it is started again), `lose NAME` (it is not),
            or `restart database`.
        pause: seconds between two messages of a chat, on average.
    """

    chats: int
    messages: int
    processes: tuple[tuple[str, str], ...]
    harm: tuple[tuple[float, str], ...]
    hostile: int
    pause: float


SMALL = Size(
    8, 12, processes=(("one", "all"), ("two", "all")), harm=((0.4, "lose one"),), hostile=300, pause=0.05
)  # fmt: skip
FULL = Size(
    50, 40,
    processes=(("web1", "web"), ("web2", "web"), ("worker1", "worker"), ("worker2", "worker")),
    harm=(
        (0.1, "kill web1"), (0.2, "kill worker1"), (0.35, "restart database"), (0.5, "kill worker2"),
        (0.6, "kill web2"), (0.7, "kill worker1"), (0.8, "restart database"), (0.9, "kill worker2"),
    ),
    hostile=10_000,
    pause=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def size() -> Size:
    return FULL if os.environ.get("PERSAIS_LOAD") == "full" else SMALL


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("load") / "pg", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bot with an agent that needs no model."""
    folder = tmp_path_factory.mktemp("project") / "bot"
    for arguments, cwd in ((("new", str(folder)), None), (("scaffold", "agent", "echo"), folder)):
        subprocess.run([sys.executable, "-m", "persais_core", *arguments], cwd=cwd, check=True, capture_output=True)
    file = folder / "bot" / "agents" / "echo.py"
    file.write_text(file.read_text().replace("return message.text", ECHO))
    return folder


@pytest.fixture(scope="module")
async def whole(
    size: Size, postgres: EmbeddedPostgres, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[fleet.Fleet]:
    async with fleet.Telegram().served() as telegram:
        made = fleet.Fleet(project, tmp_path_factory.mktemp("fleet"), postgres, telegram)
        users = ",".join(str(FIRST_CHAT + n) for n in range(size.chats + 1))
        made.environment = {"ALLOWED_USER_IDS": users}
        minding = asyncio.create_task(made.mind())
        try:
            await made.ready(*[await made.start(name, role) for name, role in size.processes])
            yield made
        finally:
            minding.cancel()
            await made.stop()


async def test_nothing_is_lost_or_doubled_or_out_of_order_while_processes_are_killed(
    whole: fleet.Fleet, size: Size
) -> None:
    sender, began = senders.Sender(whole), time.monotonic()
    total = size.chats * size.messages
    chats = [FIRST_CHAT + n for n in range(size.chats)]
    talks = []
    for position, chat in enumerate(chats):
        texts = ["/echo", *(f"#{n} of {chat}" for n in range(1, size.messages))]
        # The command comes first whatever the order of the rest.
        talks.append(sender.chat(chat, texts, 1_000_000 - position * 1000, size.pause))
    harming = asyncio.create_task(harm(whole, sender.posted, size, total))
    await asyncio.gather(*talks, harming)
    posted = time.monotonic() - began
    await until_quiet(whole)
    answered = time.monotonic() - began
    await sender.aclose()
    async with await psycopg.AsyncConnection.connect(whole.postgres.url()) as sql:
        rows = await (
            await sql.execute(
                "select u.chat_id, u.update_id, u.turn_id, t.state, u.payload -> 'message' ->> 'text' "
                "from persais.updates u left join persais.turns t on t.id = u.turn_id order by u.id"
            )
        ).fetchall()
        doubts = await (await sql.execute("select coalesce(sum(doubts), 0) from persais.outbox")).fetchone()
        letters = await (await sql.execute("select count(*) from persais.dead_letters")).fetchone()
    assert doubts and letters
    order: dict[int, list[int]] = collections.defaultdict(list)
    for chat, _, _, _, text in rows:
        order[chat] += map(int, NUMBER.findall(text))
    replies = {chat: [reply for reply in whole.telegram.said[chat] if "#" in reply] for chat in chats}
    doubled = sum(len(said) - len(set(said)) for said in replies.values())
    told = {
        chat: [int(n) for reply in dict.fromkeys(said) for n in NUMBER.findall(reply)] for chat, said in replies.items()
    }
    wrong = [chat for chat in chats if told[chat] != order[chat]]
    turns = {turn for _, _, turn, _, _ in rows}
    report(
        f"{size.chats} chats, {total} messages, {sender.posted.extra} of them posted again, "
        f"{sender.posted.refused} posts refused or unanswered and repeated",
        f"{whole.kills} kill -9, {whole.restarts} restarts of the database",
        f"posted in {posted:.1f} s, all answered after {answered:.1f} s",
        f"stored {len(rows)} of {total}; in exactly one turn {sum(state == 'done' for *_, state, _ in rows)} "
        f"({len(turns)} turns); dead letters {letters[0]}",
        f"chats answered in the order of acceptance {len(chats) - len(wrong)} of {len(chats)}",
        f"replies sent twice {doubled}; sends in flight at a kill {doubts[0]}",
    )
    assert len(rows) == total
    assert {update for _, update, _, _, _ in rows} == sender.posted.accepted
    assert {state for _, _, _, state, _ in rows} == {"done"}
    assert letters == (0,)
    assert wrong == []
    assert 500 not in sender.posted.statuses
    # Not one for each kill: a worker that is killed may be sending to several chats at that moment.
    assert doubled <= doubts[0]


async def test_thousands_of_strange_updates_harm_nothing_and_the_good_ones_among_them_are_answered(
    whole: fleet.Fleet, size: Size
) -> None:
    sender, rng = senders.Sender(whole, seed=7), random.Random(7)
    chat = FIRST_CHAT + size.chats
    await sender.until_taken(updates.message("/echo", user=chat, update=2_000_000))
    await whole.ready(*whole.webs())
    before = {web.name: web.memory for web in whole.webs()}
    strange, good, began = iter(range(size.hostile)), [], time.monotonic()

    async def post() -> None:
        for number in strange:
            if number % 100 == 50:
                good.append(number)
                await sender.until_taken(updates.message(f"#{number}", user=chat, update=2_000_001 + number))
            else:
                assert await sender.once(content_of(rng, number)) != 0

    await asyncio.gather(*(post() for _ in range(16)))
    took = time.monotonic() - began
    after = {web.name: web.memory for web in whole.webs()}
    await until_quiet(whole)
    await sender.aclose()
    answered = numbers(whole.telegram.said[chat])
    growth = {name: after[name] - before[name] for name in before}
    report(
        f"{size.hostile} strange updates in {took:.1f} s, answered {dict(sorted(sender.posted.statuses.items()))}",
        f"good ones among them answered {len(answered)} of {len(good)}",
        "memory " + ", ".join(f"{name} {before[name]:.0f} -> {after[name]:.0f} MB" for name in before),
    )
    assert set(sender.posted.statuses) <= {200, 413}
    assert sorted(answered) == sorted(good)
    assert max(growth.values()) < MAX_GROWTH


async def test_processes_that_are_told_to_stop_end_what_they_began(whole: fleet.Fleet, size: Size) -> None:
    sender, chat = senders.Sender(whole, seed=9), FIRST_CHAT
    for number in range(5):
        await sender.until_taken(updates.message(f"#{900 + number}", user=chat, update=3_000_000 + number))
    took = await whole.stop()
    await sender.aclose()
    async with await psycopg.AsyncConnection.connect(whole.postgres.url()) as sql:
        running = await (await sql.execute("select count(*) from procrastinate_jobs where status = 'doing'")).fetchone()
    report("stopped after " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(took.items())))
    assert running == (0,)
    assert max(took.values()) < 30


async def harm(whole: fleet.Fleet, posted: senders.Posted, size: Size, total: int) -> None:
    """Do the harm of a size, each at its share of the messages."""
    for share, what in size.harm:
        while len(posted.accepted) < share * total:
            await asyncio.sleep(0.05)
        verb, _, name = what.partition(" ")
        if verb == "restart":
            await whole.restart_database()
            continue
        await whole.kill(name, for_good=verb == "lose")


async def until_quiet(whole: fleet.Fleet) -> None:
    """Wait until nothing is left to answer or to send."""
    left = (
        "select (select count(*) from persais.turns where state in ('waiting', 'working')) "
        "+ (select count(*) from persais.outbox where state in ('queued', 'sending'))"
    )
    async with asyncio.timeout(240):
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(whole.postgres.url()) as sql:
                    if await (await sql.execute(left)).fetchone() == (0,):
                        return
            await asyncio.sleep(0.2)


STRANGE = list(updates.HOSTILE.values())


def content_of(rng: random.Random, number: int) -> bytes:
    """One strange body: no JSON, JSON of another shape, a hostile update, or a good one with a part replaced."""
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(200))
        case 1:
            return json.dumps(rng.choice(STRANGE)).encode()
        case 2:
            return json.dumps(
                {"update_id": 5_000_000 + number, f"kind{rng.randrange(9)}": {"a": [None, 1e308]}}
            ).encode()
        case 3:
            if rng.randrange(40) == 0:
                return b'{"update_id": %d, "x": "%s"}' % (6_000_000 + number, b"x" * rng.randrange(2**19, 2**21))
            return b'{"update_id": %d, "message": %s}' % (6_000_000 + number, b"[" * 500 + b"]" * 500)
        case 4:
            edited = updates.message("/rollback", update=7_000_000 + number)
            edited["edited_message"] = edited.pop("message")
            return json.dumps(edited).encode()
    changed: Any = updates.message("hello", user=rng.choice([1, -1, 2**63]), update=8_000_000 + number)
    changed["message"][rng.choice(list(changed["message"]))] = rng.choice(STRANGE)
    changed["message"]["from"] = rng.choice([None, 5, {"id": "x"}, {"id": 6, "is_bot": True}])
    return json.dumps(changed).encode()


def numbers(said: list[str]) -> list[int]:
    """Those of the messages that replies answer, in their order; a reply that came twice counts once."""
    return [int(number) for reply in dict.fromkeys(said) for number in NUMBER.findall(reply)]


def report(*lines: str) -> None:
    """Print what was counted."""
    print("\n  " + "\n  ".join(lines), flush=True)
