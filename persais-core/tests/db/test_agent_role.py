"""The login of agents: made by whoever owns the database, found again by everybody, and never silently left out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import make_url

import agent_logins
import tables
from persais_core import errors, texts
from persais_core.db import (
    agent_pool,
    agent_role,
    app_migrations,
    app_proof,
    app_schema,
    app_track,
    core_migrations,
)
from persais_core.db.engine import Database
from persais_core.db.records import Record
from persais_core.domain.plans import FieldSpec, Part
from persais_core.templates import engine

TABLE = "agent_letters"
MINE = 5


class Letter(Record, table=True):
    """Something written."""

    __tablename__ = "agent_letters"

    text: str


class Hired:
    """A database whose owner is no superuser, as managed services give it away."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.name = f"persais_test_hired_{secrets.token_hex(4)}"
        self.url = ""

    def sign(self, *, may_make_roles: bool) -> str:
        """Make owner and database; returns the owner's address."""
        self.run("create role {} login password 'hired'")
        self.let_make_roles(may_make_roles)
        self.run("create database {} owner {}")
        self.url = self._address(username=self.name, password="hired")
        with psycopg.connect(self._address(), autocommit=True) as connection:
            connection.execute("create extension if not exists vector with schema public")
        return self.url

    def let_make_roles(self, may: bool) -> None:
        self.run("alter role {} createrole" if may else "alter role {} nocreaterole")

    def end(self) -> None:
        """Remove the database and both roles."""
        with psycopg.connect(self._address()) as connection:
            role = connection.execute("select role from persais_agents.login").fetchone()
        self.run("drop database {} with (force)")
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in [*(role or []), self.name]:
                connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))

    def _address(self, **values: Any) -> str:
        return make_url(self._server).set(database=self.name, **values).render_as_string(hide_password=False)

    def run(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            name = sql.Identifier(self.name)
            connection.execute(sql.SQL(statement).format(*[name] * statement.count("{}")))


@pytest.fixture
def hired(server_url: str) -> Iterator[Hired]:
    made = Hired(server_url)
    yield made
    made.end()


@pytest.fixture
def letters_url(own_url: str) -> Iterator[str]:
    """Address of a bot's database with the table of the letters."""
    with tables.of(own_url, Letter):
        yield own_url


def login(url: str) -> tuple[Any, ...] | None:
    with psycopg.connect(url) as connection:
        return connection.execute("select role, password, key, problem from persais_agents.login").fetchone()


def letters() -> app_schema.Schema:
    """The table of the letters, as the bot makes it."""
    return tables.declared(
        {
            TABLE: [
                sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
                sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
                sa.Column("is_deleted", sa.Boolean, nullable=False),
                sa.Column("text", sa.String, nullable=False),
            ]
        }
    )


async def live(url: str) -> list[str]:
    """Write and read as two people; returns what the second one has."""
    database = Database(url)
    await database.open()
    try:
        await database.records(Letter, 99).add(Letter(text="of another"))
        await database.records(Letter, MINE).add(Letter(text="mine"))
        async with database.agents.session(MINE) as session:
            return [letter.text for letter in (await session.execute(sa.select(Letter))).scalars()]
    finally:
        await database.close()


async def test_an_owner_who_is_no_superuser_guards_records_all_the_same(hired: Hired) -> None:
    url = hired.sign(may_make_roles=True)
    assert core_migrations.prepare(url) is True
    assert core_migrations.prepare(url) is False
    tables.make(url, letters())
    with psycopg.connect(url) as connection:
        agent_role.guard(connection)
    assert await live(url) == ["mine"]
    with psycopg.connect(agent_logins.address(url)) as agent:
        rights = agent.execute(
            "select has_database_privilege(current_database(), 'temporary'), has_schema_privilege('public', 'create'), "
            "has_schema_privilege('persais_agents', 'usage'), has_table_privilege('agent_letters', 'delete')"
        ).fetchone()
    assert rights == (False, False, False, False)


async def test_an_owner_who_may_not_make_roles_is_told_and_records_stay_closed(hired: Hired) -> None:
    url = hired.sign(may_make_roles=False)
    assert core_migrations.prepare(url) is True
    tables.make(url, letters())
    with pytest.raises(agent_pool.ClosedError, match=f'`alter role "{hired.name}" createrole`') as caught:
        await live(url)
    assert "/status" in texts.explain("ru", caught.value)
    database = Database(url)
    await database.open()
    assert await database.agents.problem() == str(caught.value)
    await database.close()
    hired.let_make_roles(True)
    assert core_migrations.prepare(url) is True
    assert await live(url) == ["mine"]


def test_a_migration_by_hand_leaves_its_table_guarded(own_url: str, tmp_path: Path) -> None:
    part = Part(kind="schema", name="letters_sent", fields=(FieldSpec(name="text", type="str"),))
    _, files = engine.render_migration(part, None)
    for path, source in files.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(source, "utf-8")
    app_migrations.upgrade(own_url, tmp_path)
    assert guarded(own_url) == [("public", *RULE)]


def test_neither_password_nor_key_change_when_a_start_finds_them(own_url: str) -> None:
    before = login(own_url)
    with psycopg.connect(own_url, autocommit=True) as connection:
        assert agent_role.install(connection) is None
    assert login(own_url) == before


async def test_a_role_that_has_changed_its_own_password_gets_it_back(letters_url: str) -> None:
    with psycopg.connect(agent_logins.address(letters_url), autocommit=True) as agent:
        agent.execute("alter role current_user password 'taken'")
        agent.execute("alter role current_user set search_path = pg_temp")
    assert await live(letters_url) == ["mine"]
    with psycopg.connect(agent_logins.address(letters_url)) as agent:
        assert agent.execute("show search_path").fetchone() == ("public, pg_temp",)


async def test_a_temporary_table_cannot_stand_in_for_a_real_one(letters_url: str) -> None:
    with psycopg.connect(letters_url) as owner:
        owner.execute(
            sql.SQL("grant temporary on database {} to public").format(sql.Identifier(owner.info.dbname)),
        )
    with psycopg.connect(agent_logins.address(letters_url), autocommit=True) as agent:
        agent.execute("create temporary table agent_letters (like public.agent_letters including all)")
        agent.execute("set search_path = pg_temp, public")
        with agent.transaction():
            agent.execute(agent_pool.BEGIN, (agent_logins.token(agent_logins.key(letters_url), MINE),))
            agent.execute(
                "insert into agent_letters (text, created_by, is_deleted, created_at, updated_at) "
                "values ('mine', 5, false, now(), now())"
            )
    assert tables.rows(letters_url, TABLE, "text") == [("mine",)]


async def test_a_login_with_more_rights_than_it_may_have_is_not_used(letters_url: str) -> None:
    role = (login(letters_url) or ("",))[0]
    with psycopg.connect(letters_url) as owner:
        owner.execute(sql.SQL("alter role {} bypassrls").format(sql.Identifier(role)))
    try:
        with pytest.raises(agent_pool.ClosedError, match="everybody's records"):
            await live(letters_url)
    finally:
        with psycopg.connect(letters_url) as owner:
            owner.execute(sql.SQL("alter role {} nobypassrls").format(sql.Identifier(role)))


async def test_records_of_a_database_that_no_bot_has_started_on_say_so(empty_url: str) -> None:
    with pytest.raises(errors.DatabaseError, match="start the bot once"):
        await live(empty_url)


def guarded(url: str) -> list[tuple[Any, ...]]:
    """Of the tables of the letters: where they lie, whether a policy stands, and what the role may do there."""
    query = (
        "select relnamespace::regnamespace::text, relrowsecurity, polname::text, "
        "array(select privilege_type from aclexplode(relacl) where grantee = role::regrole order by 1) "
        "from persais_agents.login, pg_class c left join pg_policy on polrelid = c.oid "
        "where starts_with(relname, 'agent_letters') and relkind = 'r'"
    )
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


RULE = (True, "persais_own_records", ["INSERT", "SELECT", "UPDATE"])


async def test_a_table_has_its_policy_as_soon_as_its_change_is_made(own_url: str) -> None:
    track = Database(own_url)
    await track.open()
    try:
        async with track.session() as session:
            await app_track.plan(session, 7, tables.migration(own_url, letters()))
        app_track.apply(own_url, 7)
        assert guarded(own_url) == [("public", *RULE)]
        app_track.revert(own_url, change_id=7)
        assert guarded(own_url)[0][0] == "attic"
        app_track.apply(own_url, 7)
        assert guarded(own_url) == [("public", *RULE)]
        assert await live(own_url) == ["mine"]
    finally:
        await track.close()


@pytest.mark.parametrize("is_compared", [False, True])
def test_a_start_guards_what_others_made(own_url: str, tmp_path: Path, is_compared: bool) -> None:
    if not is_compared:
        tables.make(own_url, letters())
        assert guarded(own_url) == [("public", False, None, [])]
    app_track.bring_up(own_url, tmp_path, wanted=letters() if is_compared else None)
    assert guarded(own_url) == [("public", *RULE)]


def test_a_table_without_owners_of_its_rows_is_nobodys(own_url: str, tmp_path: Path) -> None:
    with psycopg.connect(own_url) as owner:
        owner.execute("create table agent_letters (id int primary key, created_by text)")
    app_track.bring_up(own_url, tmp_path)
    assert guarded(own_url) == [("public", True, None, [])]


def test_a_change_that_would_break_the_policy_fails_at_its_proof(own_url: str) -> None:
    tables.make(own_url, letters())
    with psycopg.connect(own_url) as owner:
        now = app_schema.observe(owner)
    [table] = [item for item in now.tables if item.name == TABLE]
    kept = tuple(column for column in table.columns if column.name != "created_by")
    wanted = app_schema.Schema(tables=(table.model_copy(update={"columns": kept, "indexes": ()}),))
    with pytest.raises(app_proof.ProofError, match="created_by"):
        app_proof.prove(own_url, now, wanted, tables.migration(own_url, wanted))
