"""Processes of one release work side by side, two releases never, and each duty is one process's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from persais_core import errors
from persais_core.queue import activity
from persais_core.queue.activity import Duty, Turnstile

BOTH: frozenset[Duty] = frozenset({"intake", "work"})


@contextlib.asynccontextmanager
async def process(url: str, commit: str) -> AsyncIterator[Turnstile]:
    async with Turnstile(url, commit) as turnstile:
        yield turnstile


async def inside(turnstile: Turnstile) -> Turnstile:
    await asyncio.wait_for(turnstile.enter(), 30)
    return turnstile


async def test_processes_of_one_commit_enter_together_and_only_the_first_is_first(core_url: str) -> None:
    await activity.activate(core_url, "old")
    async with process(core_url, "old") as one, process(core_url, "old") as two:
        await inside(one)
        await inside(two)
        assert (one.is_first, two.is_first) == (True, False)


async def test_another_commit_waits_until_all_of_the_old_one_have_left(core_url: str) -> None:
    await activity.activate(core_url, "old")
    async with process(core_url, "new") as new:
        entering = asyncio.create_task(new.enter())
        async with process(core_url, "old") as one:
            await inside(one)
            async with process(core_url, "old") as two:
                await inside(two)
                await activity.activate(core_url, "new")
                assert [duty async for duty in one.duties(frozenset())] == []  # it hears that it is not any more
            async with process(core_url, "old") as late:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(late.enter(), 0.3)
            assert not entering.done()
        await asyncio.wait_for(entering, 30)
        assert new.is_first


async def test_each_duty_is_one_process_and_another_takes_it_over_at_its_death(
    core_url: str, sql: psycopg.AsyncConnection
) -> None:
    await activity.activate(core_url, "c")
    taken: asyncio.Queue[tuple[str, Duty]] = asyncio.Queue()

    async def serve(name: str, wanted: frozenset[Duty]) -> None:
        async with process(core_url, "c") as turnstile:
            await inside(turnstile)
            async for duty in turnstile.duties(wanted):
                await taken.put((name, duty))

    first = asyncio.create_task(serve("first", BOTH))
    assert {await taken.get(), await taken.get()} == {("first", "intake"), ("first", "work")}
    others = [asyncio.create_task(serve("web", frozenset({"intake"}))), asyncio.create_task(serve("worker", BOTH))]
    # The server ends the connection, as it does when a process is killed.
    await sql.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = %s",
        (activity.DUTY_LOCKS,),
    )
    with pytest.raises(errors.DatabaseError):
        await first
    again = {await asyncio.wait_for(taken.get(), 30), await asyncio.wait_for(taken.get(), 30)}
    assert {duty for _, duty in again} == BOTH
    assert ("worker", "work") in again
    assert taken.empty()
    for task in others:
        task.cancel()
    await asyncio.wait(others)
