"""What the owner has set for each agent, apart from its code."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, Text
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, big


class AgentConfigRow(CoreTable, table=True):
    """The settings of one agent; there is no row for an agent that is as its code says."""

    __tablename__ = "agent_config"

    agent: str = Field(sa_type=Text, primary_key=True)
    model: str | None = Field(default=None, sa_type=Text)
    temperature: float | None = None
    max_tokens: int | None = None
    enabled: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default="true"))
    keywords: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    updated_by: int | None = big(nullable=True)
    updated_at: datetime = at(nullable=False)


class AgentRow(CoreTable, table=True):
    """Whose an agent is: who asked for the change that made it. `visibility` is private (the owner's own) or shared."""

    __tablename__ = "agents"
    __table_args__ = (CheckConstraint("visibility in ('private', 'shared')", name="visibility"),)

    name: str = Field(sa_column=Column(Text, primary_key=True))
    owner: int | None = big(nullable=True)
    visibility: str = Field(default="shared", sa_column=Column(Text, nullable=False, server_default="shared"))
