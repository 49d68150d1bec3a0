"""What was said is kept for a month after it was answered, then it goes.

Long enough to look into what went wrong, and for `/why` to know who said a message. What waits, what was given up and
lies in the dead letters, cards of changes, the audit and the books of models stay. So long stay, too, what the queue
remembers of work that was called off, and the steps of changes that are over.
"""

from __future__ import annotations

from typing import LiteralString

from persais_core.db.engine import Database
from persais_core.domain.changes import ChangeState

KEPT = 30  # days

_TURNS = (
    "with old as (delete from persais.turns where state in ('done', 'failed', 'repeated') "
    "and finished_at < now() - make_interval(days => %(days)s) returning id) "
    "delete from persais.updates using old where updates.turn_id = old.id"
)
_UPDATES = "delete from persais.updates where turn_id is null and received_at < now() - make_interval(days => %(days)s)"
_OUTBOX = (
    "delete from persais.outbox where state = 'sent' and sent_at < now() - make_interval(days => %(days)s) "
    "and (key like 'turn:%%' or key like 'update:%%')"
)

_JOBS = (
    "delete from procrastinate_jobs as job where status not in ('todo', 'doing') and not exists (select from "
    "procrastinate_events where job_id = job.id and at >= now() - make_interval(days => %(days)s))"
)


def _steps(table: LiteralString) -> LiteralString:
    return (
        f"delete from persais_graph.{table} as step using persais.changes where starts_with(step.thread_id, 'change:') "
        "and split_part(step.thread_id, ':', 2) = changes.id::text and changes.state = any(%(over)s) "
        "and changes.updated_at < now() - make_interval(days => %(days)s)"
    )


_STEPS = tuple(_steps(table) for table in ("checkpoint_writes", "checkpoint_blobs", "checkpoints"))


async def purge(database: Database, *, days: int = KEPT) -> None:
    """Remove what was answered, or over, longer ago than some days."""
    over = [state.value for state in ChangeState if state.is_over]
    for statement in (_TURNS, _UPDATES, _OUTBOX, _JOBS, *_STEPS):
        await database.run(statement, {"days": days, "over": over})
