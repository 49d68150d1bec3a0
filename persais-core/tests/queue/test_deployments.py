"""What the supervisor has told of a deployment."""

from __future__ import annotations

import psycopg
import pytest

from persais_core.queue import jobs
from persais_core.queue.deployments import Deployments

JOBS = "select queue_name, task_name, lock, args from procrastinate_jobs order by id"


@pytest.mark.parametrize("cause", [None, "it died"])
async def test_the_end_of_a_deployment_is_a_job_of_the_leader(
    sql: psycopg.AsyncConnection, core_url: str, cause: str | None
) -> None:
    await sql.execute("insert into persais.deployments (commit, state, requested_at) values ('a', 'proving', now())")
    async with Deployments(core_url) as deployments:
        await deployments.finish(1, cause)
    assert await (await sql.execute(JOBS)).fetchall() == [(jobs.LEADERS, "deployed", "deployment:1", {"deployment": 1})]


async def test_what_has_held_is_confirmed_by_the_leader_one_after_the_other(
    sql: psycopg.AsyncConnection, core_url: str
) -> None:
    await sql.execute(
        "insert into persais.deployments (commit, state, requested_at) "
        "values ('a', 'serving', now()), ('b', 'failed', now()), ('c', 'serving', now())"
    )
    async with Deployments(core_url) as deployments:
        await deployments.confirm(3)
    assert await (await sql.execute(JOBS)).fetchall() == [
        (jobs.LEADERS, "confirmed", "deployment:3", {"deployment": number}) for number in (1, 3)
    ]


async def test_a_commit_that_is_named_active_is_told_to_whoever_waits_for_it(
    sql: psycopg.AsyncConnection, core_url: str
) -> None:
    await sql.execute("listen persais_active")
    async with Deployments(core_url) as deployments:
        assert await deployments.active() is None
        await deployments.activate("a")
        assert await deployments.active() == "a"
    assert [note.channel async for note in sql.notifies(timeout=10, stop_after=1)] == ["persais_active"]
