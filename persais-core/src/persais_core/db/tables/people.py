"""Who the bot knows, who may do what, and what was done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Text, text
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, big, document, key, maybe_at


class Person(CoreTable, table=True):
    """Someone the bot may talk to, or has turned away."""

    __tablename__ = "people"

    id: int = big(primary_key=True)
    name: str = Field(default="", sa_type=Text)
    language: str = Field(default="en", sa_type=Text)
    is_owner: bool = False
    is_admin: bool = False
    refused_at: datetime | None = maybe_at()
    blocked_at: datetime | None = maybe_at()
    """Since when the chat service says that they do not want to hear from us; the next message that arrives ends it."""
    seen_at: datetime = at(nullable=False)


class ClaimCode(CoreTable, table=True):
    """The one-time code that makes its sender owner; only its hash is kept."""

    __tablename__ = "claim_codes"

    id: int | None = key()
    code_sha256: str = Field(sa_type=Text)
    created_at: datetime = at(nullable=False)
    expires_at: datetime | None = maybe_at()
    attempts: int = 0
    used_by: int | None = big(nullable=True)


class AuditEntry(CoreTable, table=True):
    """One consequential act. Rows are only ever added; a trigger refuses everything else."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_at", "at"),
        Index("ix_audit_alarm", "at", postgresql_where=text("alarm is not null")),
    )

    id: int | None = key()
    at: datetime = at(nullable=False)
    actor: int | None = big(nullable=True)
    action: str = Field(sa_type=Text, index=True)
    subject: str = Field(default="", sa_type=Text)
    outcome: str = Field(default="ok", sa_type=Text)
    commit: str | None = Field(default=None, sa_type=Text)
    alarm: str | None = Field(default=None, sa_type=Text)
    detail: dict[str, Any] = document()


class Alert(CoreTable, table=True):
    """An alarming entry of the audit log that the admins were told of."""

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_kind_told_at", "kind", "told_at"),)

    audit_id: int = big(primary_key=True)
    kind: str = Field(sa_type=Text)
    told_at: datetime = at(nullable=False)


class ModelCall(CoreTable, table=True):
    """One request to a language model, booked to whom it was made for."""

    __tablename__ = "model_calls"
    __table_args__ = (
        Index("ix_model_calls_user_id_at", "user_id", "at"),
        Index("ix_model_calls_change_id", "change_id"),
    )

    id: int | None = key()
    at: datetime = at(nullable=False)
    user_id: int | None = big(nullable=True)
    turn_id: int | None = big(nullable=True)
    change_id: int | None = big(nullable=True)
    agent: str | None = Field(default=None, sa_type=Text)
    purpose: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
