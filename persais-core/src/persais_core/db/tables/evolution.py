"""Changes, their pull requests and approvals, and which release serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Text
from sqlmodel import Field

from persais_core.db.tables.base import CoreTable, at, big, document, key, maybe_at


class ChangeRow(CoreTable, table=True):
    """One change. `body` is the whole domain value; the columns beside it are those that are searched for."""

    __tablename__ = "changes"

    id: int | None = key()
    chat_id: int = big(index=True)
    user_id: int = big()
    state: str = Field(sa_type=Text, index=True)
    branch: str | None = Field(default=None, sa_column=Column(Text, unique=True, nullable=True))
    body: dict[str, Any] = document()
    created_at: datetime = at(nullable=False)
    updated_at: datetime = at(nullable=False)


class PullRequest(CoreTable, table=True):
    """A pull request of the local forge. `state` is open, merged or closed; `key` opens its page."""

    __tablename__ = "pull_requests"

    number: int | None = key()
    title: str = Field(sa_type=Text)
    body: str = Field(sa_type=Text)
    branch: str = Field(sa_type=Text)
    head: str = Field(sa_type=Text)
    base: str = Field(sa_type=Text)
    state: str = Field(default="open", sa_type=Text)
    key: str = Field(sa_type=Text)
    merge_commit: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = at(nullable=False)


class Approval(CoreTable, table=True):
    """One button of a card: what it does, to which commit, and whether it was used."""

    __tablename__ = "approvals"

    nonce: str = Field(sa_column=Column(Text, primary_key=True))
    change_id: int = big(index=True)
    action: str = Field(sa_type=Text)
    commit: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = at(nullable=False)
    used_at: datetime | None = maybe_at()
    used_by: int | None = big(nullable=True)


class Deployment(CoreTable, table=True):
    """A wish that a commit should serve, and what became of it.

    `state` is requested, proving, serving, confirmed or failed; whoever supervises the releases moves it on. `before`
    is the commit that serves again if this one does not hold; none for a rollback, which nothing may undo by itself.
    """

    __tablename__ = "deployments"

    id: int | None = key()
    change_id: int | None = big(nullable=True, index=True)
    commit: str = Field(sa_type=Text)
    state: str = Field(default="requested", sa_type=Text, index=True)
    before: str | None = Field(default=None, sa_type=Text)
    cause: str | None = Field(default=None, sa_type=Text)
    requested_at: datetime = at(nullable=False)
    finished_at: datetime | None = maybe_at()


class ActiveRelease(CoreTable, table=True):
    """The one commit that takes updates and jobs. There is one row."""

    __tablename__ = "active_release"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: int = Field(default=1, primary_key=True)
    commit: str = Field(sa_type=Text)
    since: datetime = at(nullable=False)


class Preview(CoreTable, table=True):
    """Which candidate a lane speaks to. The row outlives the process that runs it, so that its end can be told."""

    __tablename__ = "previews"

    lane: str = Field(sa_column=Column(Text, primary_key=True))
    change_id: int = big()
    commit: str = Field(sa_type=Text)
    agent: str = Field(sa_type=Text)
    started_at: datetime = at(nullable=False)


class FirstTurns(CoreTable, table=True):
    """How many of an agent's first turns in a release there were, and how many broke; for all its processes."""

    __tablename__ = "first_turns"

    commit: str = Field(sa_column=Column(Text, primary_key=True))
    agent: str = Field(sa_column=Column(Text, primary_key=True))
    turns: int
    broken: int
