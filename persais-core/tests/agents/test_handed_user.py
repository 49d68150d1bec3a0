"""The user that an agent's own code gets is its own to spoil: whose records are opened stays as it was."""

from __future__ import annotations

from typing import Any, cast

from persais_core import Record
from persais_core.agents.context import TurnContext, handed
from persais_core.domain.chats import Lane, Message, Turn, User
from persais_core.llm.models import Booking


class Shelf:
    """Stands for the store and the model; notes for whom it is asked."""

    def __init__(self) -> None:
        self.asked_for: list[int | None] = []

    def records(self, schema: type[Record], user_id: int) -> None:
        self.asked_for.append(user_id)

    async def ask(self, messages: object, booking: Booking, **options: object) -> str:
        self.asked_for.append(booking.user_id)
        return ""


async def test_whatever_becomes_of_the_user_the_records_stay_those_of_the_turn() -> None:
    user, shelf = User(id=7, name="Ann"), cast(Any, Shelf())
    turn = Turn(id=1, lane=Lane(chat_id=7), user=user, messages=(Message(text="Hi"),))
    inner = TurnContext(turn, database=shelf, models=shelf, history=(), agent="x")
    context = handed(inner)
    vars(context.user).update(id=4711, is_admin=True)
    assert (context.user.id, context.user.is_admin) == (7, False)
    vars(inner.user).update(id=4711)  # out of reach for an agent; and if it were not
    context.records(Record)
    await context.ask("again")
    assert shelf.asked_for == [7, 7]
