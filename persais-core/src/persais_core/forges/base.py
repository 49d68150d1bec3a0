"""What a place that keeps pull requests must do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.changes import Verdict
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

    async def report(self, head: str, verdicts: Sequence[Verdict]) -> None:
        """Show at a commit what the checks said of it.

        Raises:
            ForgeError: it cannot be shown; the pull request is as it was.
        """
        ...

    async def comment(self, number: int, text: str) -> None:
        """Say something under a pull request.

        Raises:
            ForgeError: it cannot be said.
        """
        ...

    async def merge(self, number: int, *, head: str) -> str:
        """Merge into main and return the commit there; merging twice gives the same commit.

        Raises:
            ForgeError: the branch has moved on from `head`, or main conflicts with it; nothing was merged.
            ForgeUnavailableError: whether it was merged is not known; the same may be asked again.
        """
        ...

    async def merged(self, number: int, *, head: str) -> str | None:
        """The commit on main that merged a pull request, whoever merged it; None: it was not, or not at `head`.

        Raises:
            ForgeError: that cannot be known.
        """
        ...

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        """Take a merge back by a new commit on main and return it; taking it back twice gives the same commit.

        Raises:
            ForgeError: later commits build on it (its key is `revert-conflict`), or main takes no commit.
            ForgeUnavailableError: the same may go well later.
        """
        ...

    async def failed_run(self, commit: str) -> str | None:
        """Why what runs there for a commit on main failed; None: it did not, or nobody knows."""
        ...

    async def close(self, branch: str) -> None:
        """Close whatever is open for a branch, without merging; nothing happens where nothing is.

        By branch, because a caller that died while it opened one may not know its number.
        """
        ...

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request and its unified diff, for a page of ours; None for a wrong key, or where none is shown."""
        ...
