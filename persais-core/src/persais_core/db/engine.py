"""Every connection to Postgres is made here: three bounded pools, together at most twenty connections.

SQLAlchemy's for tables, psycopg's for LangGraph's checkpoints, Procrastinate's for the queue. The queue and the
checkpoints live in schemas of their own, which are found by the role's search path (set once by `migrations.prepare`),
since poolers refuse start-up options.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from persais_core import errors
from persais_core.db.records import Record

if TYPE_CHECKING:
    from procrastinate import PsycopgConnector
    from psycopg_pool import AsyncConnectionPool
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from persais_core.db.user_records import UserRecords

R = TypeVar("R", bound=Record)

TABLE_CONNECTIONS = 8
GRAPH_CONNECTIONS = 4
QUEUE_CONNECTIONS = 5


class Database:
    """The pools of one process. Nothing connects before `open`.

    Args:
        url: `postgresql://…`, possibly through a pooler.
        direct_url: a way past the pooler for LISTEN and migrations; the same as `url` where there is none.
    """

    def __init__(self, url: str, direct_url: str | None = None) -> None:
        self.url = url
        self.direct_url = direct_url or url
        self._engine: AsyncEngine | None = None
        self._graph_pool: AsyncConnectionPool[Any] | None = None

    async def open(self) -> None:
        """Make the SQLAlchemy engine and check that the server answers.

        Raises:
            DatabaseError: nobody answers at the address, or it refuses the password.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.ext.asyncio import create_async_engine

        self._engine = create_async_engine(
            sqlalchemy_url(self.url),
            pool_size=TABLE_CONNECTIONS - 3,
            max_overflow=3,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={"prepare_threshold": None, "connect_timeout": 10},
        )
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("select 1"))
        except SQLAlchemyError as error:
            await self.close()
            cause = str(error.__cause__ or error).strip().splitlines()[-1]
            raise errors.DatabaseError(f"the database does not answer: {cause}; check DATABASE_URL") from error

    async def close(self) -> None:
        """Give all connections back."""
        if self._graph_pool is not None:
            await self._graph_pool.close()
        if self._engine is not None:
            await self._engine.dispose()
        self._graph_pool = self._engine = None

    async def answers(self) -> bool:
        """Whether the server answers now."""
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        if self._engine is None:
            return False
        try:
            async with asyncio.timeout(3), self._engine.connect() as connection:
                await connection.execute(text("select 1"))
        except (SQLAlchemyError, TimeoutError, OSError):
            return False
        return True

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end of the block, rolled back if it raises."""
        from sqlalchemy.ext.asyncio import AsyncSession

        if self._engine is None:
            raise errors.DatabaseError("the database is not open")
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def graph_pool(self) -> AsyncConnectionPool[Any]:
        """The pool for LangGraph's saver, made on first use."""
        if self._graph_pool is None:
            from psycopg.rows import dict_row
            from psycopg_pool import AsyncConnectionPool

            self._graph_pool = AsyncConnectionPool(
                self.url,
                open=False,
                min_size=1,
                max_size=GRAPH_CONNECTIONS,
                max_idle=240,
                max_lifetime=1800,
                check=AsyncConnectionPool.check_connection,
                kwargs={"autocommit": True, "prepare_threshold": None, "row_factory": dict_row},
            )
            await self._graph_pool.open(wait=True, timeout=15)
        return self._graph_pool

    def queue_connector(self) -> PsycopgConnector:
        """The connector for Procrastinate, which opens and closes its own pool."""
        from procrastinate import PsycopgConnector

        return PsycopgConnector(conninfo=self.direct_url, min_size=1, max_size=QUEUE_CONNECTIONS)

    def records(self, schema: type[R], user_id: int) -> UserRecords[R]:
        """The records of one schema that belong to one user."""
        from persais_core.db.user_records import UserRecords

        return UserRecords(self, schema, user_id)


def sqlalchemy_url(url: str) -> str:
    """The same address, naming the driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url
