"""What models and agents write, on its way into a column of JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from persais_core import audit
from persais_core.db import stored_json
from persais_core.db.engine import Database

LETTERS = "\\u0000 \\\\u0000 \U0001f600 я"  # no more than they look like
ODD = {"nul": "a\x00b\x00\x00", "half": "x\ud83d", "letters": LETTERS, "k\x00": [1, "\udc00"]}
KEPT = {"nul": "ab", "half": "x?", "letters": LETTERS, "k": [1, "?"]}


def test_nothing_but_what_cannot_be_stored_is_lost() -> None:
    assert json.loads(stored_json.dumps(ODD)) == KEPT


async def test_both_ways_into_the_database_take_it(database: Database) -> None:
    async with database.session() as session:
        audit.record(session, "tool called", arguments=ODD)
    found = await database.run("select detail from persais.audit", {})
    assert found[0]["detail"]["arguments"] == KEPT
    assert await database.run("select %(odd)s as odd", {"odd": Jsonb(ODD)}) == [{"odd": KEPT}]


async def test_a_statement_that_fails_does_not_say_what_it_was_given(database: Database) -> None:
    given: dict[str, Any] = {"said": "private words", "number": 0}
    with pytest.raises(DBAPIError) as caught:
        async with database.session() as session:
            await session.execute(text("select cast(:said as text), 1 / cast(:number as int)"), given)
    assert "private words" not in str(caught.value)
