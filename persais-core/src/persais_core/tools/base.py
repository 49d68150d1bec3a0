"""What an agent may do: the `Context` it is handed, and the typed functions it calls.

Agents and tools reach the model and the database through `Context` only, never by importing a client, so that every
call is booked to the user it is made for and every record stays with the user who made it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from persais_core.db.records import Record
from persais_core.domain.chats import Language, User

R = TypeVar("R", bound=Record)

Tool = Callable[..., Awaitable[Any]]
"""A tool is an async function with typed arguments and a docstring; its first argument is the `Context`."""


class Records(Protocol[R]):
    """The records of one schema that belong to the user of this turn; nobody else's can be seen or changed."""

    async def add(self, record: R) -> R:
        """Store a new record and return it with its id and times set."""
        ...

    async def get(self, id: int) -> R | None:
        """One record, or None when there is none with this id."""
        ...

    async def list(self, *, limit: int = 100) -> Sequence[R]:
        """The newest records, at most `limit`, newest first."""
        ...

    async def save(self, record: R) -> R:
        """Store the changed fields of a record that exists."""
        ...

    async def delete(self, id: int) -> bool:
        """Hide a record; returns whether there was one."""
        ...


class Context(Protocol):
    """What surrounds one turn."""

    @property
    def user(self) -> User:
        """Who speaks."""
        ...

    @property
    def language(self) -> Language:
        """The language to answer in."""
        ...

    def records(self, schema: type[R]) -> Records[R]:
        """The user's own records of one schema."""
        ...

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        """Ask the language model and return its text.

        Args:
            prompt: what the person says or the agent wants to know.
            system: what the model is to be.
            tools: functions that it may call before it answers; each gets this context as its first argument.
        """
        ...
