"""The queue: Procrastinate, told which jobs there are and handed what they do.

A job is put in within the transaction that makes it necessary, so there is never one without the other. Jobs with the
same lock run one after the other in the order they came: the lock of a turn is its lane, of a change its number.

There are two queues. What people wait for in a chat is done by every process that works. The Mechanic's work is done by
one of them, the leader, since it has the repository, the worktrees and the previews; so is whatever else there may be
only one of.

A job that raises holds up its lock until it is tried again, so it is tried twice; then it is handed to whoever sets
such jobs aside, and the next one runs. While the database, or the place that keeps the code, is away nothing is learnt
about a job: it gets more tries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from persais_core import errors
from persais_core.db.engine import Database
from persais_core.domain.tasks import Task
from persais_core.queue import claims

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.job_context import JobContext
    from procrastinate.worker import Worker as Library
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

QUEUE: LiteralString = "persais"
"""What is said in chats; every process that works takes from it."""
LEADERS: LiteralString = "persais.leader"
"""All else; only the leader takes from it."""
CHAT_TASKS: frozenset[Task] = frozenset({"turn", "urgent", "deliver"})

CONCURRENCY = 32  # jobs from chats at once; a turn that waits for the rest of what is being typed is one of them
LEADERS_CONCURRENCY = 8
DEAF_AFTER = 5.0  # seconds beyond the grace until a worker that has not ended is told once more
GRACE = 20.0  # seconds a running job gets to end when the worker stops; then it is handed back
POLL = 1.0  # seconds; retries and scheduled jobs are not announced
HEARTBEAT = 1.0  # seconds
LOST_AFTER = 5.0  # seconds without a heartbeat until a worker that nobody vouches for counts as dead
GONE_AFTER = 60.0  # seconds without a heartbeat until any worker does: its machine may have gone without a word
SWEEP_EVERY = 2.0  # seconds
VOUCH_LOCKS = 0x776F726B  # advisory locks (this, number of a worker) that last as long as its process
TRIES = 2  # of a job that raises
OUTAGE_TRIES = 8  # of a job that the database, or the death of its worker, kept from ending
FAR_TRIES = 60  # of a job that the place which keeps the code kept from ending; with their pauses an hour
LONGEST_PAUSE = 60  # seconds between two tries

Handler = Callable[..., Awaitable[None]]
Vouch = Callable[[int], Awaitable[None]]
"""Takes the lock that tells others for as long as this process lives that a worker of this number does."""


_JOB: ContextVar[int | None] = ContextVar("job", default=None)
"""Number of the Mechanic's job that runs; None elsewhere."""


class TakenOverError(Exception):
    """Raised within a job that another process has taken up, since this one seemed dead: it has no say any more."""


class ElsewhereError(Exception):
    """Raised by a handler: this is the leader's to do. The job is moved there, and keeps its place."""


@dataclass(frozen=True)
class Dead:
    """A job that is given up.

    Args:
        task: name of its handler.
        args: the handler's arguments.
        lock: as in `defer`.
        tries: how often it was begun.
        cause: what was raised last; one line, not redacted.
    """

    task: Task
    args: Mapping[str, Any]
    lock: str | None
    tries: int
    cause: str


OnDead = Callable[[Dead], Awaitable[None]]


def job(task: Task, *, lock: LiteralString, args: LiteralString) -> LiteralString:
    """The SQL expression that puts a job in its queue at once, to be part of the statement that makes it necessary.

    Args:
        task: name of a handler given to `Worker`.
        lock: expression for the lock, as text or null; see `defer`.
        args: expression for the handler's arguments, as jsonb.
    """
    return _job(f"'{task}'", queue=f"'{_queue_of(task)}'", lock=lock, args=args, due="null")


def _job(
    task: LiteralString, *, queue: LiteralString, lock: LiteralString, args: LiteralString, due: LiteralString
) -> LiteralString:
    row = f"row({queue}, {task}, 0, {lock}, null, {args}, {due})::procrastinate_job_to_defer_v1"
    return f"procrastinate_defer_jobs_v1(array[{row}])"


def _queue_of(task: Task) -> LiteralString:
    return QUEUE if task in CHAT_TASKS else LEADERS


_VALUES: dict[str, LiteralString] = {"queue": ":queue", "lock": ":lock", "args": "cast(:args as jsonb)"}
_DEFER = text("select " + _job(":task", **_VALUES, due="now() + make_interval(secs => :delay)"))
_DEFER_NOW = text("select " + _job(":task", **_VALUES, due="null"))


async def defer(session: AsyncSession, task: Task, *, lock: str | None, delay: float = 0.0, **args: Any) -> None:
    """Put a job in the queue, when and only when this transaction commits.

    Args:
        session: an open transaction.
        task: name of a handler given to `Worker`.
        lock: jobs with the same lock run one at a time, oldest first (see `locks`); None: at once.
        delay: seconds until it may run.
        args: JSON arguments of the handler.
    """
    values = {"task": task, "lock": lock, "args": json.dumps(args), "queue": _queue_of(task)}
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


async def hold(session: AsyncSession) -> None:
    """See to it that the present job stays this process's until the transaction ends; outside of one nothing happens.

    A process that is cut off from the database for a moment may find that another one does its jobs. What it does not
    write any more then, it cannot spoil. Call it after the transaction's other locks: whoever calls a job off has those
    first.

    Raises:
        TakenOverError: another process has taken it up.
    """
    number, worker = _JOB.get(), claims.WORKER.get()
    if number is not None and not (await session.execute(_HOLD, {"job": number, "worker": worker})).first():
        raise TakenOverError(number)


# In whatever state: what is shielded goes on after its job was handed back, as long as this worker is known. A machine
# that goes away in the middle must not keep the job from others for longer than a minute.
_HOLD = text(
    "select id, set_config('idle_in_transaction_session_timeout', '60s', true) from procrastinate_jobs "
    "where id = :job and worker_id = :worker for share"
)


class Worker:
    """Runs jobs until it is told to stop.

    Args:
        database: whose queue.
        handlers: what each task does; called with the job's arguments.
        on_dead: called with a job that is given up, which is gone from the queue once this returns; where it raises,
            the job is tried again instead. None: such a job stays in the queue's table, as failed.
        grace: seconds a running job gets to end when the worker stops.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[Task, Handler],
        on_dead: OnDead | None = None,
        *,
        grace: float = GRACE,
    ) -> None:
        self._database, self._handlers, self._on_dead, self._grace = database, handlers, on_dead, grace
        self._workers: list[Library] = []

    def abandon(self) -> None:
        """What is due now when it ends: others may do the Mechanic's jobs already, so those get no time to end here."""
        for worker in self._workers:
            if worker.queues == [LEADERS]:
                worker.shutdown_graceful_timeout = 0.0

    async def run(self, *, alone: bool, leading: asyncio.Event | None = None, vouch: Vouch | None = None) -> None:
        """Work until cancelled; then finish what is running within the grace, and hand back the rest.

        Args:
            alone: no other worker is alive (the caller holds the lock that says so), so a job that is marked as
                running was left behind by a kill and is taken up at once.
            leading: set once this process leads, and never cleared; None: it does from the start.
            vouch: called with the number of each worker.

        Raises:
            DatabaseError: it ended without being told to.
        """
        leads = leading or asyncio.Event()
        if leading is None:
            leads.set()
        app = self._app(leads)
        async with app.open_async():
            if alone:
                await self._take_up(app, everything=True)
            tasks = [
                asyncio.create_task(self._work(app, QUEUE, CONCURRENCY, vouch)),
                asyncio.create_task(self._lead(app, leads, vouch)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _ended(*tasks)
        causes = [str(task.exception()) for task in tasks if not task.cancelled() and task.exception()]
        raise errors.DatabaseError("; ".join(["the queue's worker ended", *causes]))

    async def _lead(self, app: procrastinate.App, leads: asyncio.Event, vouch: Vouch | None) -> None:
        """Do what only one process may do, once this is it."""
        await leads.wait()
        sweep = asyncio.create_task(self._sweep(app))
        try:
            await self._work(app, LEADERS, LEADERS_CONCURRENCY, vouch)
        finally:
            await _ended(sweep, deaf_after=1)

    async def _work(self, app: procrastinate.App, queue: str, concurrency: int, vouch: Vouch | None) -> None:
        """Run the jobs of one queue."""
        from procrastinate.worker import Worker

        worker = Worker(
            app=app,
            queues=[queue],
            concurrency=concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=POLL,
            abort_job_polling_interval=POLL,
            shutdown_graceful_timeout=self._grace,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=GONE_AFTER,
            delete_jobs="successful",
        )
        self._workers.append(worker)
        running: asyncio.Task[None] = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
        try:
            while worker.worker_id is None and not running.done():  # noqa: ASYNC110 - the library has no event for it
                await asyncio.sleep(0.02)
            if vouch is not None and worker.worker_id is not None:
                await vouch(worker.worker_id)
            await asyncio.wait([running])
        finally:
            # Told once it lets the jobs end within the grace. Told twice it leaves them, and others take them up.
            await _ended(running, deaf_after=self._grace + DEAF_AFTER)
        await running

    def _app(self, leads: asyncio.Event) -> procrastinate.App:
        import procrastinate

        app = procrastinate.App(connector=self._database.queue_connector())

        class Again(procrastinate.BaseRetryStrategy):
            """What a handler itself expects, it deals with; the rest comes back after a pause."""

            def get_retry_decision(
                self, *, exception: BaseException, job: procrastinate.jobs.Job
            ) -> procrastinate.RetryDecision | None:
                if isinstance(exception, ElsewhereError):
                    return procrastinate.RetryDecision(queue=LEADERS)
                if isinstance(exception, asyncio.CancelledError | TakenOverError):
                    # Handed back, so another process may begin it at once; nothing happens where one has.
                    return procrastinate.RetryDecision()
                if on_dead is None and job.attempts + 1 >= _tries(exception):
                    return None
                pause = min(LONGEST_PAUSE, 2**job.attempts)
                return procrastinate.RetryDecision(retry_in={"seconds": pause})

        on_dead = self._on_dead
        for name, handler in self._handlers.items():
            app.task(name=name, queue=QUEUE, retry=Again(), pass_context=True)(_plain(name, handler, on_dead, leads))
        return app

    async def _sweep(self, app: procrastinate.App) -> None:
        """Take up what dead workers left behind."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self._take_up(app)
            except Exception as error:  # the database may be away for a while; the next round asks again
                log.warning("the sweep for stalled jobs failed", error=str(error))

    async def _take_up(self, app: procrastinate.App, *, everything: bool = False) -> None:
        """Put back the jobs of workers that are dead; with `everything`, all that is marked as running."""
        import procrastinate

        stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=0 if everything else LOST_AFTER)
        if not everything:
            own = {worker.worker_id for worker in self._workers}
            # Neither a jump of the clock nor a pause of the machine kills a worker; one that others forgot is None.
            stalled = [job for job in stalled if job.worker_id is None or job.worker_id not in own]
        if stalled and not everything:
            [living] = await self._database.run(_LIVING, {"vouch": VOUCH_LOCKS, "settled": LOST_AFTER})
            if not living["is_settled"]:
                return  # the server has just started, and those that live could not say so yet
            gone = {job.id for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=GONE_AFTER)}
            stalled = [job for job in stalled if job.worker_id not in living["workers"] or job.id in gone]
        for job in stalled:
            if self._on_dead is not None and job.attempts + 1 >= OUTAGE_TRIES:
                # It may be the job itself that kills whoever takes it.
                log.error("a job whose workers died is set aside", job_id=job.id, task=job.task_name)
                await self._on_dead(_dead(job, "its worker died each time"))
                await app.job_manager.finish_job(job, procrastinate.jobs.Status.FAILED, delete_job=True)
                continue
            log.warning("a job left by a dead worker is taken up again", job_id=job.id, task=job.task_name)
            await self._database.run(_AGAIN, {"job": job.id, "worker": job.worker_id})


# Under a new number, so that its worker, should it live after all, can neither end it nor hand it back. Numbers below
# zero come first in the queue, as a job that was begun has to: those that came after it wait for its lock.
_AGAIN = (
    "with mine as materialized (select id from procrastinate_jobs where id = %(job)s and status = 'doing' "
    "and worker_id is not distinct from %(worker)s for update skip locked), "
    "gone as (delete from procrastinate_events using mine where job_id = mine.id) "
    "update procrastinate_jobs as job set id = -nextval(pg_get_serial_sequence('procrastinate_jobs', 'id')), "
    "worker_id = null, attempts = attempts + 1, scheduled_at = null, "
    "status = (case when abort_requested then 'failed' else 'todo' end)::procrastinate_job_status "
    "from mine where job.id = mine.id"
)

_LIVING = (
    "select coalesce((select array_agg(objid::bigint) from pg_locks where locktype = 'advisory' and granted "
    "and classid = %(vouch)s and objsubid = 2 "
    "and database = (select oid from pg_database where datname = current_database())), '{}') as workers, "
    "pg_postmaster_start_time() < now() - make_interval(secs => %(settled)s) as is_settled"
)


async def _ended(*tasks: asyncio.Task[None], deaf_after: float | None = None) -> None:
    """Cancel tasks and wait until they have ended, even where whoever waits is cancelled meanwhile.

    Args:
        deaf_after: seconds until they are cancelled once more, since a cancel that arrives just as the database fails
            may be lost (asyncio.wait_for in 3.11); None: never.
    """
    interrupted: asyncio.CancelledError | None = None
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        try:
            _, deaf = await asyncio.wait(tasks, timeout=deaf_after)
        except asyncio.CancelledError as error:
            interrupted = error
            continue
        for task in deaf:
            task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or it is logged as one that nobody looked at
    if interrupted is not None:
        raise interrupted


def is_outage(error: BaseException) -> bool:
    """Whether something that a job needs is away, so that it may end well at another try."""
    return _tries(error) > TRIES


def _tries(error: BaseException) -> int:
    """How often a job may be begun that raised this."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, errors.ForgeUnavailableError | errors.GitUnavailableError):
        return FAR_TRIES
    return OUTAGE_TRIES if isinstance(cause, psycopg.OperationalError) else TRIES


def _dead(job: procrastinate.jobs.Job, cause: str) -> Dead:
    task = cast(Task, job.task_name)
    return Dead(task=task, args=dict(job.task_kwargs), lock=job.lock, tries=job.attempts + 1, cause=cause)


def _plain(
    name: Task, handler: Handler, on_dead: OnDead | None, leads: asyncio.Event
) -> Callable[..., Coroutine[Any, Any, None]]:
    """A handler as Procrastinate calls it, with the job's number bound to the log."""

    async def run(context: JobContext, **args: Any) -> None:
        if name not in CHAT_TASKS and not leads.is_set():
            raise ElsewhereError(name)
        claims.WORKER.set(context.job.worker_id)
        _JOB.set(None if name in CHAT_TASKS else context.job.id)
        with structlog.contextvars.bound_contextvars(job_id=context.job.id, task=context.job.task_name, **args):
            try:
                await handler(**args)
            except ElsewhereError:
                raise
            except TakenOverError:
                log.warning("another process may do this job by now, so it ends here")
                raise
            except Exception as error:  # the library retries it, and says so only at a level nobody reads
                log.exception("a job failed", attempt=context.job.attempts + 1, error_type=type(error).__name__)
                if on_dead is None or context.job.attempts + 1 < _tries(error):
                    raise
                line = str(error).strip().partition("\n")[0]
                await on_dead(_dead(context.job, f"{type(error).__name__}: {line}" if line else type(error).__name__))

    return run
