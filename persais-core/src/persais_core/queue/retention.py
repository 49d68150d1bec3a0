"""What was said is kept for a month after it was answered, then it goes.

Long enough to look into what went wrong, and for `/why` to know who said a message. What waits, what was given up and
lies in the dead letters, cards of changes, the audit and the books of models stay.
"""

from __future__ import annotations

from persais_core.db.engine import Database

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


async def purge(database: Database, *, days: int = KEPT) -> None:
    """Remove what was answered longer ago than some days."""
    for statement in (_TURNS, _UPDATES, _OUTBOX):
        await database.run(statement, {"days": days})
