"""The books: what each call of a model used and cost, for whom, and whether the next one may still be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog

from persais_core import audit, errors
from persais_core.db.engine import Database
from persais_core.domain.changes import subject_of_change
from persais_core.metrics import Metrics
from persais_core.settings import Settings

log = structlog.get_logger(__name__)

MOST_TOLD = 1e6  # US dollars; no call costs as much
_SPENT = (
    "select coalesce(sum(cost) filter (where change_id = %(change)s), 0.0) as by_change, "
    "coalesce(sum(cost) filter (where user_id = %(user)s and at > now() - interval '1 day'), 0.0) as by_user "
    "from persais.model_calls "
    "where change_id = %(change)s or (user_id = %(user)s and at > now() - interval '1 day')"
)
_SPENT_BY_ALL = "select coalesce(sum(cost), 0.0) as spent from persais.model_calls where at > now() - interval '1 day'"
_BOOK = (
    "insert into persais.model_calls "
    "(user_id, turn_id, change_id, agent, purpose, model, tokens_in, tokens_out, cost) values "
    "(%(user)s, %(turn)s, %(change)s, %(agent)s, %(purpose)s, %(model)s, %(tokens_in)s, %(tokens_out)s, %(cost)s)"
)


@dataclass(frozen=True)
class Booking:
    """Whom a call is made for, and why.

    Args:
        purpose: what is asked for, such as `route`, `answer` or `plan`.
        agent: name of the agent that asks.
    """

    purpose: str
    user_id: int | None = None
    turn_id: int | None = None
    change_id: int | None = None
    agent: str | None = None


class Books:
    """What was spent, and what may be."""

    def __init__(self, settings: Settings, database: Database, metrics: Metrics) -> None:
        self._settings, self._database, self._metrics = settings, database, metrics
        self._unpriced: set[str] = set()

    async def check_budget(self, booking: Booking) -> float:
        """What may still be spent on a booking, in US dollars.

        Raises:
            BudgetError: nothing; names the setting that says so.
        """
        left = float("inf")
        if booking.change_id is None and booking.user_id is None:
            return left
        values = {"change": booking.change_id, "user": booking.user_id}
        [spent] = await self._database.run(_SPENT, values)
        if booking.change_id is not None:
            left = self._settings.max_cost_per_change - spent["by_change"]
            if left <= 0:
                told = f"{spent['by_change']:.2f}"
                await self._note_cap(booking, "MAX_COST_PER_CHANGE", told)
                raise errors.BudgetError(
                    f"this change has spent ${told} on models, and MAX_COST_PER_CHANGE allows no more",
                    key="budget-change",
                    spent=told,
                )
        if booking.user_id is not None:
            left = min(left, self._settings.max_cost_per_day - spent["by_user"])
            if left <= 0:
                told = f"{spent['by_user']:.2f}"
                await self._note_cap(booking, "MAX_COST_PER_DAY", told)
                raise errors.BudgetError(
                    f"${told} were spent on models in 24 hours, and MAX_COST_PER_DAY allows no more",
                    key="budget-day",
                    spent=told,
                )
        return left

    async def _note_cap(self, booking: Booking, cap: str, spent: str) -> None:
        """Put into the log of acts that a cap kept a model from being asked."""
        subject = subject_of_change(booking.change_id) if booking.change_id is not None else ""
        async with self._database.session() as session:
            await audit.refuse(session, "cap reached", actor=booking.user_id, subject=subject, cap=cap, spent=spent)

    async def spent_today(self) -> float:
        """US dollars that all users together spent on models in the last 24 hours."""
        [row] = await self._database.run(_SPENT_BY_ALL, {})
        return float(row["spent"])

    def price(self, model: str, tokens_in: int, tokens_out: int, told: Any) -> float:
        """US dollars of one call.

        Args:
            told: what the server says that it cost; anything but a number that can be one is nothing, as a negative
                one, or one that is no number, would lift the caps.
        """
        if isinstance(told, (int, float)) and not isinstance(told, bool) and 0 <= told <= MOST_TOLD:
            return float(told)
        prices = self._settings.prices_of(model)
        if prices is not None:
            return tokens_in * prices[0] + tokens_out * prices[1]
        if model not in self._unpriced:
            self._unpriced.add(model)
            log.warning("nobody knows what this model costs, so no cap binds; set MODEL_PRICES", model=model)
        return 0.0

    async def book(self, model: str, booking: Booking, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Note tokens and cost (US dollars) of a call, also one that somebody else made, such as the coder."""
        self._metrics.model_usage(model, tokens_in=tokens_in, tokens_out=tokens_out, dollars=cost)
        await self._database.run(
            _BOOK,
            {
                "user": booking.user_id,
                "turn": booking.turn_id,
                "change": booking.change_id,
                "agent": booking.agent,
                "purpose": booking.purpose,
                "model": model,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "cost": cost,
            },
        )
