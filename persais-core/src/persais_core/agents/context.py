"""The `Context` of a real turn: the user's records in Postgres, the configured model, the conversation so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from persais_core import errors
from persais_core.agents import begun
from persais_core.db.engine import Database
from persais_core.db.records import Record
from persais_core.domain.chats import Language, Reply, Turn, User
from persais_core.llm.models import Booking, Models, Said
from persais_core.llm.options import ModelOptions
from persais_core.llm.tools import bind
from persais_core.tools.base import Context, Records, Tool
from persais_core.tools.context import StoreContext

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Surroundings:
    """What the orchestrator knows about a turn and an agent does not say itself.

    Args:
        notes: told to the model behind the agent's own prompt.
        ends: tools by which the model ends its part without an answer; left out for models that call none.
        options: how the model is asked for this agent.
        before: what this turn says before the agent does.
    """

    notes: tuple[str, ...] = ()
    ends: tuple[Tool, ...] = ()
    options: ModelOptions | None = None
    before: tuple[Reply, ...] = ()


class TurnContext(StoreContext):
    """Implements `tools.base.Context` for one turn.

    Args:
        turn: what is being answered.
        history: what was said before in this lane, oldest first.
        agent: name of the agent that answers, for the books.
        surroundings: what else the model is to know and be asked with.

    Attributes:
        has_asked: whether the agent has asked the model.
    """

    def __init__(
        self,
        turn: Turn,
        *,
        database: Database,
        models: Models,
        history: Sequence[Said],
        agent: str,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(turn.user, database)
        self.turn = turn
        self._models, self._history, self._agent = models, history, agent
        self._surroundings = surroundings or Surroundings()
        self._is_over = False
        self.has_asked = False

    @property
    def before(self) -> tuple[Reply, ...]:
        """What this turn says before the agent does."""
        return self._surroundings.before

    def close(self) -> None:
        """End the turn: nothing more can be had of this context, whoever has kept it."""
        self._is_over = True

    def _still(self) -> TurnContext:
        if self._is_over:
            raise errors.AgentError("this turn is over; use the context of the turn that is being answered")
        return self

    async def ask(
        self, prompt: str, *, system: str = "", tools: Sequence[Tool] = (), given: Context | None = None
    ) -> str:
        """Ask the language model, with the conversation in sight, and return its text.

        Args:
            given: the context that the tools get; this one where it is not said.
        """
        self.has_asked = True
        around = self._surroundings
        known = "\n\n".join(part for part in (system, *around.notes) if part)
        messages: list[Said] = [("system", known)] if known else []
        messages += [*self._history, ("user", prompt)]
        booking = Booking(purpose="answer", user_id=self._user_id, turn_id=self.turn.id, agent=self._agent)
        outside = begun.here()
        asking = self._models.ask(
            messages,
            booking,
            tools=[_bound(tool, given or self, outside) for tool in tools],
            optional_tools=[bind(tool, self, ends=True) for tool in around.ends],
            options=around.options,
        )
        return await begun.aside(asking)


def _bound(tool: Tool, context: Context, outside: begun.Begun | None) -> StructuredTool:
    """A tool that is an agent's own code, also where it is called in the middle of ours."""
    made = bind(tool, context)
    call = made.coroutine
    if outside is None or call is None:
        return made

    async def called(**given: Any) -> Any:
        return await call(**given)

    async def noted(**given: Any) -> Any:
        return await outside.run(called(**given))

    made.coroutine = noted
    return made


def handed(inner: TurnContext) -> Context:
    """The context as a project's own agents get it: used while its turn lasts, and neither changed nor looked into.

    What it works with lives in closures rather than in attributes, so that no name that an agent may write leads to
    the database or the model's client, and nothing can be stored on it.
    """

    class Handed:
        __slots__ = ()

        @property
        def user(self) -> User:
            return inner._still().user.model_copy()  # theirs: whatever becomes of it, the turn's own stays as it is

        @property
        def language(self) -> Language:
            return inner._still().language

        def records(self, schema: type[R]) -> Records[R]:
            return _kept(inner._still().records(schema), inner)

        async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
            return await inner._still().ask(prompt, system=system, tools=tools, given=made)

    made = Handed()
    return made


def _kept(inner: Records[R], turn: TurnContext) -> Records[R]:
    """A user's records with the same closed sides, for as long as their turn lasts."""

    class Kept:
        __slots__ = ()

        async def add(self, record: R) -> R:
            turn._still()
            return await begun.aside(inner.add(record))

        async def get(self, id: int) -> R | None:
            turn._still()
            return await begun.aside(inner.get(id))

        async def list(self, *, limit: int = 100) -> Sequence[R]:
            turn._still()
            return await begun.aside(inner.list(limit=limit))

        async def save(self, record: R) -> R:
            turn._still()
            return await begun.aside(inner.save(record))

        async def delete(self, id: int) -> bool:
            turn._still()
            return await begun.aside(inner.delete(id))

    return Kept()
