"""What is known of sending beside the messages themselves: how fast we may, and what was given up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Index, Text, func, text
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, document, key, maybe_at


class DeadLetter(CoreTable, table=True):
    """A job or a message that kept failing and was set aside.

    `kind` is turn, send, change, migration, update or job; `subject` says which one. `payload` is what putting it
    back takes: `{"task", "args", "lock"}` of a job, `{"outbox"}` of a message; without either, it can only be read and
    dropped. `state` is waiting, retried or dropped. Of one subject, one letter waits at most.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index("uq_dead_letters_waiting", "kind", "subject", unique=True, postgresql_where=text("state = 'waiting'")),
    )

    id: int | None = key()
    kind: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    cause: str = Field(sa_type=Text)
    payload: dict[str, Any] = document()
    tries: int = 1
    state: str = Field(default="waiting", sa_type=Text)
    at: datetime = at(nullable=False)
    ended_at: datetime | None = maybe_at()


class SendLimit(CoreTable, table=True):
    """How far the budget of `all` chats, or of `chat:<id>`, is spent, and until when the chat service wants a pause."""

    __tablename__ = "send_limits"

    name: str = Field(sa_column=Column(Text, primary_key=True))
    spent_until: datetime = Field(sa_column=Column(DateTime(timezone=True), server_default=func.now(), nullable=False))
    paused_until: datetime | None = maybe_at()
