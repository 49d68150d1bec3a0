"""The base of every schema a bot project owns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime
from sqlmodel import Field, SQLModel


def _now() -> datetime:
    return datetime.now(UTC)


class Record(SQLModel):
    """One row of a schema: who made it and when, and whether it is hidden.

    Attributes:
        id: set by the database.
        created_at: aware UTC.
        updated_at: aware UTC.
        is_deleted: deleted records are hidden, not removed.
        created_by: chat user id of its owner.
    """

    __tablename__: ClassVar[str]  # else a type checker refuses each schema's plain string

    id: int | None = Field(default=None, primary_key=True)
    created_at: datetime = Field(default_factory=_now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=_now, sa_type=DateTime(timezone=True))
    is_deleted: bool = Field(default=False)
    created_by: int = Field(default=0, index=True, sa_type=BigInteger)

    def __init_subclass__(cls, **settings: Any) -> None:
        """Pass class settings such as `table=True` on to SQLModel."""
        super().__init_subclass__(**settings)
