"""A forge behind a circuit breaker: while its server is down nobody waits for it.

That it refuses something, such as a merge that conflicts, is an answer and says nothing against it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from persais_core import errors
from persais_core.breakers import Breakers, RestingError
from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.changes import Verdict
from persais_core.forges.base import Forge, PullRequestLink


class GuardedForge:
    """Implements `forges.base.Forge` around another one."""

    def __init__(self, inner: Forge, breakers: Breakers) -> None:
        self._inner, self._breakers = inner, breakers

    @contextlib.asynccontextmanager
    async def _guard(self) -> AsyncIterator[None]:
        try:
            async with self._breakers.around("forge", counts=(errors.ForgeUnavailableError,)):
                yield
        except RestingError as error:
            raise errors.ForgeUnavailableError(
                "the place that keeps pull requests failed several times in a row and is left alone for half a minute; "
                "try again then",
                key="forge-resting",
            ) from error

    async def open(self, *, branch: str, head: str, base: str, title: str, body: str) -> PullRequestLink:
        """Open a pull request, or bring the open one up to date."""
        async with self._guard():
            return await self._inner.open(branch=branch, head=head, base=base, title=title, body=body)

    async def report(self, head: str, verdicts: Sequence[Verdict]) -> None:
        """Show at a commit what the checks said of it."""
        async with self._guard():
            await self._inner.report(head, verdicts)

    async def comment(self, number: int, text: str) -> None:
        """Say something under a pull request."""
        async with self._guard():
            await self._inner.comment(number, text)

    async def merge(self, number: int, *, head: str) -> str:
        """Merge into main and return the commit there."""
        async with self._guard():
            return await self._inner.merge(number, head=head)

    async def merged(self, number: int, *, head: str) -> str | None:
        """The commit on main that merged a pull request."""
        async with self._guard():
            return await self._inner.merged(number, head=head)

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        """Take a merge back by a new commit on main and return it."""
        async with self._guard():
            return await self._inner.revert(merge_commit, reason=reason)

    async def failed_run(self, commit: str) -> str | None:
        """Why what runs there for a commit on main failed."""
        async with self._guard():
            return await self._inner.failed_run(commit)

    async def close(self, branch: str) -> None:
        """Close whatever is open for a branch, without merging."""
        async with self._guard():
            await self._inner.close(branch)

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request and its diff, for a page of ours; asks nobody outside."""
        return await self._inner.page(number, key)
