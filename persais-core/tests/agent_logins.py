"""How tests log in as the role that agents work as, the way somebody would who got hold of its password."""

from __future__ import annotations

import time

import psycopg
from psycopg.conninfo import make_conninfo

from persais_core.db import agent_role


def address(url: str) -> str:
    """Where the agents of a database log in.

    Args:
        url: of its owner.
    """
    with psycopg.connect(url) as connection:
        row = connection.execute("select role, password from persais_agents.login").fetchone()
    assert row
    return make_conninfo(url, user=row[0], password=row[1])


def key(url: str) -> bytes:
    """The key by which tokens are signed."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select key from persais_agents.login").fetchone()
    assert row
    return bytes(row[0])


def token(key: bytes, user_id: int, *, seconds: float = 60) -> str:
    """A token as our code makes it, good for so many seconds."""
    return agent_role.token(key, user_id, until=int(time.time() + seconds))
