"""What a release does beside answering: it never keeps the bot from that."""

from __future__ import annotations

import psycopg
import pytest
import structlog.testing

from persais_core.app.working import begun_again


async def test_what_fails_as_nobody_foresaw_is_told_and_begun_again() -> None:
    tries: list[str] = []

    async def work() -> None:
        tries.append("begun")
        if len(tries) < 3:
            raise KeyError("a menu without a title")

    with structlog.testing.capture_logs() as logs:
        await begun_again("menus", work, after=0.0)
    assert len(tries) == 3
    assert [(entry["duty"], entry["log_level"]) for entry in logs] == [("menus", "error")] * 2


async def test_a_database_that_is_away_ends_it_so_that_all_begins_again() -> None:
    async def work() -> None:
        raise psycopg.OperationalError("the connection is lost")

    with pytest.raises(psycopg.OperationalError):
        await begun_again("menus", work, after=0.0)
