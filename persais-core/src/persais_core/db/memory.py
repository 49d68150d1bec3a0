"""A user's own records in memory: the twin of `user_records` for places that may not open a socket.

It keeps the promises of `tools.base.Records` the way Postgres does, including what Postgres refuses: a missing value,
a wrong type, a number too large for its column. It knows no foreign keys and no unique constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from sqlalchemy import BigInteger, Integer
from sqlalchemy.exc import StatementError

from persais_core import errors
from persais_core.db.records import Record
from persais_core.db.user_records import KEPT_FIELDS

R = TypeVar("R", bound=Record)

MAX_LISTED = 1000


class MemoryStore:
    """The tables of one test or preview; contexts of several users may share it."""

    def __init__(self) -> None:
        self._tables: dict[type[Record], dict[int, dict[str, Any]]] = {}

    def table(self, schema: type[Record]) -> dict[int, dict[str, Any]]:
        """Id to row, oldest first."""
        return self._tables.setdefault(schema, {})

    def records(self, schema: type[R], user_id: int) -> MemoryRecords[R]:
        """The records of one schema that belong to one user."""
        return MemoryRecords(self, schema, user_id)


class MemoryRecords(Generic[R]):
    """Implements `tools.base.Records` on dictionaries; see there for what each method does.

    Methods raise `sqlalchemy.exc.StatementError` where the database would refuse a value.
    """

    def __init__(self, store: MemoryStore, schema: type[R], user_id: int) -> None:
        self._schema, self._user_id = schema, user_id
        self._rows = store.table(schema)

    async def add(self, record: R) -> R:
        """Store a new record."""
        values = self._stored(record)
        now = datetime.now(UTC)
        number = max(self._rows, default=0) + 1
        self._rows[number] = values | {
            "id": number,
            "created_at": now,
            "updated_at": now,
            "is_deleted": False,
            "created_by": self._user_id,
        }
        return self._record(self._rows[number])

    async def get(self, id: int) -> R | None:
        """One record, or None."""
        row = self._mine(id)
        return self._record(row) if row else None

    async def list(self, *, limit: int = 100) -> Sequence[R]:
        """The newest records first."""
        mine = [row for number in reversed(self._rows) if (row := self._mine(number))]
        return [self._record(row) for row in mine[: max(0, min(limit, MAX_LISTED))]]

    async def save(self, record: R) -> R:
        """Store the changed fields of a record.

        Raises:
            AgentError: the user has no such record.
        """
        row = self._mine(record.id)
        if row is None:
            raise errors.AgentError(f"there is no {self._schema.__name__} with id {record.id}")
        row.update(self._stored(record), updated_at=datetime.now(UTC))
        return self._record(row)

    async def delete(self, id: int) -> bool:
        """Hide a record."""
        row = self._mine(id)
        if row is None:
            return False
        row.update(is_deleted=True, updated_at=datetime.now(UTC))
        return True

    def _mine(self, number: int | None) -> dict[str, Any] | None:
        row = self._rows.get(number) if number is not None else None
        return row if row and row["created_by"] == self._user_id and not row["is_deleted"] else None

    def _record(self, row: dict[str, Any]) -> R:
        return self._schema(**row)

    def _stored(self, record: R) -> dict[str, Any]:
        """The values as the database would give them back."""
        given = record.model_dump(exclude=set(KEPT_FIELDS), warnings=False)
        # The base's own columns are set by us; the rest is judged as the columns would.
        try:
            read = self._schema.model_validate(given).model_dump(exclude=set(KEPT_FIELDS))
        except ValidationError as error:
            raise self._refusal(str(error.errors(include_url=False)[0]["msg"])) from error
        for name, value in read.items():
            kind = self._schema.__table__.columns[name].type  # type: ignore[attr-defined]
            if isinstance(value, datetime) and value.tzinfo is None and getattr(kind, "timezone", True):
                raise self._refusal(f"{name}: a moment needs its time zone")
            if isinstance(value, datetime) and value.tzinfo is not None:
                read[name] = value.astimezone(UTC)
            if isinstance(value, str) and "\0" in value:
                raise self._refusal(f"{name}: text cannot hold a zero byte")
            bits = 63 if isinstance(kind, BigInteger) else 31
            if isinstance(kind, Integer) and isinstance(value, int) and not -(2**bits) <= value < 2**bits:
                raise self._refusal(f"{name}: {value} is too large")
        return read

    def _refusal(self, reason: str) -> StatementError:
        return StatementError(f"{self._schema.__name__} was not stored: {reason}", None, None, ValueError(reason))
