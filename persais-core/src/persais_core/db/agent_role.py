"""The login that agents work as: a role that owns nothing, sees the rows of one user, and has no rights elsewhere.

The role of DATABASE_URL owns every table, so no rule about rows binds it. Records are therefore read and written on
connections of another role (see `agent_pool`), and each table of the bot has a policy: a row is there for the user who
is named by the token of the transaction, and for nobody else. The token is signed. Whoever got hold of such a
connection could set another one, but not sign it: the key lies in a table that only the owner reads, and the function
that holds tokens against it runs as the owner.

All of it lies in a schema of its own, `persais_agents`, and is put there by `install` whenever a start finds it missing
or old. It is no revision of the core's track: half of it belongs to the server rather than to the database, so a dump
that is restored elsewhere, or a copy, must get it again at the same revision. Password and key are made by the server,
once, and set from within a function, so that neither stands in a statement that somebody logs. All processes read the
same row, and nothing changes it while one of them runs.

What is left: rows of others can be guessed at where a column is unique (the second one of a kind is refused), and a
session can hold locks or waste time, for as long as the time-outs let it.
"""

from __future__ import annotations

import hmac
from typing import Any

import psycopg

VERSION = 1
"""Of what `install` puts into a database; the stamp of `core_migrations` tells when it is old."""

_INSTALL = """
create schema if not exists persais_agents;

create table if not exists persais_agents.login (
  id integer primary key default 1 check (id = 1),
  role text not null,
  password text not null,
  key bytea not null,
  inner_pad bytea not null,
  outer_pad bytea not null,
  problem text
);

-- The user of the transaction's token; null where there is none, or it is forged, or over.
create or replace function persais_agents.current_user_id() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $body$
declare
  given text := current_setting('persais.token', true);
  part text[];
  secret record;
  wanted bytea;
begin
  if given is null or given !~ '^-?[0-9]{1,19}:[0-9]{1,11}:[0-9a-f]{64}$' then
    return null;
  end if;
  part := string_to_array(given, ':');
  select inner_pad, outer_pad into secret from persais_agents.login;
  if not found then
    return null;
  end if;
  -- HMAC-SHA256 as RFC 2104 writes it, since pgcrypto is not everywhere.
  wanted := sha256(secret.outer_pad || sha256(secret.inner_pad || convert_to(part[1] || ':' || part[2], 'UTF8')));
  -- Digests of both are compared: how long that takes says nothing about the signature.
  if sha256(secret.outer_pad || wanted) <> sha256(secret.outer_pad || decode(part[3], 'hex')) then
    return null;
  end if;
  if part[2]::bigint < extract(epoch from clock_timestamp()) then
    return null;
  end if;
  return part[1]::bigint;
end $body$;

-- Choose the role's name, its password and the key, once for this database.
create or replace function persais_agents.make_login() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  words text := gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text;
  secret bytea := sha256(convert_to(words, 'UTF8'));
  inner_pad bytea := secret || decode(repeat('00', 32), 'hex');
  outer_pad bytea := inner_pad;
begin
  for place in 0..63 loop
    outer_pad := set_byte(outer_pad, place, get_byte(inner_pad, place) # 92);
    inner_pad := set_byte(inner_pad, place, get_byte(inner_pad, place) # 54);
  end loop;
  insert into persais_agents.login (role, password, key, inner_pad, outer_pad) values (
    'persais_agents_' || left(replace(gen_random_uuid()::text, '-', ''), 10),
    replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
    secret, inner_pad, outer_pad
  ) on conflict do nothing;
end $body$;

-- Make the role, or give it back its password and its settings: a role may change its own.
create or replace function persais_agents.open_login(anew boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  login record;
  settings text[];
begin
  select role, password into strict login from persais_agents.login;
  select coalesce(rolconfig, '{}') into settings from pg_roles where rolname = login.role;
  if not found then
    execute format('create role %I login password %L', login.role, login.password);
  elsif anew then
    -- In plain words, as some services keep passwords of their own and refuse one that is hashed already.
    execute format('alter role %I login password %L', login.role, login.password);
  end if;
  if anew or settings is distinct from array['search_path=public, pg_temp', 'statement_timeout=10s',
      'lock_timeout=5s', 'idle_in_transaction_session_timeout=30s'] then
    execute format('alter role %I reset all', login.role);
    execute format('alter role %I in database %I reset all', login.role, current_database());
    execute format('alter role %I set search_path = public, pg_temp', login.role);
    execute format('alter role %I set statement_timeout = %L', login.role, '10s');
    execute format('alter role %I set lock_timeout = %L', login.role, '5s');
    execute format('alter role %I set idle_in_transaction_session_timeout = %L', login.role, '30s');
  end if;
end $body$;

-- What everybody may do in a fresh database, and what the agents' role may do here.
create or replace function persais_agents.close_to_others() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  login text := (select r.rolname from persais_agents.login l join pg_roles r on r.rolname = l.role);
  thing text;
begin
  -- Where this role is not the owner of the database or its server, these stay; no row depends on them.
  begin
    revoke create on schema public from public;
    execute format('revoke temporary on database %I from public', current_database());
    if (select rolsuper from pg_roles where rolname = current_user) then
      for thing in
        select oid::regprocedure::text from pg_proc where pronamespace = 'pg_catalog'::regnamespace
        and proname ~ '^(lo_.*|loread|lowrite)$' and has_function_privilege('public', oid, 'execute')
      loop
        execute format('revoke execute on function %s from public', thing);
      end loop;
    end if;
  exception when insufficient_privilege then null;
  end;
  for thing in
    select nspname from pg_namespace where nspname in ('persais', 'persais_queue', 'persais_graph', 'persais_agents')
    and pg_has_role(nspowner, 'usage')
  loop
    execute format('revoke all on schema %I from public', thing);
    execute format('revoke execute on all functions in schema %I from public', thing);
  end loop;
  if login is not null then
    execute format('grant usage on schema public to %I', login);
    execute format('grant execute on function persais_agents.current_user_id() to %I', login);
    execute format('grant connect on database %I to %I', current_database(), login);
  end if;
end $body$;

-- Give each table of the bot that has none its policy, and the role its rights on it. Returns how many there were.
create or replace function persais_agents.guard() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  login text := (select r.rolname from persais_agents.login l join pg_roles r on r.rolname = l.role);
  found record;
  counter text;
  done integer := 0;
begin
  for found in
    select * from (
      select c.oid, format('public.%I', c.relname) as name, c.relrowsecurity as has_rows_closed,
        exists (
          select from pg_attribute a where a.attrelid = c.oid and a.attname = 'created_by' and not a.attisdropped
          and a.atttypid in ('integer'::regtype, 'bigint'::regtype)
        ) as has_owners,
        exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'persais_own_records') as has_policy,
        login is null or (
          has_table_privilege(login, c.oid, 'select') and has_table_privilege(login, c.oid, 'insert')
          and has_table_privilege(login, c.oid, 'update')
        ) as has_rights,
        array(
          select format('public.%I', s.relname) from pg_depend d join pg_class s on s.oid = d.objid
          where d.refobjid = c.oid and d.refclassid = 'pg_class'::regclass and d.classid = 'pg_class'::regclass
          and d.deptype in ('a', 'i') and login is not null
          -- A case, since conditions may be asked in any order, and the last one fails for what counts nothing.
          and case when s.relkind = 'S' then not has_sequence_privilege(login, s.oid, 'usage') else false end
        ) as counters
      from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and starts_with(c.relname, 'agent_') and pg_has_role(c.relowner, 'usage')
    ) tables
    where not has_rows_closed or (has_owners and not (has_policy and has_rights and cardinality(counters) = 0))
  loop
    done := done + 1;
    if not found.has_rows_closed then
      execute format('alter table %s enable row level security', found.name);
    end if;
    continue when not found.has_owners;
    if not found.has_policy then
      -- In brackets with a select, it is asked once for a statement rather than once for a row.
      execute format(
        'create policy persais_own_records on %s using (created_by = (select persais_agents.current_user_id())) '
        'with check (created_by = (select persais_agents.current_user_id()))', found.name);
    end if;
    if not found.has_rights then
      execute format('grant select, insert, update on %s to %I', found.name, login);
    end if;
    foreach counter in array found.counters loop
      execute format('grant usage on sequence %s to %I', counter, login);
    end loop;
  end loop;
  return done;
end $body$;

revoke all on schema persais_agents from public;
revoke all on all functions in schema persais_agents from public;
"""

_RIGHTS = """
select r.rolsuper or r.rolbypassrls or r.rolcreatedb or r.rolcreaterole or r.rolreplication
  or exists (select from pg_auth_members m where m.member = r.oid)
  or exists (
    select from pg_shdepend d
    where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o'
  )
from persais_agents.login l join pg_roles r on r.rolname = l.role
"""


def install(connection: psycopg.Connection[Any]) -> str | None:
    """Put everything into a database: the functions, the role, the policies of the tables that are there.

    Args:
        connection: of the owner, with autocommit; repeating it is harmless.

    Returns:
        Why agents cannot log in, in one sentence; None when they can.

    Raises:
        psycopg.Error: this role may not even make a schema or change the tables.
    """
    prepare_tables(connection)
    with connection.transaction():
        connection.execute("select persais_agents.make_login()")
    problem = _open(connection, anew=False)
    with connection.transaction():
        connection.execute("update persais_agents.login set problem = %s", (problem,))
        connection.execute("select persais_agents.close_to_others()")
        connection.execute("select persais_agents.guard()")
    return problem


def prepare_tables(connection: psycopg.Connection[Any]) -> None:
    """Put in what the policies of tables need, without a login: enough for a copy that no agent ever sees."""
    with connection.transaction():
        connection.execute(_INSTALL)


def repair(url: str) -> str | None:
    """Give the role its password and settings again, after somebody who was logged in as it changed them. Blocks.

    Args:
        url: of the owner.

    Returns:
        Why agents cannot log in; None when they can.

    Raises:
        psycopg.Error: no connection.
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        return _open(connection, anew=True)


def is_installed(connection: psycopg.Connection[Any]) -> bool:
    """Whether the role is there and nothing was wrong with it, ."""
    there = connection.execute("select to_regclass('persais_agents.login') is not null").fetchone()
    if there is None or not there[0]:
        return False  # a dump that was restored in part
    query = "select 1 from persais_agents.login l join pg_roles r on r.rolname = l.role where l.problem is null"
    return connection.execute(query).fetchone() is not None


def name(connection: psycopg.Connection[Any]) -> str:
    """The role's name in a database that has seen `install`."""
    row = connection.execute("select role from persais_agents.login").fetchone()
    assert row
    return str(row[0])


def guard(connection: psycopg.Connection[Any]) -> None:
    """Give tables that are new their policy, in the transaction that made them.

    Until then the role has no right on them at all. A database that has not seen `install` is left as it is; the first
    start of a bot on it does all at once.
    """
    row = connection.execute("select to_regprocedure('persais_agents.guard()') is not null").fetchone()
    if row and row[0]:
        connection.execute("select persais_agents.guard()")


def token(key: bytes, user_id: int, *, until: int) -> str:
    """What proves to the policies whose rows are meant.

    Args:
        key: of the database.
        user_id: whose.
        until: seconds since 1970 on the database's clock.
    """
    said = f"{user_id}:{until}"
    return f"{said}:{hmac.new(key, said.encode('ascii'), 'sha256').hexdigest()}"


def _open(connection: psycopg.Connection[Any], *, anew: bool) -> str | None:
    """Make the role or mend it; returns why that failed."""
    try:
        # Some services refuse only when the transaction is committed.
        with connection.transaction():
            connection.execute("select persais_agents.open_login(%s)", (anew,))
    except psycopg.Error as error:
        owner = connection.info.user
        return (
            f"the role that agents work as in the database could not be made ({_sentence(error)}); "
            f'run `alter role "{owner}" createrole` as an administrator of the database and start again'
        )
    row = connection.execute(_RIGHTS).fetchone()
    if row is None or row[0]:
        return (
            "the role that agents work as in the database has more rights than it may have, or owns something; "
            "take them from it (its name is in persais_agents.login) and start again"
        )
    return None


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
