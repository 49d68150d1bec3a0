"""The records of a user in Postgres; what both twins promise is in `testing/test_records_twins.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, text
from sqlmodel import col

import tables
from persais_core import errors
from persais_core.db.engine import Database
from persais_core.db.records import Record


class Shelf(Record, table=True):
    """Something to keep."""

    __tablename__ = "agent_shelves"

    label: str


@pytest.fixture(scope="module", autouse=True)
def shelves(shared_url: str) -> Iterator[None]:
    with tables.of(shared_url, Shelf):
        yield


async def test_hundred_users_at_once_see_their_own_only(database: Database) -> None:

    async def live(user: int) -> list[str]:
        mine = database.records(Shelf, user)
        await mine.add(Shelf(label=f"of {user}", created_by=1))
        return [shelf.label for shelf in await mine.list()]

    assert await asyncio.gather(*(live(user) for user in range(1, 101))) == [[f"of {user}"] for user in range(1, 101)]


async def test_user_ids_beyond_32_bits_are_kept(database: Database) -> None:
    stored = await database.records(Shelf, 7_000_000_000).add(Shelf(label="far"))
    assert stored.created_by == 7_000_000_000


async def test_a_deleted_record_stays_in_the_table_hidden(database: Database, core_url: str) -> None:
    mine = database.records(Shelf, 5)
    stored = await mine.add(Shelf(label="old"))
    assert stored.id is not None
    await mine.delete(stored.id)
    with psycopg.connect(core_url) as connection:
        assert connection.execute("select label, is_deleted from agent_shelves").fetchall() == [("old", True)]


async def test_two_who_save_at_once_both_leave_a_whole_record(database: Database) -> None:
    mine = database.records(Shelf, 5)
    stored = await mine.add(Shelf(label="a"))

    async def save(label: str) -> None:
        await mine.save(Shelf(id=stored.id, label=label))

    await asyncio.gather(save("b"), save("c"))
    [left] = await mine.list()
    assert left.label in {"b", "c"}


@pytest.mark.parametrize("expression", [text("(select current_user)"), func.current_user(), col(Shelf.label) + "x"])
async def test_an_expression_of_sql_on_a_record_is_refused_and_nothing_is_stored(
    database: Database, expression: Any
) -> None:
    mine = database.records(Shelf, 9)
    stored = await mine.add(Shelf(label="kept"))
    with pytest.raises(errors.AgentError, match=r"Shelf\.label must be a value"):
        await mine.add(Shelf(label=expression))
    stored.label = expression
    with pytest.raises(errors.AgentError, match=r"Shelf\.label must be a value"):
        await mine.save(stored)
    assert [shelf.label for shelf in await mine.list()] == ["kept"]
