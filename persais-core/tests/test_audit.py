"""The log of consequential acts."""

from __future__ import annotations

import psycopg
import pytest

from persais_core import audit
from persais_core.db.engine import Database


async def entries(sql: psycopg.AsyncConnection) -> list[tuple[object, ...]]:
    query = "select actor, action, subject, outcome, commit, detail from persais.audit order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def test_an_entry_says_who_did_what_to_what(database: Database, sql: psycopg.AsyncConnection) -> None:
    async with database.session() as session:
        audit.record(session, "change deploy", actor=7_000_000_000, subject="change 3", commit="abc", cost=0.5)
    assert await entries(sql) == [(7_000_000_000, "change deploy", "change 3", "ok", "abc", {"cost": 0.5})]


async def test_the_program_itself_acts_without_an_actor(database: Database, sql: psycopg.AsyncConnection) -> None:
    async with database.session() as session:
        audit.record(session, "release activated", outcome="failed")
    assert await entries(sql) == [(None, "release activated", "", "failed", None, {})]


async def test_an_act_that_was_rolled_back_has_no_entry(database: Database, sql: psycopg.AsyncConnection) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            audit.record(session, "never happened")
            raise ZeroDivisionError
    assert await entries(sql) == []
