"""The forge of somebody who hosts at home: pull requests in Postgres, branches in a bare repository, pages by us."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlmodel import col

from persais_core import errors
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.changes import Verdict
from persais_core.forges.base import PullRequestLink
from persais_core.git.bare import BareRepository

_PATH = "/pulls/"


def moved(url: str, pages_url: str) -> str:
    """The address of a pull request's page where the pages are served now; any other address stays as it is.

    Args:
        url: as it was when the pull request was opened.
        pages_url: where the pages are served.
    """
    parts = urlsplit(url)
    is_ours = parts.path.startswith(_PATH) and parts.query.startswith("key=")
    return f"{pages_url}{parts.path}?{parts.query}" if is_ours else url


class LocalForge:
    """Implements `forges.base.Forge`.

    Args:
        database: keeps the pull requests.
        remote: the bare repository.
        pages_url: where the pages are served; links begin with it.
    """

    def __init__(self, database: Database, remote: BareRepository, pages_url: str) -> None:
        self._database, self._remote, self._pages_url = database, remote, pages_url

    async def open(self, *, branch: str, head: str, base: str, title: str, body: str) -> PullRequestLink:
        """Open a pull request."""
        async with self._database.session() as session:
            found = await session.execute(
                select(PullRequest).where(col(PullRequest.branch) == branch, col(PullRequest.state) == "open")
            )
            row = found.scalar_one_or_none()
            if row is None:
                key = secrets.token_urlsafe(16)
                row = PullRequest(title=title, body=body, branch=branch, head=head, base=base, key=key)
                session.add(row)
                await session.flush()
            row.head, row.base, row.title, row.body = head, base, title, body
            assert row.number is not None
            return PullRequestLink(number=row.number, url=f"{self._pages_url}{_PATH}{row.number}?key={row.key}")

    async def report(self, head: str, verdicts: Sequence[Verdict]) -> None:
        """Nothing: the text of a pull request tells the checks, and its page shows that."""

    async def comment(self, number: int, text: str) -> None:
        """Say something at the end of a pull request's text."""
        async with self._database.session() as session:
            row = await session.get(PullRequest, number)
            if row is not None:
                row.body = f"{row.body.rstrip()}\n\n{text}\n"

    async def merge(self, number: int, *, head: str) -> str:
        """Merge into main."""
        row = await self._row(number)
        if row.state == "merged" and row.merge_commit:
            return row.merge_commit
        if row.state != "open":
            raise errors.ForgeError(f"pull request #{number} is closed", key="forge-closed", number=str(number))
        if row.head != head:
            raise errors.ForgeError(
                f"pull request #{number} has newer commits than the one that was approved",
                key="forge-newer",
                number=str(number),
            )
        try:
            commit = await self._remote.merge(head, f"Merge pull request #{number}: {row.title}")
        except errors.GitError as error:
            raise error.as_(errors.ForgeError) from error
        async with self._database.session() as session:
            merged = await session.get_one(PullRequest, number)
            merged.state, merged.merge_commit = "merged", commit
        return commit

    async def merged(self, number: int, *, head: str) -> str | None:
        """The commit on main that merged a pull request."""
        row = await self._row(number)
        if row.head != head:
            return None
        # Main itself is asked too: the row is written after the merge, and somebody may have merged by hand.
        try:
            return row.merge_commit or await self._remote.merged(head)
        except errors.GitError as error:
            raise error.as_(errors.ForgeError) from error

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        """Take a merge back."""
        try:
            return await self._remote.revert(merge_commit, f"Revert {merge_commit[:12]}\n\n{reason}")
        except errors.GitError as error:
            raise error.as_(errors.ForgeError) from error

    async def failed_run(self, commit: str) -> str | None:
        """None: nothing runs here."""
        return None

    async def close(self, branch: str) -> None:
        """Close whatever is open for a branch, without merging."""
        async with self._database.session() as session:
            found = await session.execute(
                select(PullRequest).where(col(PullRequest.branch) == branch, col(PullRequest.state) == "open")
            )
            for row in found.scalars():
                row.state = "closed"

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request and its unified diff, for whoever has the link; None for everybody else."""
        async with self._database.session() as session:
            row = await session.get(PullRequest, number)
        if row is None or not secrets.compare_digest(row.key.encode(), key.encode("utf-8", "replace")):
            return None
        return row, await asyncio.to_thread(self._remote.diff, row.base, row.head)

    async def _row(self, number: int) -> PullRequest:
        async with self._database.session() as session:
            row = await session.get(PullRequest, number)
        if row is None:
            raise errors.ForgeError(f"there is no pull request #{number}", key="forge-none", number=str(number))
        return row
