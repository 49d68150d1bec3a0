"""What a place that keeps pull requests must do."""

from __future__ import annotations

from typing import Protocol

from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.chats import Value


class PullRequestLink(Value):
    """A pull request as people find it."""

    number: int
    url: str


class Forge(Protocol):
    """Keeps pull requests of one repository."""

    async def open(self, *, branch: str, head: str, base: str, title: str, body: str) -> PullRequestLink:
        """Open a pull request; one that is open for this branch is brought up to date instead.

        Raises:
            ForgeError: it cannot be opened; says why.
        """
        ...

    async def merge(self, number: int, *, head: str) -> str:
        """Merge into main and return the commit there; merging twice gives the same commit.

        Raises:
            ForgeError: the branch has moved on from `head`, or main conflicts with it.
        """
        ...

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        """Take a merge back by a new commit on main and return it."""
        ...

    async def close(self, number: int) -> None:
        """Close without merging; a closed one stays closed."""
        ...

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request and its unified diff, for a page of ours; None for a wrong key, or where none is shown."""
        ...
