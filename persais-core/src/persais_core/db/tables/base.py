"""What all core tables share: their schema, the naming of constraints and the two columns types used everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

SCHEMA = "persais"
METADATA = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    },
)


class CoreTable(SQLModel):
    """Base of the core's tables; keeps them out of the metadata that bot projects use."""

    metadata = METADATA


def now() -> datetime:
    """The present, aware UTC."""
    return datetime.now(UTC)


def key() -> Any:
    """A bigint primary key that the database counts up."""
    return Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))


def at(**options: Any) -> Any:
    """A point in time, now by default, on the clock of the database too."""
    return Field(default_factory=now, sa_column=Column(DateTime(timezone=True), server_default=func.now(), **options))


def maybe_at() -> Any:
    """A point in time that may not have come."""
    return Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def document(**options: Any) -> Any:
    """A JSON document, empty object by default."""
    return Field(default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}", **options))


def big(**options: Any) -> Any:
    """A bigint column: chat services outgrew 32 bits."""
    nullable = options.pop("nullable", False)
    default: dict[str, Any] = {"default": None} if nullable else {}
    return Field(**default, sa_column=Column(BigInteger, nullable=nullable, **options))
