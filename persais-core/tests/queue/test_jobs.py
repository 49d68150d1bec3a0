"""The queue: order, transactions, and what a killed worker leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping

import psycopg
import pytest
import structlog.testing

from persais_core.db.engine import Database
from persais_core.domain.tasks import Task
from persais_core.queue import jobs


@contextlib.asynccontextmanager
async def working(
    database: Database, handlers: Mapping[Task, jobs.Handler], *, alone: bool = True
) -> AsyncIterator[None]:
    """A worker that leads, for the time of the block."""
    task = asyncio.create_task(jobs.Worker(database, handlers).run(alone=alone))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def put(database: Database, task: Task, lock: str | None = None, delay: float = 0.0, **args: int) -> None:
    async with database.session() as session:
        await jobs.defer(session, task, lock=lock, delay=delay, **args)


async def test_jobs_of_one_lock_run_one_at_a_time_in_order_and_beside_those_of_another(database: Database) -> None:
    started: list[tuple[int, int]] = []
    running: set[int] = set()
    overlaps: set[frozenset[int]] = set()
    both, done = asyncio.Event(), asyncio.Event()

    async def handler(lane: int, number: int) -> None:
        assert lane not in running, "two jobs of one lock ran at once"
        running.add(lane)
        started.append((lane, number))
        overlaps.add(frozenset(running))
        if len(running) == 2:
            both.set()
        if number == 0:
            await both.wait()  # only passed when the other lane runs meanwhile
        await asyncio.sleep(0)
        running.discard(lane)
        if len(started) == 10:
            done.set()

    for number in range(5):
        for lane in (1, 2):
            await put(database, "change", f"lane:{lane}", lane=lane, number=number)
    async with working(database, {"change": handler}):
        await asyncio.wait_for(done.wait(), 30)
    for lane in (1, 2):
        assert [number for at, number in started if at == lane] == [0, 1, 2, 3, 4]
    assert frozenset({1, 2}) in overlaps


async def test_a_job_is_there_if_and_only_if_its_transaction_commits(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            await jobs.defer(session, "diff", lock=None)
            raise ZeroDivisionError
    async with database.session() as session:
        await jobs.defer(session, "rollback", lock=None)
        assert await tasks(sql) == []
    assert await tasks(sql) == ["rollback"]


async def test_a_job_put_while_the_worker_waits_is_run(database: Database) -> None:
    done: asyncio.Queue[int] = asyncio.Queue()

    async def handler(number: int) -> None:
        await done.put(number)

    async with working(database, {"change": handler}):
        for number in (1, 2):
            await put(database, "change", number=number)
            assert await asyncio.wait_for(done.get(), 30) == number


async def test_a_job_that_raises_is_tried_again_and_then_gone(database: Database, sql: psycopg.AsyncConnection) -> None:
    tries: list[int] = []
    done = asyncio.Event()

    async def handler(number: int) -> None:
        tries.append(number)
        if len(tries) == 1:
            raise OSError("the disk is away")
        done.set()

    await put(database, "change", number=7)
    async with working(database, {"change": handler}):
        await asyncio.wait_for(done.wait(), 30)
    assert tries == [7, 7]
    assert await tasks(sql) == []


async def test_a_job_with_a_delay_is_not_due_yet(database: Database, sql: psycopg.AsyncConnection) -> None:
    await put(database, "change", delay=3600.0, number=1)
    found = await (await sql.execute("select scheduled_at > now() from procrastinate_jobs")).fetchall()
    assert found == [(True,)]


async def test_a_freed_lock_announces_its_successor_and_a_job_without_lock_nothing(
    database: Database, sql: psycopg.AsyncConnection, core_url: str
) -> None:
    await put(database, "change", "lane", number=1)
    await put(database, "decide", number=2)
    async with await psycopg.AsyncConnection.connect(core_url, autocommit=True) as listener:
        await listener.execute("listen procrastinate_any_queue_v1")
        for task, announced in (("decide", 0), ("change", 1)):
            await sql.execute("update procrastinate_jobs set status = 'doing' where task_name = %s", (task,))
            await sql.execute("update procrastinate_jobs set status = 'succeeded' where task_name = %s", (task,))
            await sql.execute("notify procrastinate_any_queue_v1, 'end'")
            heard = []
            async for note in listener.notifies(timeout=10):
                if note.payload == "end":
                    break
                heard.append(note.payload)
            assert len(heard) == announced, task
            assert all("job_inserted" in payload for payload in heard)


async def test_only_the_leader_takes_what_is_no_chat_and_a_turn_it_must_answer_keeps_its_place(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    leading, seen, done = asyncio.Event(), list[str](), asyncio.Event()

    def by(name: str, leads: asyncio.Event) -> Mapping[Task, jobs.Handler]:
        async def turn(turn: int) -> None:
            if turn == 1 and not leads.is_set():
                raise jobs.ElsewhereError
            seen.append(f"{name} turn {turn}")
            if turn == 3:
                done.set()

        async def change(change: int) -> None:
            seen.append(f"{name} change {change}")

        return {"turn": turn, "change": change}

    await put(database, "change", "change:7", change=7)
    for number in (1, 2, 3):
        await put(database, "turn", "chat:1:0", turn=number)
    never = asyncio.Event()
    other = asyncio.create_task(jobs.Worker(database, by("other", never)).run(alone=False, leading=never))
    moved = "select count(*) from procrastinate_jobs where queue_name = 'persais.leader'"
    async with asyncio.timeout(30):
        while await (await sql.execute(moved)).fetchone() != (2,):
            await asyncio.sleep(0.05)
    assert seen == []
    leader = asyncio.create_task(jobs.Worker(database, by("leader", leading)).run(alone=False, leading=leading))
    leading.set()
    await asyncio.wait_for(done.wait(), 30)
    for task in (other, leader):
        task.cancel()
    await asyncio.wait([other, leader])
    assert "leader change 7" in seen
    answered = [what.partition(" ")[2] for what in seen if "turn" in what]
    assert answered == ["turn 1", "turn 2", "turn 3"]
    assert "leader turn 1" in seen


async def test_what_a_dead_worker_held_is_taken_up_and_what_a_slow_one_holds_is_not(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    seen: list[int] = []
    taken = asyncio.Event()

    async def turn(turn: int) -> None:
        seen.append(turn)
        taken.set()

    # Two workers that have not been heard of for a while: one was killed, of the other the process lives.
    for number in (1, 2):
        await put(database, "turn", f"chat:{number}:0", turn=number)
        await sql.execute("insert into procrastinate_workers (last_heartbeat) values (now() - interval '20 s')")
    await sql.execute("update procrastinate_jobs set status = 'doing', worker_id = id")
    await sql.execute("select pg_advisory_lock(%s, 2)", (jobs.VOUCH_LOCKS,))
    async with working(database, {"turn": turn}, alone=False):
        await asyncio.wait_for(taken.wait(), 30)
    # One look found both, so the other was let be.
    assert seen == [1]
    assert await (await sql.execute("select worker_id, status from procrastinate_jobs")).fetchall() == [(2, "doing")]


async def test_a_job_that_has_ended_wakes_whoever_waits_for_its_lock_in_whichever_queue(
    database: Database, sql: psycopg.AsyncConnection, core_url: str
) -> None:
    await put(database, "turn", "lane", turn=1)
    async with await psycopg.AsyncConnection.connect(core_url, autocommit=True) as listener:
        await listener.execute('listen "procrastinate_queue_v1#persais.leader"')
        for after in (1, 2):
            await sql.execute("update procrastinate_jobs set status = 'doing' where id = %s", (after,))
            if after == 1:
                await put(database, "preview", "lane", change=1)
                assert [note async for note in listener.notifies(timeout=10, stop_after=1)]
            await sql.execute("select procrastinate_finish_job_v1(%s, 'succeeded', true)", (after,))
            await sql.execute("""notify "procrastinate_queue_v1#persais.leader", 'end'""")
            heard = []
            async for note in listener.notifies(timeout=10):
                if note.payload == "end":
                    break
                heard.append(note.payload)
            assert len(heard) == (1 if after == 1 else 0)


CHILD = """
import asyncio, sys
from persais_core.db.engine import Database
from persais_core.queue.jobs import Worker

async def main():
    database = Database(sys.argv[1])
    await database.open()
    async def step(number):
        print("begun", number, flush=True)
        await asyncio.sleep(600)
    await Worker(database, {"change": step}).run(alone=True)

asyncio.run(main())
"""


async def test_a_job_whose_end_could_not_be_noted_at_first_holds_up_nothing(
    database: Database, sql: psycopg.AsyncConnection, core_url: str
) -> None:
    """The database ends the connection on which the worker says that the job is done; the worker lives on."""
    done: asyncio.Queue[int] = asyncio.Queue()
    blocked = (
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where wait_event_type = 'Lock' and query like '%procrastinate_finish_job%'"
    )

    async def handler(number: int) -> None:
        if number == 1:
            await sql.execute("begin")
            await sql.execute("select from procrastinate_jobs for update")
        await done.put(number)

    await put(database, "change", "lane", number=1)
    await put(database, "change", "lane", number=2)
    async with working(database, {"change": handler}):
        assert await asyncio.wait_for(done.get(), 30) == 1
        async with await psycopg.AsyncConnection.connect(core_url, autocommit=True) as other, asyncio.timeout(30):
            while not await (await other.execute(blocked)).fetchall():
                await asyncio.sleep(0.05)
        await sql.execute("rollback")
        assert await asyncio.wait_for(done.get(), 30) == 2
    assert await tasks(sql) == []


async def test_a_job_left_by_a_killed_worker_is_taken_up_by_the_next(
    database: Database, sql: psycopg.AsyncConnection, core_url: str
) -> None:
    await put(database, "change", "lane", number=1)
    await put(database, "change", "lane", number=2)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, core_url, stdout=subprocess.PIPE)
    assert child.stdout
    assert await child.stdout.readline() == b"begun 1\n"
    child.kill()
    await child.wait()
    assert (await (await sql.execute("select count(*) from procrastinate_jobs where status = 'doing'")).fetchone()) == (
        1,
    )
    seen: list[int] = []
    done = asyncio.Event()

    async def handler(number: int) -> None:
        seen.append(number)
        if len(seen) == 2:
            done.set()

    async with working(database, {"change": handler}):
        await asyncio.wait_for(done.wait(), 30)
    assert seen == [1, 2]


async def test_a_job_that_another_process_has_taken_up_is_that_ones(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    """Its first worker was cut off for a moment, and lives: it may neither write for the job nor end it."""
    told, over = asyncio.Event(), asyncio.Event()
    begun, written = asyncio.Queue[str](), list[tuple[str, int]]()
    who = iter([("cut off", told), ("next", over), ("next", over)])

    async def handler(number: int) -> None:
        name, until = next(who)
        await begun.put(name)
        await until.wait()
        async with database.session() as session:
            await jobs.hold(session)
            written.append((name, number))

    await put(database, "change", "lane", number=1)
    await put(database, "change", "lane", number=2)
    async with asyncio.timeout(60), working(database, {"change": handler}):
        assert await begun.get() == "cut off"
        async with working(database, {"change": handler}):
            assert await begun.get() == "next"
            with structlog.testing.capture_logs() as logs:
                told.set()
                while "a job that ends here is not this process's any more" not in [log["event"] for log in logs]:
                    await asyncio.sleep(0.05)
            assert written == []
            assert await states(sql) == [("change", "doing"), ("change", "todo")]
            over.set()
            while len(written) < 2:
                await asyncio.sleep(0.05)
    assert written == [("next", 1), ("next", 2)]
    assert await tasks(sql) == []


async def test_a_job_whose_worker_was_forgotten_meanwhile_is_begun_again(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    """Others forget a worker that was not heard of for long, such as that of a machine that was asleep."""
    tries: list[int] = []
    done = asyncio.Event()

    async def handler(number: int) -> None:
        tries.append(number)
        if len(tries) == 1:
            await sql.execute("update procrastinate_jobs set worker_id = null")
        async with database.session() as session:
            await jobs.hold(session)
        done.set()

    await put(database, "change", number=1)
    async with working(database, {"change": handler}):
        await asyncio.wait_for(done.wait(), 30)
    assert tries == [1, 1]
    assert await tasks(sql) == []


async def test_an_abandoned_worker_hands_back_what_is_the_leaders_at_once_and_ends_what_chats_wait_for(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    began: asyncio.Queue[str] = asyncio.Queue()
    ended: list[str] = []

    async def change(number: int) -> None:
        await began.put("change")
        await asyncio.Event().wait()

    async def turn(number: int) -> None:
        await began.put("turn")
        await asyncio.sleep(0.5)
        ended.append("turn")

    await put(database, "change", number=1)
    await put(database, "turn", number=2)
    worker = jobs.Worker(database, {"change": change, "turn": turn})
    running = asyncio.create_task(worker.run(alone=True))
    assert {await asyncio.wait_for(began.get(), 30) for _ in range(2)} == {"change", "turn"}
    worker.abandon()
    running.cancel()
    await asyncio.wait_for(asyncio.wait([running]), jobs.GRACE)
    assert ended == ["turn"]
    assert await states(sql) == [("change", "todo")]


async def states(sql: psycopg.AsyncConnection) -> list[tuple[str, str]]:
    """The jobs in the order in which they come."""
    found = await sql.execute("select task_name, status::text from procrastinate_jobs order by id")
    return [(task, status) for task, status in await found.fetchall()]


async def test_a_stopped_worker_ends_what_it_has_begun(database: Database, sql: psycopg.AsyncConnection) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(number: int) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()

    await put(database, "change", number=1)
    async with working(database, {"change": handler}):
        await asyncio.wait_for(begun.wait(), 30)
        assert not ended.is_set()
    assert ended.is_set()
    assert await tasks(sql) == []


async def test_what_a_stopped_worker_cannot_end_in_time_is_handed_back_for_another_to_begin_at_once(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def long(turn: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def short(turn: int) -> None:
        ended.set()

    await put(database, "turn", "lane", turn=1)
    stopped = asyncio.create_task(jobs.Worker(database, {"turn": long}, grace=0.1).run(alone=True))
    await asyncio.wait_for(begun.wait(), 30)
    stopped.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopped
    due = "select status = 'todo' and coalesce(scheduled_at <= now(), true) from procrastinate_jobs"
    assert await (await sql.execute(due)).fetchall() == [(True,)]
    async with working(database, {"turn": short}):
        await asyncio.wait_for(ended.wait(), 30)


async def tasks(sql: psycopg.AsyncConnection) -> list[str]:
    """What is in the queue."""
    return [name for (name,) in await (await sql.execute("select task_name from procrastinate_jobs")).fetchall()]
