"""Which processes may work, and which of them leads.

The processes of one release work side by side; two releases never do. What tells them apart is the commit: a process is
active while the row in `active_release` names its commit and none of another commit is still at work. Whoever begins
looks for others under one lock, so two releases cannot begin at once; a candidate that is being proven just waits.

Among the active processes each duty is one process's (see `Duty`). All of this is advisory locks on one connection,
which the server lets go when the process dies, however it dies, so another takes over within `ASK_EVERY`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Literal, LiteralString

import psycopg
import structlog

from persais_core import errors
from persais_core.queue import jobs

log = structlog.get_logger(__name__)

ACTIVE_LOCKS = 0x61637469  # advisory locks (this, number of a commit) of the processes that are at work
ENTRY_LOCK = 0x656E7472  # advisory lock under which one begins
DUTY_LOCKS = 0x64757479  # advisory locks (this, number of a duty)
CHANNEL: LiteralString = "persais_active"
ABANDONED_AFTER = 60.0  # seconds without anybody at work, until the version before goes on
ASK_EVERY = 2.0  # seconds between looks at who is active, where nobody says that it changed
WAIT_EVERY = 0.5  # seconds, for one that waits for its turn: another's end may come without a word

Duty = Literal["intake", "work"]
"""What one process does for all: fetch or register for updates; the Mechanic's work, sweeps and daily chores."""
_DUTIES: dict[Duty, int] = {"intake": 1, "work": 2}

WORK_LOCK = {"kind": DUTY_LOCKS, "number": _DUTIES["work"]}
"""What `pg_locks` shows as classid and objid while some process does the Mechanic's work."""

NAMED: LiteralString = "select commit from persais.active_release"
"""Gives the active commit; no row before the first."""
NAME: LiteralString = (
    "insert into persais.active_release (id, commit) values (1, %s) "
    "on conflict (id) do update set commit = excluded.commit, since = now()"
)
"""Makes a commit the active one; whoever runs it notifies `CHANNEL`."""

_OTHERS = (
    "select count(*) filter (where objid != %s::bigint::oid), count(*) from pg_locks where locktype = 'advisory' "
    "and granted and classid = %s and objsubid = 2 and pid != pg_backend_pid() "
    "and database = (select oid from pg_database where datname = current_database())"
)


class Turnstile:
    """The connection of one process on which its locks are.

    Args:
        url: a direct address, not through a pooler.
        commit: what this process serves.
    """

    def __init__(self, url: str, commit: str) -> None:
        self._url, self._commit = url, commit
        self._number = int.from_bytes(hashlib.sha256(commit.encode()).digest()[:4]) >> 1
        self._held: set[Duty] = set()
        self._is_inside = False
        self.is_first = False
        """Whether no other process was at work when this one began."""

    async def __aenter__(self) -> Turnstile:
        with told_as_database_error():
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=10)
            await self._connection.execute(f"listen {CHANNEL}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        # Whoever waits for the locks is told, and only then the connection is closed, which frees them in any case.
        with contextlib.suppress(psycopg.Error):
            await self._connection.execute("select pg_advisory_unlock_all()")
            await self._connection.execute(f"notify {CHANNEL}")
        await self._connection.close()

    async def enter(self, *, reclaim: bool = False) -> None:
        """Return once this process may work.

        Args:
            reclaim: where another commit is named and nobody has worked for it for `ABANDONED_AFTER`, name ours again.

        Raises:
            DatabaseError: the connection was lost.
        """
        clock = asyncio.get_running_loop().time
        abandoned_since: float | None = None
        with told_as_database_error():
            while not await self._try_to_enter():
                if reclaim and await self._is_abandoned():
                    abandoned_since = abandoned_since or clock()
                    if clock() - abandoned_since > ABANDONED_AFTER:
                        log.warning("the version that replaced this one has ended, so this one goes on")
                        await _name(self._connection, self._commit)
                else:
                    abandoned_since = None
                await self._news(WAIT_EVERY)

    async def duties(self, wanted: frozenset[Duty]) -> AsyncIterator[Duty]:
        """Yield each wanted duty when this process gets it; end when another release is active.

        Raises:
            DatabaseError: the connection was lost.
        """
        with told_as_database_error():
            while await self._is_named():
                for duty in sorted(wanted - self._held):
                    if await self._lock("pg_try_advisory_lock", DUTY_LOCKS, _DUTIES[duty]):
                        self._held.add(duty)
                        yield duty
                await self._news(ASK_EVERY)

    async def vouch(self, worker: int) -> None:
        """Say for as long as this process lives that a worker of the queue does; see `jobs.Worker`."""
        with told_as_database_error():
            await self._lock("pg_try_advisory_lock", jobs.VOUCH_LOCKS, worker)

    async def _news(self, seconds: float) -> None:
        """Wait until somebody says that something changed, or for some seconds.

        In short pieces, since nothing else can be asked on a connection that waits.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            async for _ in self._connection.notifies(timeout=min(left, 0.2), stop_after=1):
                return
            await asyncio.sleep(0)

    async def _try_to_enter(self) -> bool:
        if self._is_inside or not await self._is_named():
            return self._is_inside
        async with self._connection.transaction():
            held = await self._connection.execute("select pg_try_advisory_xact_lock(%s)", (ENTRY_LOCK,))
            if (await held.fetchone()) != (True,):
                return False
            row = await (await self._connection.execute(_OTHERS, (self._number, ACTIVE_LOCKS))).fetchone()
            assert row is not None
            others, all_of_them = row
            if others == 0 and await self._is_named():
                self._is_inside = await self._lock("pg_try_advisory_lock_shared", ACTIVE_LOCKS, self._number)
                self.is_first = all_of_them == 0
        return self._is_inside

    async def _is_abandoned(self) -> bool:
        """Whether another commit is named, and nobody is at work."""
        row = await (await self._connection.execute(_OTHERS, (self._number, ACTIVE_LOCKS))).fetchone()
        return row is not None and row[1] == 0 and not await self._is_named()

    async def _is_named(self) -> bool:
        row = await (await self._connection.execute(NAMED)).fetchone()
        return row is not None and row[0] == self._commit

    async def _lock(self, function: str, kind: int, number: int) -> bool:
        query = psycopg.sql.SQL("select {}(%s, %s)").format(psycopg.sql.Identifier(function))
        row = await (await self._connection.execute(query, (kind, number))).fetchone()
        return row == (True,)


@contextlib.contextmanager
def told_as_database_error() -> Iterator[None]:
    """Turn what the driver raises within the block into a `DatabaseError` with the last line of it."""
    try:
        yield
    except psycopg.Error as error:
        raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error


async def activate(url: str, commit: str) -> None:
    """Make a commit the active one; releases that wait for it hear of it at once."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        await _name(connection, commit)


async def named(url: str) -> str | None:
    """The active commit; None before the first."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        row = await (await connection.execute(NAMED)).fetchone()
        return str(row[0]) if row else None


async def _name(connection: psycopg.AsyncConnection, commit: str) -> None:
    await connection.execute(NAME, (commit,))
    await connection.execute(f"notify {CHANNEL}")
