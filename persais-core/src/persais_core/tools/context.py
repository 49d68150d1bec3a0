"""What every context has in common: somebody who speaks, and a place where their records lie."""

from __future__ import annotations

from typing import Protocol, TypeVar

from persais_core.db.records import Record
from persais_core.domain.chats import Language, User
from persais_core.tools.base import Records

R = TypeVar("R", bound=Record)


class Store(Protocol):
    """Where the records of all users lie: a database, or memory."""

    def records(self, schema: type[R], user_id: int) -> Records[R]:
        """The records of one schema that belong to one user."""
        ...


class StoreContext:
    """`tools.base.Context` but for `ask`, which each kind of context answers in its own way."""

    def __init__(self, user: User, store: Store) -> None:
        self._user, self._store = user, store
        self._user_id = int(user.id)  # of its own, so that nothing done to the user opens another's records

    @property
    def user(self) -> User:
        """Who speaks."""
        return self._user

    @property
    def language(self) -> Language:
        """The language to answer in."""
        return self._user.language

    def records(self, schema: type[R]) -> Records[R]:
        """The user's own records of one schema."""
        return self._store.records(schema, self._user_id)
