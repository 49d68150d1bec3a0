"""The pools: bounded, quick to hand out a connection, and not fooled by one that has ended."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
from procrastinate import App
from sqlalchemy import text

from persais_core import errors
from persais_core.db import agent_pool, engine, liveness
from persais_core.db.engine import Database

NUMBER = "select %(number)s::int as number"


async def end_all_others(sql: psycopg.AsyncConnection) -> int:
    """What a restart of the server does to everybody's connections."""
    query = (
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where datname = current_database() and pid != pg_backend_pid() and backend_type = 'client backend'"
    )
    return len(await (await sql.execute(query)).fetchall())


async def connections(sql: psycopg.AsyncConnection) -> int:
    query = "select count(*) from pg_stat_activity where datname = current_database() and pid != pg_backend_pid()"
    found = await (await sql.execute(query)).fetchone()
    assert found
    return int(found[0])


async def slowly(database: Database, number: int) -> int:
    [row] = await database.run("select %(number)s::int as number, pg_sleep(0.05)", {"number": number})
    return int(row["number"])


async def by_session(database: Database) -> int:
    async with database.session() as session:
        return int((await session.execute(text("select 1, pg_sleep(0.05)"))).scalar_one())


async def by_agent(database: Database) -> int:
    async with database.agents.session(5) as session:
        return int((await session.execute(text("select 1, pg_sleep(0.05)"))).scalar_one())


async def test_a_statement_gives_its_rows_by_column_and_is_committed(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    assert await database.run(NUMBER, {"number": 7}) == [{"number": 7}]
    assert await database.run("insert into persais.active_release (id, commit) values (1, %(c)s)", {"c": "abc"}) == []
    assert await (await sql.execute("select commit from persais.active_release")).fetchall() == [("abc",)]


async def test_a_statement_that_fails_leaves_its_connection_usable(database: Database) -> None:
    for _ in range(10):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.run("select 1 / %(number)s", {"number": 0})
    assert await database.run(NUMBER, {"number": 7}) == [{"number": 7}]


async def test_a_database_that_is_not_open_says_so(core_url: str) -> None:
    with pytest.raises(errors.DatabaseError, match="not open"):
        await Database(core_url).run(NUMBER, {"number": 1})


async def test_connections_ended_by_the_server_are_replaced_before_they_are_used(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    for _ in range(3):
        together = [slowly(database, number) for number in range(20)] + [by_session(database) for _ in range(6)]
        together += [by_agent(database) for _ in range(6)]
        assert len(await asyncio.gather(*together)) == 32
        assert await end_all_others(sql) > 6
        # All of them rest now, and all are dead.
        assert await asyncio.gather(*(slowly(database, number) for number in range(8))) == list(range(8))
        assert await asyncio.gather(*(by_session(database) for _ in range(6))) == [1] * 6
        assert await asyncio.gather(*(by_agent(database) for _ in range(6))) == [1] * 6


async def test_the_queues_connections_ended_by_the_server_are_replaced_too(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    app = App(connector=database.queue_connector())
    async with app.open_async():
        for _ in range(3):
            await asyncio.gather(*(app.connector.execute_query_async("select pg_sleep(0.05)") for _ in range(10)))
            await end_all_others(sql)
        assert await app.connector.execute_query_one_async("select 1 as one") == {"one": 1}


async def test_the_queues_queries_are_transactions_of_their_own(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    app = App(connector=database.queue_connector())
    async with app.open_async():
        query = "select now() = statement_timestamp() as is_first, pg_current_xact_id_if_assigned() as number"
        assert (await app.connector.execute_query_one_async(query))["is_first"]
        await app.connector.execute_query_async("insert into persais.active_release (id, commit) values (1, 'abc')")
        assert await (await sql.execute("select commit from persais.active_release")).fetchall() == [("abc",)]


async def test_however_much_is_asked_at_once_the_pools_stay_bounded(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    app = App(connector=database.queue_connector())
    async with app.open_async():
        work = asyncio.gather(
            *(slowly(database, number) for number in range(100)),
            *(by_session(database) for _ in range(100)),
            *(by_agent(database) for _ in range(50)),
            *(app.connector.execute_query_async("select pg_sleep(0.05)") for _ in range(100)),
        )
        most = 0
        while not work.done():
            most = max(most, await connections(sql))
            await asyncio.sleep(0.02)
        await work
    bound = engine.TABLE_CONNECTIONS + engine.STATEMENT_CONNECTIONS + engine.QUEUE_CONNECTIONS
    bound += agent_pool.CONNECTIONS
    assert bound / 2 < most <= bound
    listening, lock_of_the_release = 1, 1
    assert bound + listening + lock_of_the_release <= 20


async def test_only_a_connection_that_rested_or_has_news_is_doubted(
    core_url: str, sql: psycopg.AsyncConnection
) -> None:
    connection = await psycopg.AsyncConnection.connect(core_url, autocommit=True)
    patient, anxious = liveness.Doubts(), liveness.Doubts(rested_seconds=-1.0)
    for _ in range(2):
        await connection.execute("select 1")
        assert not patient.about(connection)
        assert anxious.about(connection)
    await end_all_others(sql)
    assert patient.about(connection)
    with contextlib.suppress(psycopg.Error):
        await connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError):
        patient.about(connection)


async def test_a_connection_left_in_the_middle_of_a_pipeline_is_replaced(database: Database) -> None:
    pool = await database.graph_pool()
    async with pool.connection() as connection:
        entered = connection.pipeline()
        await entered.__aenter__()  # as a graph leaves it that is cancelled while it stores its state
    for _ in range(3):
        assert await database.run("select 1 as one", {}) == [{"one": 1}]
    assert entered is not None
