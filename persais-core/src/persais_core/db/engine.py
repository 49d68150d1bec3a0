"""Every connection to Postgres is made here: four bounded pools, together at most twenty connections.

SQLAlchemy's for work in several steps, psycopg's for what is done in one statement (most of what a message needs, and
LangGraph's checkpoints), Procrastinate's for the queue, and one of another login for what agents do (`agent_pool`). The
queue and the checkpoints live in schemas of their own, which are found by the role's search path (set once by
`core_migrations.prepare`), since poolers refuse start-up options. No pool asks a connection whether it lives before
each use; see `liveness`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import PipelineStatus
from psycopg.rows import dict_row
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import event, text
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from persais_core import errors
from persais_core.db import agent_pool, liveness, stored_json
from persais_core.db.records import Record
from persais_core.db.user_records import UserRecords

if TYPE_CHECKING:
    from persais_core.db.queue_connector import QueueConnector

R = TypeVar("R", bound=Record)

TABLE_CONNECTIONS = 5
STATEMENT_CONNECTIONS = 5
QUEUE_CONNECTIONS = 4  # besides the two on which it listens
PREPARE_AFTER = 2  # uses of a statement, where no pooler stands between; planned anew it costs more than it does
MAX_IDLE = 240.0  # seconds until a connection that a burst needed is given back
MAX_LIFETIME = 1800.0  # seconds


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
        self._statements: AsyncConnectionPool[Any] | None = None
        self._doubts = liveness.Doubts()
        self.agents = agent_pool.AgentPool(self, self._make_engine)

    async def open(self) -> None:
        """Make the pools and check that the server answers.

        Raises:
            DatabaseError: nobody answers at the address, or it refuses the password.
        """
        self._engine = self._make_engine(sqlalchemy_url(self.url), TABLE_CONNECTIONS)
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("select 1"))
        except SQLAlchemyError as error:
            await self.close()
            cause = str(error.__cause__ or error).strip().splitlines()[-1]
            raise errors.DatabaseError(f"the database does not answer: {cause}; check DATABASE_URL") from error
        self._statements = self._pool(
            conninfo=self.url,
            open=False,
            min_size=1,
            max_size=STATEMENT_CONNECTIONS,
            configure=_set_json,
            kwargs={
                "autocommit": True,
                "prepare_threshold": PREPARE_AFTER if self.direct_url == self.url else None,
                "row_factory": dict_row,
                "connect_timeout": 10,
            },
        )
        await self._statements.open()

    async def close(self) -> None:
        """Give all connections back."""
        engine, statements = self._engine, self._statements
        self._engine = self._statements = None
        await self.agents.close()
        if engine is not None:
            await engine.dispose()
        if statements is not None:
            await statements.close()

    async def answers(self) -> bool:
        """Whether the server answers now."""
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
        if self._engine is None:
            raise errors.DatabaseError("the database is not open")
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def run(self, statement: LiteralString, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run one statement that is a transaction of its own.

        Args:
            statement: with a placeholder such as `%(name)s` for each value.
            values: by name.

        Returns:
            Its rows, by column; none for a statement that gives no rows.

        Raises:
            psycopg.Error: what Postgres refuses, or no connection could be had or kept.
        """
        pool = await self.graph_pool()
        async with pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def graph_pool(self) -> AsyncConnectionPool[Any]:
        """The pool for what is done in one statement, LangGraph's saver among it."""
        if self._statements is None:
            raise errors.DatabaseError("the database is not open")
        return self._statements

    def queue_connector(self) -> QueueConnector:
        """The connector for Procrastinate, which opens and closes its own pool.

        Its queries are one statement each; without `configure` each would be wrapped in a transaction.
        """
        # Takes longer than the rest to import, and only a worker needs it.
        from persais_core.db.queue_connector import QueueConnector

        return QueueConnector(
            conninfo=self.direct_url,
            min_size=1,
            max_size=QUEUE_CONNECTIONS,
            pool_factory=self._pool,
            configure=_set_autocommit,
        )

    def _pool(self, **options: Any) -> AsyncConnectionPool[Any]:
        """A psycopg pool that asks a connection whether it lives only where there is a reason to doubt it."""

        async def check(connection: AsyncConnection[Any]) -> None:
            if connection.info.pipeline_status != PipelineStatus.OFF:
                # Whoever had it was cancelled in the middle of a pipeline, as an aborted change is: nothing asked on
                # it would be answered any more. Closed, it is replaced by the pool.
                await connection.close()
                raise psycopg.OperationalError("the connection was left in the middle of a pipeline")
            if not self._doubts.about(connection):
                return
            try:
                await made.check_connection(connection)
            except Exception:
                # The others have most likely died with it, and the pool waits longer after each that it finds.
                await made.check()
                raise

        made: AsyncConnectionPool[Any] = AsyncConnectionPool(
            **options | {"check": check, "max_idle": MAX_IDLE, "max_lifetime": MAX_LIFETIME}
        )
        return made

    def _make_engine(self, address: str, connections: int) -> AsyncEngine:
        """An engine with so many connections at most; two of them are kept while nobody needs them."""
        made = create_async_engine(
            address,
            pool_size=2,
            max_overflow=connections - 2,
            pool_recycle=int(MAX_LIFETIME),
            connect_args={"prepare_threshold": None, "connect_timeout": 10},
            hide_parameters=True,  # a statement that fails is logged; what people wrote is not
            json_serializer=stored_json.dumps,
        )
        self._replace_dead(made)
        return made

    def _replace_dead(self, engine: AsyncEngine) -> None:
        """Have the engine ask a connection whether it lives only where there is a reason to doubt it."""

        def check(taken: Any, *_: object) -> None:
            try:
                if self._doubts.about(taken.driver_connection):
                    engine.dialect.do_ping(taken)
            except psycopg.Error as error:
                raise InvalidatePoolError from error

        event.listen(engine.sync_engine, "checkout", check)

    def records(self, schema: type[R], user_id: int) -> UserRecords[R]:
        """The records of one schema that belong to one user."""
        return UserRecords(self.agents, schema, user_id)


def sqlalchemy_url(url: str) -> str:
    """The same address, naming the driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


async def _set_json(connection: AsyncConnection[Any]) -> None:
    set_json_dumps(stored_json.dumps, connection)


async def _set_autocommit(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
