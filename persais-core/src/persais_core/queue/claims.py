"""A reply that is sent by whoever wrote it, without a round through the queue.

The job that sends an answer is usually begun by the worker that has just put it in. So it is put in as already begun by
that worker, in the statement that stores the answer, and its sender goes on at once; nobody has to be told of it, find
it and mark it. It stays a job like any other: it holds the chat's lock, so nobody else sends there meanwhile, and where
its worker dies it is taken up as all others are.

It is claimed only where it would be next: no other job of that lock, nothing else that waits for the chat, no pause.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import LiteralString

from persais_core.db.engine import Database

WORKER: ContextVar[int | None] = ContextVar("worker", default=None)
"""Number of the worker that runs the present job; None outside of one."""

CLAIM: LiteralString = (
    "insert into procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, status, worker_id) "
    "select %(queue)s, 'deliver', 0, 'out:' || %(chat)s, 'turn:' || %(turn)s, "
    "jsonb_build_object('chat', %(chat)s::bigint), 'doing', w.id "
    "from ended join procrastinate_workers w on w.id = %(worker)s "
    "where not exists (select from procrastinate_jobs where lock = 'out:' || %(chat)s and status in ('todo', 'doing')) "
    "and not exists (select from persais.outbox where chat_id = %(chat)s and state in ('queued', 'sending')) "
    "and not exists (select from persais.send_limits where name = %(limit)s and paused_until > now()) "
    "on conflict do nothing returning id"
)
"""The claim on the replies to a turn, where `ended` has the turn; its queueing lock says whose it is."""

# One that was handed back, or left by a dead worker, has been tried, and belongs to the queue from then on.
_RELEASE = (
    "update procrastinate_jobs set status = 'todo', worker_id = null, attempts = attempts + 1 "
    "where queueing_lock = 'turn:' || %(turn)s and status = 'doing' and attempts = 0 and worker_id = %(worker)s"
)
_FINISH = "delete from procrastinate_jobs where id = %(job)s"


async def release(database: Database, turn: int) -> None:
    """Leave to the queue what this worker claimed for a turn, if it did and has not finished it."""
    await database.run(_RELEASE, {"turn": turn, "worker": WORKER.get()})


async def finish(database: Database, job: int) -> None:
    """What was claimed is done."""
    await database.run(_FINISH, {"job": job})
