"""What came in and what goes out.

An update is stored before the chat service is told that we have it; it becomes part of one turn. What a turn answers
is stored before it is sent, under a key that makes a second try harmless.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, big, document, key, maybe_at


class Update(CoreTable, table=True):
    """One update as the chat service sent it. `(bot_id, update_id)` arrives once, however often it is delivered."""

    __tablename__ = "updates"
    __table_args__ = (Index("uq_updates_bot_id_update_id", "bot_id", "update_id", unique=True),)

    id: int | None = key()
    bot_id: int = big()
    update_id: int = big()
    kind: str = Field(sa_type=Text)
    chat_id: int | None = big(nullable=True)
    topic_id: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    payload: dict[str, Any] = document()
    received_at: datetime = at(nullable=False)
    turn_id: int | None = big(nullable=True, index=True)


class Turn(CoreTable, table=True):
    """What one person said and gets one answer to.

    `state` is waiting (more messages may join it), working (none may any more), done, failed (the agent's code raised),
    repeated (failed, and answered again as a new turn) or dead (it kept failing and lies in the dead letters).
    """

    __tablename__ = "turns"

    id: int | None = key()
    chat_id: int = big()
    topic_id: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    user_id: int = big()
    state: str = Field(default="waiting", sa_type=Text)
    agent: str | None = Field(default=None, sa_type=Text)
    error: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = at(nullable=False)
    finished_at: datetime | None = maybe_at()


class Outgoing(CoreTable, table=True):
    """One message to a chat, sent once per `key`.

    A card is a row whose `body` changes: each new version sets `state` back to queued, and the message that stands in
    the chat already is edited. `state` is queued, sending, sent or failed. `done` counts the pieces of this version
    that are out already, `doubts` the times it was sent although an earlier try may have arrived.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "chat_id", "id", postgresql_where=text("state in ('queued', 'sending')")),
    )

    id: int | None = key()
    key: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    chat_id: int = big()
    topic_id: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    body: dict[str, Any] = document()
    version: int = 1
    state: str = Field(default="queued", sa_type=Text)
    message_ids: list[int] = Field(
        default_factory=list, sa_column=Column(ARRAY(BigInteger), nullable=False, server_default="{}")
    )
    done: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    doubts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    attempts: int = 0
    error: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = at(nullable=False)
    sent_at: datetime | None = maybe_at()
