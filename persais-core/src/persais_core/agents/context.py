"""The `Context` of a real turn: the user's records in Postgres, the configured model, the conversation so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from persais_core.db.engine import Database
from persais_core.db.records import Record
from persais_core.domain.chats import Language, Turn, User
from persais_core.llm.models import Booking, Models, Said
from persais_core.llm.tools import bind
from persais_core.tools.base import Records, Tool

R = TypeVar("R", bound=Record)


class TurnContext:
    """Implements `tools.base.Context` for one turn.

    Args:
        turn: what is being answered.
        history: what was said before in this lane, oldest first.
        agent: name of the agent that answers, for the books.
    """

    def __init__(self, turn: Turn, *, database: Database, models: Models, history: Sequence[Said], agent: str) -> None:
        self.turn = turn
        self._database, self._models, self._history, self._agent = database, models, history, agent

    @property
    def user(self) -> User:
        """Who speaks."""
        return self.turn.user

    @property
    def language(self) -> Language:
        """The language to answer in."""
        return self.turn.user.language

    def records(self, schema: type[R]) -> Records[R]:
        """The user's own records of one schema."""
        return self._database.records(schema, self.user.id)

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        """Ask the language model, with the conversation in sight, and return its text."""
        messages: list[Said] = [("system", system)] if system else []
        messages += [*self._history, ("user", prompt)]
        booking = Booking(purpose=f"agent {self._agent}", user_id=self.user.id, turn_id=self.turn.id)
        return await self._models.ask(messages, booking, tools=[bind(tool, self) for tool in tools])
