"""One turn without a bot round it: who speaks, what they have stored, and a model that answers as it was told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.db import memory
from persais_core.db.records import Record
from persais_core.domain.chats import Language, User
from persais_core.tools.base import Tool
from persais_core.tools.context import Store, StoreContext

R = TypeVar("R", bound=Record)


class Question(NamedTuple):
    """What a model was asked."""

    prompt: str
    system: str
    tools: tuple[Tool, ...]


class ScriptedModel:
    """A language model that gives its replies in order.

    Args:
        replies: texts, the first question gets the first one.

    Attributes:
        questions: what was asked so far, oldest first.
    """

    def __init__(self, replies: Iterable[str] = ()) -> None:
        self._replies = list(replies)
        self.questions: list[Question] = []

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        """Give the next reply; tools are noted, never called.

        Raises:
            ModelError: there is none left.
        """
        self.questions.append(Question(prompt, system, tuple(tools)))
        if len(self.questions) > len(self._replies):
            raise errors.ModelError(
                f"question {len(self.questions)} has no scripted reply; add one to ScriptedModel(replies=[...])"
            )
        return self._replies[len(self.questions) - 1]


class TestContext(StoreContext):
    """The context of a test: a store, and a scripted model."""

    __test__ = False  # a class for tests, not of tests

    def __init__(self, user: User, store: Store, model: ScriptedModel) -> None:
        super().__init__(user, store)
        self.model = model

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        """Ask the scripted model."""
        return await self.model.ask(prompt, system=system, tools=tools)

    def as_user(self, user_id: int) -> TestContext:
        """The same store and model, for somebody else."""
        return TestContext(self._user.model_copy(update={"id": user_id}), self._store, self.model)


def context_for(
    agent: type[Agent] | None = None,
    *,
    user_id: int = 1,
    language: Language = "en",
    model: ScriptedModel | None = None,
) -> TestContext:
    """A context in memory, with nothing stored.

    Args:
        agent: whose turn it is, for the reader of the test.
        user_id: who speaks; `.as_user(2)` gives the same store to somebody else.
        language: the language of the user.
        model: what answers `ask`; without one, asking is an error.
    """
    user = User(id=user_id, name="Somebody", language=language)
    return TestContext(user, memory.MemoryStore(), model or ScriptedModel())
