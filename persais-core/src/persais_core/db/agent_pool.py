"""The connections on which agents' records are read and written: a small pool of another login; see `agent_role`.

Each transaction begins with one statement that sets the token of its user, and puts back what an earlier transaction on
the same connection could have changed to its ends. It goes out together with BEGIN and before anything waits for an
answer, so a transaction costs no more round trips than one without. The token is a bound value: others who work as
the same role see a placeholder where they look for the statements of their neighbours.

Nobody but the pool's user, `UserRecords`, gets hold of such a connection. The walls in the database are for the day
that is no longer so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from persais_core import errors
from persais_core.db import agent_role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from persais_core.db.engine import Database

CONNECTIONS = 3
TOKEN_SECONDS = 120
"""How long a token holds; longer than any statement may take, and there is a new one for each transaction."""
STATEMENT_TIMEOUT = "10s"

BEGIN = (
    "select set_config('persais.token', %s, true), set_config('search_path', 'public, pg_temp', true), "
    f"set_config('statement_timeout', '{STATEMENT_TIMEOUT}', true), set_config('role', 'none', true), "
    "set_config('row_security', 'on', true)"
)
_LOGIN = (
    "select role, password, key, problem, extract(epoch from clock_timestamp())::float8 as now "
    "from persais_agents.login"
)
_WHO = (
    "select rolname, rolsuper or rolbypassrls or rolcreatedb or rolcreaterole "
    "from pg_roles where rolname = current_user"
)


class ClosedError(errors.DatabaseError):
    """Agents cannot log in to the database, so records are closed to them: nothing was read or written.

    They are never reached in another way. `/status` repeats the reason, which says what is missing.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason, key="records-closed")


class _Opened(NamedTuple):
    """What a pool that works is made of.

    Args:
        ahead: seconds by which the database's clock is ahead of ours.
    """

    engine: AsyncEngine
    key: bytes
    ahead: float


class AgentPool:
    """The agents' connections of one process; nothing connects before it is used.

    Args:
        database: its owner's pools, where the password is read.
        make: makes an engine for an address of SQLAlchemy's, with so many connections.
    """

    def __init__(self, database: Database, make: Callable[[str, int], AsyncEngine]) -> None:
        self._database, self._make = database, make
        self._opened: _Opened | None = None
        self._opening = asyncio.Lock()

    async def problem(self) -> str | None:
        """Log in, if that was not done yet; returns why it cannot be, None where all is well.

        Agents could not log in, or only as somebody who may too much; the sentence says what to do.
        """
        try:
            await self._ready()
        except (errors.DatabaseError, psycopg.Error) as error:
            return str(error).strip().partition("\n")[0]
        return None

    async def close(self) -> None:
        """Give the connections back."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.engine.dispose()

    @asynccontextmanager
    async def session(self, user_id: int) -> AsyncIterator[AsyncSession]:
        """One transaction that sees the rows of one user; committed at the end, rolled back if the block raises.

        Raises:
            ClosedError: agents cannot log in.
        """
        from sqlalchemy.ext.asyncio import AsyncSession

        opened = await self._ready()
        until = int(time.time() + opened.ahead) + TOKEN_SECONDS
        token = agent_role.token(opened.key, user_id, until=until)
        async with AsyncSession(opened.engine, expire_on_commit=False) as session, session.begin():
            await _begin(session, token)
            yield session

    async def _ready(self) -> _Opened:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await self._log_in()
        return self._opened

    async def _log_in(self) -> _Opened:
        from sqlalchemy.exc import OperationalError

        login = await self._login()
        engine = self._make(self._address(login["role"], login["password"]), CONNECTIONS)
        try:
            try:
                await _check(engine, login["role"])
            except OperationalError:
                # Whoever is logged in as a role may change its password, so it is set again before we give up.
                problem = await asyncio.to_thread(agent_role.repair, self._database.direct_url)
                if problem:
                    raise ClosedError(problem) from None
                await _check(engine, login["role"])
        except (OperationalError, psycopg.Error) as error:
            await engine.dispose()
            cause = str(error.__cause__ or error).strip().splitlines()[-1]
            raise ClosedError(
                f"agents cannot log in to the database: {cause}; where DATABASE_URL goes through a pooler that knows "
                "only some roles, set DATABASE_DIRECT_URL to an address past it"
            ) from error
        except ClosedError:
            await engine.dispose()
            raise
        return _Opened(engine, bytes(login["key"]), login["now"] - time.time())

    async def _login(self) -> dict[str, Any]:
        try:
            rows = await self._database.run(_LOGIN, {})
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            rows = []
        if not rows:
            raise ClosedError("the database has no login for agents yet; start the bot once to prepare it")
        if rows[0]["problem"]:
            raise ClosedError(rows[0]["problem"])
        return rows[0]

    def _address(self, role: str, password: str) -> str:
        """The direct address: a pooler may know no role but the owner's."""
        from sqlalchemy.engine import make_url

        from persais_core.db.engine import sqlalchemy_url

        url = make_url(sqlalchemy_url(self._database.direct_url)).set(username=role, password=password)
        return url.render_as_string(hide_password=False)


async def _begin(session: AsyncSession, token: str) -> None:
    """Begin a transaction and set its token, in one round trip."""
    from sqlalchemy.exc import OperationalError

    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        async with driver.pipeline():
            await driver.execute(BEGIN, (token,))
    except psycopg.OperationalError as error:
        await connection.invalidate(error)
        raise OperationalError("begin", None, error, connection_invalidated=True) from error


async def _check(engine: AsyncEngine, role: str) -> None:
    """Log in and see who we are.

    Raises:
        ClosedError: somebody else, or somebody who may too much.
    """
    from sqlalchemy import text

    async with engine.connect() as connection:
        name, may_too_much = (await connection.execute(text(_WHO))).one()
    if name != role or may_too_much:
        raise ClosedError(
            f"agents would work in the database as {name}, who may see everybody's records; "
            "set DATABASE_DIRECT_URL to an address past the pooler that logs everybody in alike"
        )
