"""What was done to the bot's own tables, as SQL, so that it can be taken back when the code it was for is gone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, big, key, maybe_at


class AppMigration(CoreTable, table=True):
    """One script of one change, or what a release found missing at its start (then without a change).

    `state` is planned, applied, reverted or failed. `steps` holds the sentences of the steps as ids and values. A lossy
    script runs only once `actor`, who allowed it, is set.
    """

    __tablename__ = "app_migrations"
    __table_args__ = (Index("uq_app_migrations_change_id_is_lossy", "change_id", "is_lossy", unique=True),)

    id: int | None = key()
    change_id: int | None = big(nullable=True)
    commit: str | None = Field(default=None, sa_type=Text, index=True)
    is_lossy: bool = False
    state: str = Field(default="planned", sa_type=Text)
    tag: str = Field(sa_type=Text)
    steps: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False, server_default="[]")
    )
    up_sql: str = Field(sa_type=Text)
    down_sql: str = Field(sa_type=Text)
    again_sql: str = Field(sa_type=Text)
    digest: str | None = Field(default=None, sa_type=Text)
    actor: int | None = big(nullable=True)
    error: str | None = Field(default=None, sa_type=Text)
    planned_at: datetime = at(nullable=False)
    applied_at: datetime | None = maybe_at()
    reverted_at: datetime | None = maybe_at()
