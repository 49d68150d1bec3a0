"""The records of a context behave alike on Postgres and in memory."""

import datetime as dt
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger
from sqlalchemy.exc import StatementError
from sqlmodel import Field

from persais_core import errors
from persais_core.db import engine
from persais_core.db.records import Record
from persais_core.domain.chats import User
from persais_core.testing.contexts import ScriptedModel, TestContext, context_for


class Paper(Record, table=True):
    """One of each kind of column."""

    __tablename__ = "agent_papers"

    title: str
    pages: int | None = None
    letters: int | None = Field(default=None, sa_type=BigInteger)
    weight: float | None = None
    is_read: bool = False
    due: dt.date | None = None
    seen_at: dt.datetime | None = None


@pytest.fixture(params=["postgres", "memory"])
async def turn(request: pytest.FixtureRequest) -> AsyncIterator[TestContext]:
    if request.param == "memory":
        yield context_for()
        return
    url = request.getfixturevalue("persais_database")
    assert url, "this suite runs outside the sandbox"
    database = engine.Database(url)
    await database.open()
    yield TestContext(User(id=1), database, ScriptedModel())
    await database.close()


async def test_a_record_gets_id_times_and_owner(turn: TestContext) -> None:
    given = Paper(title="a", id=77, created_by=99, is_deleted=True)
    stored = await turn.records(Paper).add(given)
    assert stored.id == 1
    assert stored.created_by == 1
    assert not stored.is_deleted
    assert stored.created_at.tzinfo is not None
    assert (given.id, given.created_by) == (77, 99)


async def test_every_kind_of_value_comes_back_as_it_was(turn: TestContext) -> None:
    east = dt.timezone(dt.timedelta(hours=3))
    paper = Paper(
        title="Ё 🎭",
        pages=-7,
        letters=2**63 - 1,
        weight=1.25,
        is_read=True,
        due=dt.date(2026, 1, 2),
        seen_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=east),
    )
    stored = await turn.records(Paper).add(paper)
    assert stored.id is not None
    found = await turn.records(Paper).get(stored.id)
    assert found == stored
    assert found is not stored
    assert found.seen_at == paper.seen_at
    assert found.seen_at and found.seen_at.utcoffset() == dt.timedelta(0)
    assert (found.title, found.pages, found.weight, found.is_read) == ("Ё 🎭", -7, 1.25, True)
    assert found.letters == 2**63 - 1
    assert found.due == dt.date(2026, 1, 2)


async def test_the_list_is_newest_first_and_limited(turn: TestContext) -> None:
    for title in "abc":
        await turn.records(Paper).add(Paper(title=title))
    assert [paper.title for paper in await turn.records(Paper).list()] == ["c", "b", "a"]
    assert [paper.title for paper in await turn.records(Paper).list(limit=2)] == ["c", "b"]
    assert list(await turn.records(Paper).list(limit=0)) == []
    assert list(await turn.records(Paper).list(limit=-1)) == []


async def test_a_change_counts_only_once_it_is_saved(turn: TestContext) -> None:
    stored = await turn.records(Paper).add(Paper(title="a"))
    assert stored.id is not None
    stored.title = "b"
    unsaved = await turn.records(Paper).get(stored.id)
    assert unsaved and unsaved.title == "a"
    saved = await turn.records(Paper).save(stored)
    assert saved.title == "b"
    assert saved.created_at == stored.created_at
    assert saved.updated_at > stored.updated_at
    assert await turn.records(Paper).get(stored.id) == saved


async def test_saving_cannot_hand_a_record_to_somebody_else(turn: TestContext) -> None:
    stored = await turn.records(Paper).add(Paper(title="a"))
    stored.created_by = 2
    stored.is_deleted = True
    saved = await turn.records(Paper).save(stored)
    assert (saved.created_by, saved.is_deleted) == (1, False)


async def test_a_deleted_record_is_hidden_from_everything(turn: TestContext) -> None:
    stored = await turn.records(Paper).add(Paper(title="a"))
    assert stored.id is not None
    assert await turn.records(Paper).delete(stored.id)
    assert not await turn.records(Paper).delete(stored.id)
    assert await turn.records(Paper).get(stored.id) is None
    assert list(await turn.records(Paper).list()) == []
    with pytest.raises(errors.AgentError, match="no Paper with id 1"):
        await turn.records(Paper).save(stored)
    again = await turn.records(Paper).add(Paper(title="b"))
    assert again.id == 2


async def test_nobody_sees_or_changes_what_another_user_stored(turn: TestContext) -> None:
    stored = await turn.records(Paper).add(Paper(title="mine"))
    assert stored.id is not None
    stranger = turn.as_user(2)
    assert await stranger.records(Paper).get(stored.id) is None
    assert list(await stranger.records(Paper).list()) == []
    assert not await stranger.records(Paper).delete(stored.id)
    with pytest.raises(errors.AgentError):
        await stranger.records(Paper).save(stored)
    mine = await turn.records(Paper).get(stored.id)
    assert mine and mine.title == "mine"


async def test_a_record_that_was_never_stored_cannot_be_saved(turn: TestContext) -> None:
    with pytest.raises(errors.AgentError):
        await turn.records(Paper).save(Paper(title="a"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"title": "a\0b"},
        {"title": "a", "pages": 2**31},
        {"title": "a", "letters": -(2**63) - 1},
        {"title": "a", "pages": "many"},
        {"title": "a", "weight": "heavy"},
        {"title": "a", "due": "someday"},
        {"title": "a", "seen_at": dt.datetime(2026, 1, 2)},
    ],
    ids=[
        "missing",
        "zero byte",
        "too large",
        "too small for 64 bits",
        "text for int",
        "text for float",
        "text for date",
        "no time zone",
    ],
)
async def test_a_value_that_does_not_fit_its_column_is_refused(turn: TestContext, values: dict[str, object]) -> None:
    with pytest.raises(StatementError):
        await turn.records(Paper).add(Paper(**values))
    assert list(await turn.records(Paper).list()) == []
    fine = await turn.records(Paper).add(Paper(title="a"))
    for name, value in values.items():
        setattr(fine, name, value)
    if values:
        with pytest.raises(StatementError):
            await turn.records(Paper).save(fine)
