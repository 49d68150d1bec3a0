"""The pytest plugin that comes with Persais: fixture `context`, a turn on real Postgres.

One server per test run (the embedded one, or DATABASE_URL), one template database with the tables of `bot/schemas`,
one fresh copy of it per test. In a sandbox (PERSAIS_SANDBOX=1), where no socket may be opened, the same fixture keeps
its records in memory.

pytest loads this module in every project whose environment holds Persais; so it imports next to nothing, and the
fixtures load the rest when a test first asks for one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from persais_core.testing.contexts import TestContext


@pytest.fixture(scope="session")
def persais_template(request: pytest.FixtureRequest) -> Iterator[tuple[str, str] | None]:
    """The server's address and the name of the template database; None where no socket may be opened."""
    # Which of the twins is used is a matter of the test process, not one of the bot's settings.
    if os.environ.get("PERSAIS_SANDBOX") == "1":
        yield None
        return
    from persais_core.testing import postgres

    with postgres.server() as url, postgres.template(url, request.config.rootpath) as name:
        yield url, name


@pytest.fixture
def persais_database(persais_template: tuple[str, str] | None) -> Iterator[str | None]:
    """The address of a fresh database with the bot's tables, gone after the test."""
    if persais_template is None:
        yield None
        return
    from persais_core.testing import postgres

    with postgres.copy(*persais_template) as url:
        yield url


@pytest.fixture
async def context(persais_database: str | None) -> AsyncIterator[TestContext]:
    """A turn of user 1 with nothing stored; `context.as_user(2)` is somebody else on the same database."""
    from persais_core.testing import contexts

    if persais_database is None:
        yield contexts.context_for()
        return
    from persais_core.db import engine
    from persais_core.domain.chats import User

    database = engine.Database(persais_database)
    await database.open()
    try:
        yield contexts.TestContext(User(id=1, name="Somebody"), database, contexts.ScriptedModel())
    finally:
        await database.close()
