"""A user's own records in Postgres. Each statement names the user, and the database itself shows no row of another.

The second wall is `agent_role`: the connections used here log in as a role that the policies of the tables bind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sqlalchemy import ClauseElement, select
from sqlalchemy.sql import ColumnElement

from persais_core import errors
from persais_core.db.records import Record

if TYPE_CHECKING:
    from persais_core.db.agent_pool import AgentPool

R = TypeVar("R", bound=Record)

KEPT_FIELDS = frozenset({"id", "created_at", "updated_at", "is_deleted", "created_by"})  # set by us, never by an agent


class UserRecords(Generic[R]):
    """Implements `tools.base.Records` on a database; see there for what each method does."""

    def __init__(self, pool: AgentPool, schema: type[R], user_id: int) -> None:
        self._pool, self._schema, self._user_id = pool, schema, user_id

    def _mine(self) -> ColumnElement[bool]:
        schema = cast(Any, self._schema)
        return cast("ColumnElement[bool]", (schema.created_by == self._user_id) & schema.is_deleted.is_(False))

    async def add(self, record: R) -> R:
        """Store a new record."""
        fresh = self._schema(**_values(record))
        fresh.created_by = self._user_id
        async with self._pool.session(self._user_id) as session:
            session.add(fresh)
            await session.flush()
            await session.refresh(fresh)
        return fresh

    async def get(self, id: int) -> R | None:
        """One record, or None."""
        schema = cast(Any, self._schema)
        async with self._pool.session(self._user_id) as session:
            found = await session.execute(select(schema).where(self._mine(), schema.id == id))
            return cast("R | None", found.scalar_one_or_none())

    async def list(self, *, limit: int = 100) -> Sequence[R]:
        """The newest records first."""
        schema = cast(Any, self._schema)
        async with self._pool.session(self._user_id) as session:
            found = await session.execute(
                select(schema).where(self._mine()).order_by(schema.id.desc()).limit(max(0, min(limit, 1000)))
            )
            return cast("Sequence[R]", found.scalars().all())

    async def save(self, record: R) -> R:
        """Store the changed fields of a record.

        Raises:
            AgentError: the user has no such record.
        """
        schema = cast(Any, self._schema)
        async with self._pool.session(self._user_id) as session:
            found = await session.execute(select(schema).where(self._mine(), schema.id == record.id).with_for_update())
            stored = cast("R | None", found.scalar_one_or_none())
            if stored is None:
                raise errors.AgentError(f"there is no {self._schema.__name__} with id {record.id}")
            for name, value in _values(record).items():
                setattr(stored, name, value)
            stored.updated_at = datetime.now(UTC)
        return stored

    async def delete(self, id: int) -> bool:
        """Hide a record."""
        schema = cast(Any, self._schema)
        async with self._pool.session(self._user_id) as session:
            found = await session.execute(select(schema).where(self._mine(), schema.id == id).with_for_update())
            stored = cast("R | None", found.scalar_one_or_none())
            if stored is None:
                return False
            stored.is_deleted = True
            stored.updated_at = datetime.now(UTC)
        return True


def _values(record: Record) -> dict[str, Any]:
    """What an agent has put into the fields that are its own.

    Raises:
        AgentError: an expression is among them, which would be run as SQL instead of being stored.
    """
    values = record.model_dump(exclude=set(KEPT_FIELDS))
    for name, value in values.items():
        if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            raise errors.AgentError(f"{type(record).__name__}.{name} must be a value, not an expression of SQL")
    return values
