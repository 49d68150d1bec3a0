"""The queue's connections: what a worker says of its jobs is said again where a connection breaks.

Procrastinate says once that a job has ended. Where just that fails while the worker lives on, the job would count as
running until the process ends, and hold up the chat whose lock it has.
"""

from __future__ import annotations

import asyncio
from typing import Any, LiteralString

import psycopg
import structlog
from procrastinate import PsycopgConnector, exceptions
from psycopg_pool import PoolTimeout

log = structlog.get_logger(__name__)

TRIES = 8  # more than the pool has connections, all of which may have broken
PAUSE = 0.25  # seconds


class QueueConnector(PsycopgConnector):
    """Procrastinate's connector, whose statements that ask nothing are made again while connections break.

    All of them may be: they end a job, or note that a worker lives or does not. What hands a job back may be as long as
    it was not heard: after that the job may be somebody else's. A job that is not there is not this worker's any more:
    another process has taken it up, or an earlier try was heard after all.
    """

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Run a statement.

        Raises:
            ConnectorException: Postgres refuses it, or is away for longer.
        """
        before: int | None = None
        for left in reversed(range(TRIES)):
            try:
                if "retry_job" in query:
                    attempts = await self._attempts(arguments["job_id"])
                    if before is not None and attempts != before:
                        return
                    before = attempts
                await super().execute_query_async(query, **arguments)
                return
            except exceptions.ConnectorException as error:
                if isinstance(error.__cause__, psycopg.errors.RaiseException):
                    log.warning("a job that ends here is not this process's any more", cause=str(error.__cause__))
                    return
                if not left or not _has_broken(error.__cause__):
                    raise
            await asyncio.sleep(PAUSE)

    async def _attempts(self, job: int) -> int | None:
        """How often a job was handed back; None where it is not there."""
        rows = await self.execute_query_all_async("select attempts from procrastinate_jobs where id = %(job)s", job=job)
        return rows[0]["attempts"] if rows else None


def _has_broken(cause: BaseException | None) -> bool:
    """Whether a connection was lost; where none could be had, the pool has waited long enough already."""
    return isinstance(cause, psycopg.OperationalError) and not isinstance(cause, PoolTimeout)
