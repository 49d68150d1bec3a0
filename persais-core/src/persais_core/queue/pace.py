"""How fast we may send: one budget in Postgres, shared by all workers.

Telegram lets a bot send some thirty messages a second in all, one a second to one chat and twenty a minute to a group,
and takes short bursts. Each budget is a row that says until when it is spent (the generic cell rate algorithm); a call
moves that moment on by its gap, and may come early by the slack.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from persais_core.channels.base import FloodError
from persais_core.db.engine import Database


@dataclass(frozen=True)
class Budget:
    """One call every `gap` seconds, and `burst` of them at once when nothing was sent for a while."""

    gap: float
    burst: int

    @property
    def slack(self) -> float:
        """Seconds by which a call may come early."""
        return self.gap * (self.burst - 1)


# What a burst and the steady pace give together within one second, or for a group one minute, is what Telegram allows.
ALL = Budget(gap=1 / 25, burst=5)
PRIVATE = Budget(gap=1.0, burst=8)
GROUP = Budget(gap=4.0, burst=5)

_SPEND = (
    "with chat as (insert into persais.send_limits as l (name, spent_until) "
    "values (%(chat)s, now() + make_interval(secs => %(gap)s)) on conflict (name) do update "
    "set spent_until = greatest(l.spent_until, now()) + make_interval(secs => %(gap)s) "
    "where l.spent_until <= now() + make_interval(secs => %(slack)s) returning true), "
    "whole as (insert into persais.send_limits as l (name, spent_until) "
    "select 'all', now() + make_interval(secs => %(all_gap)s) from chat on conflict (name) do update "
    "set spent_until = greatest(l.spent_until, now()) + make_interval(secs => %(all_gap)s) "
    "returning extract(epoch from spent_until - now())::float - %(all_gap)s - %(all_slack)s as wait) "
    "select (select wait from whole) as wait, (select extract(epoch from spent_until - now())::float - %(slack)s "
    "from persais.send_limits where name = %(chat)s) as pause"
)


class Pace:
    """Lets one call to a chat pass when it fits into the budgets."""

    def __init__(self, database: Database, *, everyone: Budget = ALL) -> None:
        self._database, self._all = database, everyone

    async def __call__(self, chat_id: int) -> None:
        """Wait for the budget of all chats; that of one chat is not waited for, since others can go meanwhile.

        Raises:
            FloodError: this chat has had enough for now.
        """
        budget = GROUP if chat_id < 0 else PRIVATE
        [row] = await self._database.run(
            _SPEND,
            {
                "chat": limit_of(chat_id),
                "gap": budget.gap,
                "slack": budget.slack,
                "all_gap": self._all.gap,
                "all_slack": self._all.slack,
            },
        )
        if row["wait"] is None:
            raise FloodError(max(row["pause"] or 0.0, 0.1), is_ours=True)
        if row["wait"] > 0:
            await asyncio.sleep(row["wait"])


def limit_of(chat_id: int) -> str:
    """The name of a chat's row in `send_limits`."""
    return f"chat:{chat_id}"
