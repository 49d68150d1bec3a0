"""What most rooms test with: a fresh database with the core's tables, a local Telegram, and a scripted model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url

from local_telegram import CLIENT_KEY, TOKEN
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db import agent_role, core_migrations
from persais_core.db.engine import Database
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.serving import served
from persais_core.testing import postgres
from scripted_openai import ScriptedOpenAI, says


@pytest.fixture(scope="session")
def server_url(persais_template: tuple[str, str] | None) -> str:
    """Address of the server of this test run."""
    assert persais_template, "these tests run outside the sandbox"
    return persais_template[0]


@pytest.fixture(scope="session")
def core_template(server_url: str) -> Iterator[str]:
    """Name of a database with the core's tables, migrated once; no record that a test declares has a table in it."""
    with postgres.copy(server_url, "template0") as url:
        core_migrations.prepare(url)
        with psycopg.connect(url) as connection:
            role = agent_role.name(connection)
        yield str(make_url(url).database)
    # A role belongs to the server, so it outlives the databases that it was made for.
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("drop role if exists {}").format(psycopg.sql.Identifier(role)))


@pytest.fixture(scope="session")
def shared_url(server_url: str, core_template: str) -> Iterator[str]:
    """Address of the database that most tests use one after the other."""
    with postgres.copy(server_url, core_template) as url:
        core_migrations.prepare(url)
        yield url


@pytest.fixture
def core_url(shared_url: str) -> str:
    """Address of a database with the core's tables, all empty."""
    with psycopg.connect(shared_url) as connection:
        connection.execute("set local lock_timeout = '20s'")
        found = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname in ('persais', 'persais_queue', "
            "'persais_graph', 'public') and tablename not like 'alembic_version%' "
            "and tablename != 'checkpoint_migrations'"
        ).fetchall()
        tables = psycopg.sql.SQL(", ").join(psycopg.sql.Identifier(*names) for names in found)
        connection.execute("alter table persais.audit disable trigger audit_is_append_only")
        connection.execute(psycopg.sql.SQL("truncate {} restart identity").format(tables))
        connection.execute("alter table persais.audit enable trigger audit_is_append_only")
    return shared_url


@pytest.fixture
def own_url(server_url: str, core_template: str) -> Iterator[str]:
    """Address of a database with the core's tables for one test that changes more than rows."""
    with postgres.copy(server_url, core_template) as url:
        core_migrations.prepare(url)
        yield url


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """Address of a fresh database without anything."""
    with postgres.copy(server_url, "template0") as url:
        yield url


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    made = Database(url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def database(core_url: str) -> AsyncIterator[Database]:
    async with opened(core_url) as made:
        yield made


@pytest.fixture
async def own_database(own_url: str) -> AsyncIterator[Database]:
    """The database of `own_url`."""
    async with opened(own_url) as made:
        yield made


@pytest.fixture
async def sql(core_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection of its own to the database of this test, each statement committed."""
    async with await psycopg.AsyncConnection.connect(core_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def emulator() -> TelegramEmulator:
    return TelegramEmulator(token=TOKEN, client_key=CLIENT_KEY, state=None)


@pytest.fixture
async def telegram_url(emulator: TelegramEmulator) -> AsyncIterator[str]:
    """Where the local Telegram answers."""
    async with served(emulator) as url:
        yield url


@pytest.fixture
async def channel(telegram_url: str) -> AsyncIterator[TelegramChannel]:
    made = TelegramChannel(TOKEN, telegram_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def person(telegram_url: str) -> AsyncIterator[ChatClient]:
    """Somebody who has spoken to the bot once, so that the bot may write to them."""
    async with ChatClient(telegram_url, CLIENT_KEY) as made:
        await made.send("/start")
        yield made


@pytest.fixture(scope="session")
async def openai_service() -> AsyncIterator[ScriptedOpenAI]:
    """One server for all tests, since each takes a moment to stop."""
    async with ScriptedOpenAI.serving() as made:
        yield made


@pytest.fixture
def openai_server(openai_service: ScriptedOpenAI) -> ScriptedOpenAI:
    """A model that says hello until it is told what to say."""
    openai_service.script(says("Hello!"))
    return openai_service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole bots first: they take longest, and at the end one worker would be left alone with them."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
