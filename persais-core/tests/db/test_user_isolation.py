"""What somebody can do who got hold of the agents' connection: all with their own records, nothing with others'.

Each attack runs with a token of the attacker, as in their own turn. Then the other user's turn comes on the very same
connection, and the attacker looks once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text

import agent_logins
import tables
from persais_core import errors
from persais_core.db import agent_pool
from persais_core.db.engine import Database
from persais_core.db.records import Record

VICTIM, ATTACKER = 11, 22
SECRET, LATER = "the-victims-secret", "the-victims-later-secret"
TABLE = "agent_diaries"


class Diary(Record, table=True):
    """Something that is nobody else's business."""

    __tablename__ = "agent_diaries"

    text: str
    mark: int | None = None


READ = f"select * from {TABLE}"
WRITE = (
    f"insert into {TABLE} (text, created_by, is_deleted, created_at, updated_at) "
    "values ('{}', {}, false, now(), now())"
)
FORGED = f"{VICTIM}:99999999999:" + "0" * 64
RESIGNED = "regexp_replace(current_setting('persais.token'), '^[0-9]+', '11')"

ATTACKS: dict[str, list[str]] = {
    "plain": [READ, f"table {TABLE}", f"select ctid, * from {TABLE} where created_by = {VICTIM} or true"],
    "forged token": [f"select set_config('persais.token', '{FORGED}', true)", READ],
    "forged token for the session": [f"select set_config('persais.token', '{FORGED}', false)", READ],
    "own signature, other user": [f"select set_config('persais.token', {RESIGNED}, true)", READ],
    "no token": ["set local persais.token = ''", READ],
    "reset token": ["reset persais.token", READ],
    "reset all": ["reset all", READ],
    "discard": ["commit", "discard all", READ],
    "set role": ["set role postgres", READ],
    "reset role": ["reset role", READ],
    "session authorization": ["set session authorization postgres", READ],
    "reset authorization": ["reset session authorization", READ],
    "row security off": ["set row_security = off", READ],
    "row security off for copy": ["set row_security = off", f"copy {TABLE} to '/tmp/persais-stolen'"],
    "the key": ["select * from persais_agents.login"],
    "the key by search path": ["set search_path = persais_agents, public", "select key from login"],
    "the function by name": ["select persais_agents.current_user_id()"],
    "replace the function": [
        "create or replace function persais_agents.current_user_id() returns bigint language sql as 'select 11'"
    ],
    "overwrite": [f"update {TABLE} set text = 'overwritten'"],
    "take over": [f"update {TABLE} set created_by = {ATTACKER} where created_by = {VICTIM}"],
    "hand over": [f"update {TABLE} set created_by = {VICTIM} where created_by = {ATTACKER}"],
    "write in another's name": [
        WRITE.format("forged", VICTIM),
    ],
    "upsert": [
        f"insert into {TABLE} (id, text, created_by, is_deleted, created_at, updated_at) values (1, 'x', {ATTACKER}, "
        "false, now(), now()) on conflict (id) do update set text = 'overwritten' returning *"
    ],
    "merge": [
        f"merge into {TABLE} d using (select 1 as id) s on d.id = s.id when matched then update set text = 'merged'"
    ],
    "delete": [f"delete from {TABLE}"],
    "truncate": [f"truncate {TABLE}"],
    "for update": [f"{READ} for update"],
    "error that quotes": [f"select text::int from {TABLE}"],
    "leaky condition": [f"select * from {TABLE} where 1 / (length(text) - {len(SECRET)}) = 1"],
    "do block": [
        "do $$ declare r record; begin execute 'reset role'; for r in select * from agent_diaries loop "
        "raise exception 'found %', r.text; end loop; end $$"
    ],
    "xml": [f"select query_to_xml('{READ}', true, true, '')", f"select table_to_xml('{TABLE}', true, true, '')"],
    "words": [f"select * from ts_stat('select to_tsvector(''simple'', text) from {TABLE}')"],
    "cursor": [f"declare c cursor with hold for {READ}", "fetch all from c"],
    "prepared": [f"prepare p as {READ}", "execute p", "commit", "execute p"],
    "explained": [f"explain (analyze, verbose) {READ}"],
    "statistics": ["select * from pg_stats where tablename like 'agent%'", "select * from pg_statistic"],
    "passwords": ["select * from pg_authid"],
    "file": ["select pg_read_file('postgresql.conf')"],
    "folder": ["select pg_ls_dir('.')"],
    "program": [f"copy (select 1) to program 'cat'; {READ}"],
    "large object from a file": ["select lo_import('/etc/passwd')"],
    "large object": ["select lo_from_bytea(0, 'x')"],
    "other server": ["create extension dblink"],
    "function": ["create function public.f() returns int language sql security definer as 'select 1'"],
    "temporary function": ["create function pg_temp.f() returns int language sql as 'select 1'"],
    "operator": ["create operator public.=== (leftarg = int, rightarg = int, function = int4eq)"],
    "view": [f"create view public.v as {READ}"],
    "table": [f"create table public.t as {READ}"],
    "shadow table": [
        f"create temporary table {TABLE} (like public.{TABLE} including all)", "set search_path = pg_temp, public"
    ],
    "schema before all": ["create schema mine", "set search_path = mine, public"],
    "policy": [f"create policy mine on {TABLE} using (true)"],
    "policy away": [f"drop policy persais_own_records on {TABLE}"],
    "rows open": [f"alter table {TABLE} disable row level security"],
    "trigger": [f"create trigger t before insert on {TABLE} execute function suppress_redundant_updates_trigger()"],
    "rule": [f"create rule r as on insert to {TABLE} do also notify x"],
    "index that runs code": [f"create index on {TABLE} ((text::int))"],
    "grant": [f"grant all on {TABLE} to public"],
    "superuser": ["alter role current_user superuser"],
    "bypass": ["alter role current_user bypassrls"],
    "role": ["create role other superuser login"],
    "settings for all": ["alter database postgres set row_security = off"],
    "configuration": ["alter system set row_security = off"],
    "counter set back": [f"select setval('{TABLE}_id_seq', 1)"],
    "counter read": [f"select last_value from {TABLE}_id_seq"],
    "queue": ["select * from persais_queue.procrastinate_jobs"],
    "attic": ["select * from attic.contents"],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def table(shared_url: str) -> Iterator[None]:
    with tables.of(shared_url, Diary):
        yield


@pytest.fixture
def owner(shared_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection; each of the two users has written something."""
    with psycopg.connect(shared_url, autocommit=True) as connection:
        connection.execute(f"truncate {TABLE} restart identity")
        for user, said in ((VICTIM, SECRET), (ATTACKER, "of the attacker")):
            connection.execute(WRITE.format(said, user).encode())
        yield connection


@pytest.fixture
async def diaries(database: Database, owner: psycopg.Connection[Any]) -> Database:
    """The bot's own way to what they have written."""
    return database


@pytest.fixture
def key(owner: psycopg.Connection[Any]) -> bytes:
    """The key by which tokens are signed."""
    row = owner.execute("select key from persais_agents.login").fetchone()
    assert row
    return bytes(row[0])


@pytest.fixture
def agent(shared_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The agents' connection."""
    with psycopg.connect(agent_logins.address(shared_url), autocommit=True) as connection:
        yield connection


def turn(agent: psycopg.Connection[Any], key: bytes, user: int, *statements: str) -> str:
    """Run statements as in a turn of somebody; returns all that the server said."""
    heard: list[str] = []
    try:
        agent.execute("begin")
        agent.execute(agent_pool.BEGIN, (agent_logins.token(key, user),))
        for statement in statements:
            cursor = agent.execute(statement.encode())
            heard.append(repr(cursor.fetchall() if cursor.description else []))
        agent.execute("commit")
    except psycopg.Error as error:
        heard.append(f"{error} {error.diag.message_detail} {error.diag.context}")
    agent.execute("rollback")
    return "\n".join(heard)


def rows(owner: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """What the owner sees of the two."""
    return owner.execute("select created_by, text from public.agent_diaries order by id").fetchall()


def rules(owner: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """All that an attacker would have to change in the catalogue."""
    query = (
        "select (select count(*) from pg_class), (select count(*) from pg_proc), (select count(*) from pg_policy), "
        "(select count(*) from pg_roles), (select count(*) from pg_namespace where nspname !~ '^pg_'), "
        "(select relrowsecurity from pg_class where relname = 'agent_diaries' and relpersistence = 'p'), "
        "(select relacl::text from pg_class where relname = 'agent_diaries' and relpersistence = 'p'), "
        "(select count(*) from pg_largeobject_metadata), (select count(*) from pg_trigger)"
    )
    return owner.execute(query).fetchall()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attacker_sees_and_changes_nothing_of_another(
    owner: psycopg.Connection[Any], agent: psycopg.Connection[Any], key: bytes, attack: list[str]
) -> None:
    before = rules(owner)
    assert rows(owner)[0] == (VICTIM, SECRET)
    heard = turn(agent, key, ATTACKER, *attack)
    turn(agent, key, VICTIM, WRITE.format(LATER, VICTIM))
    heard += turn(agent, key, ATTACKER, READ) + turn(agent, key, ATTACKER, *attack)
    assert "secret" not in heard
    assert [row for row in rows(owner) if row[0] == VICTIM] == [(VICTIM, SECRET), (VICTIM, LATER)]
    assert rules(owner) == before


def test_the_attacks_are_made_where_an_honest_turn_works(
    owner: psycopg.Connection[Any], agent: psycopg.Connection[Any], key: bytes
) -> None:
    assert "of the attacker" in turn(agent, key, ATTACKER, READ)
    assert SECRET in turn(agent, key, VICTIM, READ)
    changed = f"update {TABLE} set text = 'changed' returning text"
    assert turn(agent, key, ATTACKER, changed) == "[('changed',)]"
    assert rows(owner) == [(VICTIM, SECRET), (ATTACKER, "changed")]


async def test_a_forgotten_filter_shows_a_users_own_records_only(diaries: Database) -> None:
    async with diaries.agents.session(ATTACKER) as session:
        found = (await session.execute(select(Diary))).scalars().all()
        assert [diary.text for diary in found] == ["of the attacker"]
        assert (await session.execute(text(f"update {TABLE} set mark = 1 returning created_by"))).all() == [(ATTACKER,)]


async def test_no_method_of_the_records_reaches_another_users_row(
    diaries: Database, owner: psycopg.Connection[Any]
) -> None:
    theirs = diaries.records(Diary, ATTACKER)
    [victims] = await diaries.records(Diary, VICTIM).list()
    assert victims.id is not None
    assert await theirs.get(victims.id) is None
    assert [diary.text for diary in await theirs.list()] == ["of the attacker"]
    assert await theirs.delete(victims.id) is False
    with pytest.raises(errors.AgentError, match="there is no Diary"):
        await theirs.save(Diary(id=victims.id, text="overwritten"))
    added = await theirs.add(Diary(id=victims.id, text="forged", created_by=VICTIM))
    assert (added.id == victims.id, added.created_by) == (False, ATTACKER)
    assert rows(owner)[0] == (VICTIM, SECRET)


@pytest.mark.parametrize("broken", ["", "11", "11:1:2", "x:y:z", FORGED, "over", "of another key"])
def test_a_token_that_is_wrong_or_over_stands_for_nobody(
    agent: psycopg.Connection[Any], key: bytes, broken: str
) -> None:
    if broken == "over":
        broken = agent_logins.token(key, VICTIM, seconds=-2)
    elif broken == "of another key":
        broken = agent_logins.token(key[::-1], VICTIM)
    with agent.transaction():
        agent.execute("select set_config('persais.token', %s, true)", (broken,))
        assert agent.execute(READ).fetchall() == []
    assert agent.execute(READ).fetchall() == []


async def test_others_of_the_same_role_do_not_see_a_token(diaries: Database, agent: psycopg.Connection[Any]) -> None:
    async with diaries.agents.session(VICTIM) as session:
        await session.execute(text("select 1"))
        [mine] = (await session.execute(text("select current_setting('persais.token'), pg_backend_pid()"))).all()
        seen = agent.execute("select query from pg_stat_activity where usename = current_user").fetchall()
        everything = repr(agent.execute("select * from pg_stat_activity").fetchall())
    assert seen
    assert mine[0] not in everything
    begun, going_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        async with diaries.agents.session(VICTIM):
            begun.set()
            await going_on.wait()

    waiting = asyncio.create_task(wait())
    await begun.wait()
    newest = agent.execute("select query from pg_stat_activity where state = 'idle in transaction'").fetchall()
    going_on.set()
    await waiting
    assert any("$1" in query and "persais.token" in query for (query,) in newest)
    assert f"{VICTIM}:" not in repr(newest)


def test_agents_have_no_right_on_anything_of_the_core(
    owner: psycopg.Connection[Any], agent: psycopg.Connection[Any]
) -> None:
    schemas = ("persais", "persais_queue", "persais_graph", "persais_agents")
    things = owner.execute(
        "select format('%%I.%%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace "
        "where nspname = any(%s) and relkind in ('r', 'v', 'm', 'S', 'p')",
        (list(schemas),),
    ).fetchall()
    [role] = owner.execute("select role from persais_agents.login").fetchall()
    callable_ = owner.execute(
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = pronamespace "
        "where nspname = any(%s) and has_function_privilege(%s, p.oid, 'execute')",
        (list(schemas), role[0]),
    ).fetchall()
    allowed = owner.execute(
        "select relname, acl.privilege_type from pg_class c, aclexplode(c.relacl) acl "
        "where acl.grantee = %s::regrole and not starts_with(relname, 'agent_')",
        role,
    ).fetchall()
    assert len(things) > 20
    for (thing,) in things:
        for statement in (f"select * from {thing}", f"delete from {thing}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                agent.execute(statement.encode())
    assert callable_ == [("persais_agents.current_user_id()",)]
    assert allowed == []


def test_the_role_may_log_in_and_no_more(agent: psycopg.Connection[Any]) -> None:
    mine = agent.execute(
        "select rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication from pg_roles "
        "where rolname = current_user"
    ).fetchall()
    assert mine == [(False,) * 5]
    assert agent.execute("select member from pg_auth_members where member = current_user::regrole").fetchall() == []
    rights = agent.execute(
        "select has_database_privilege(current_database(), 'temporary'), has_schema_privilege('public', 'create'), "
        "current_setting('statement_timeout')"
    ).fetchall()
    assert rights == [(False, False, "10s")]


async def test_many_users_take_turns_on_few_connections(database: Database, agent: psycopg.Connection[Any]) -> None:
    async def live(user: int) -> list[int]:
        await database.records(Diary, user).add(Diary(text=str(user)))
        async with database.agents.session(user) as session:
            return [diary.created_by for diary in (await session.execute(select(Diary))).scalars()]

    assert await asyncio.gather(*(live(user) for user in range(1, 61))) == [[user] for user in range(1, 61)]
    query = "select count(*) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"
    assert (agent.execute(query).fetchone() or (99,))[0] <= agent_pool.CONNECTIONS
