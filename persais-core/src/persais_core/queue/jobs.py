"""The queue: Procrastinate, told which jobs there are and handed what they do.

A job is put in within the transaction that makes it necessary, so there is never one without the other. Jobs with the
same lock run one after the other in the order they came: the lock of a turn is its lane, of a change its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, LiteralString

import structlog
from sqlalchemy import text

from persais_core.db.engine import Database

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.job_context import JobContext
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

CONCURRENCY = 8
GRACE = 20.0  # seconds a running job gets to end when the worker stops; then it is handed back
POLL = 1.0  # seconds; retries and scheduled jobs are not announced
STALLED_AFTER = 30.0  # seconds without a heartbeat until a worker counts as dead
QUEUE: LiteralString = "persais"

Handler = Callable[..., Awaitable[None]]


def job(task: LiteralString, *, lock: LiteralString, args: LiteralString, due: LiteralString = "null") -> LiteralString:
    """The SQL expression that puts a job in the queue, to be part of the statement that makes it necessary.

    Args:
        task: expression for the name of a handler given to `Worker`, as text.
        lock: expression for the lock, as text or null; see `defer`.
        args: expression for the handler's arguments, as jsonb.
        due: expression for the time before which it may not run, or null: at once.
    """
    row = f"row('{QUEUE}', {task}, 0, {lock}, null, {args}, {due})::procrastinate_job_to_defer_v1"
    return f"procrastinate_defer_jobs_v1(array[{row}])"


_WITH_VALUES: dict[str, LiteralString] = {"task": ":task", "lock": ":lock", "args": "cast(:args as jsonb)"}
_DEFER = text("select " + job(**_WITH_VALUES, due="now() + make_interval(secs => :delay)"))
_DEFER_NOW = text("select " + job(**_WITH_VALUES))


async def defer(session: AsyncSession, task: str, *, lock: str | None, delay: float = 0.0, **args: Any) -> None:
    """Put a job in the queue, when and only when this transaction commits.

    Args:
        session: an open transaction.
        task: name of a handler given to `Worker`.
        lock: jobs with the same lock run one at a time, oldest first; None: at once.
        delay: seconds until it may run.
        args: JSON arguments of the handler.
    """
    values = {"task": task, "lock": lock, "args": json.dumps(args)}
    if delay > 0:
        await session.execute(_DEFER, values | {"delay": delay})
    else:
        await session.execute(_DEFER_NOW, values)


async def cancel(session: AsyncSession, lock: str) -> None:
    """Take back the waiting jobs of a lock, and have its running one cancelled, when this transaction commits."""
    found = await session.execute(
        text("select id from procrastinate_jobs where lock = :lock and status in ('todo', 'doing') order by id"),
        {"lock": lock},
    )
    for number in found.scalars().all():
        await session.execute(text("select procrastinate_cancel_job_v1(:job, true, false)"), {"job": number})


class Worker:
    """Runs jobs until it is told to stop.

    Args:
        database: whose queue.
        handlers: what each task does; called with the job's arguments.
    """

    def __init__(self, database: Database, handlers: Mapping[str, Handler]) -> None:
        self._database, self._handlers = database, handlers

    async def run(self, *, alone: bool) -> None:
        """Work until cancelled; then finish what is running within `GRACE`, and hand back the rest.

        Args:
            alone: no other worker is alive (the caller holds the lock that says so), so a job that is marked as
                running was left behind by a kill and is taken up at once.
        """
        app = self._app()
        async with app.open_async():
            if alone:
                await self._take_up(app, 0)
            sweep = asyncio.create_task(self._sweep(app))
            try:
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=POLL,
                    abort_job_polling_interval=POLL,
                    shutdown_graceful_timeout=GRACE,
                    stalled_worker_timeout=STALLED_AFTER,
                    delete_jobs="successful",
                )
            finally:
                sweep.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sweep

    def _app(self) -> procrastinate.App:
        import procrastinate

        app = procrastinate.App(connector=self._database.queue_connector())
        # Infrastructure failures come back with a pause; what a handler itself expects, it deals with.
        retry = procrastinate.RetryStrategy(max_attempts=5, exponential_wait=2)
        for name, handler in self._handlers.items():
            app.task(name=name, queue=QUEUE, retry=retry, pass_context=True)(_plain(handler))
        return app

    async def _sweep(self, app: procrastinate.App) -> None:
        """Take up what dead workers left behind."""
        while True:
            await asyncio.sleep(STALLED_AFTER / 3)
            try:
                await self._take_up(app, STALLED_AFTER)
            except Exception as error:  # the database may be away for a while; the next round asks again
                log.warning("the sweep for stalled jobs failed", error=str(error))

    async def _take_up(self, app: procrastinate.App, seconds: float) -> None:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=seconds):
            log.warning("a job left by a dead worker is taken up again", job_id=job.id, task=job.task_name)
            await app.job_manager.retry_job(job)


def _plain(handler: Handler) -> Callable[..., Coroutine[Any, Any, None]]:
    """A handler as Procrastinate calls it, with the job's number bound to the log."""

    async def run(context: JobContext, **args: Any) -> None:
        with structlog.contextvars.bound_contextvars(job_id=context.job.id, task=context.job.task_name, **args):
            try:
                await handler(**args)
            except Exception as error:  # the library retries it, and says so only at a level nobody reads
                log.exception("a job failed", attempt=context.job.attempts + 1, error_type=type(error).__name__)
                raise

    return run
