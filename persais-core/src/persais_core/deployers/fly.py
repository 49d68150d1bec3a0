"""Deploying on Fly.io: a push to main has the repository's workflow build and deploy, and we look whether it did.

The platform starts the new version beside the old one and lets it take over when it is healthy; what we add is that
nobody is told so before it is so. The version that asked may be gone by then: the wish is a row, and whichever version
does the Mechanic's work follows it (`mechanic.following`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
from sqlalchemy import select
from sqlmodel import col

from persais_core.db.tables.evolution import Deployment

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

TIMEOUT = 10.0  # seconds for one look at /health


class FlyDeployer:
    """Implements `deployers.base.Deployer`.

    Args:
        address: public base URL of the app; None: only the database tells which version works.
        failed: asks the repository's host why the workflow of a commit failed; None: it did not, or nobody may know.
    """

    platform = "Fly.io"

    def __init__(self, address: str | None, failed: Callable[[str], Awaitable[str | None]]) -> None:
        self._address, self._failed = address, failed

    async def request(self, session: AsyncSession, *, commit: str, change_id: int | None) -> None:
        """Note the wish once; the merge itself has begun its fulfilment."""
        known = await session.execute(
            select(col(Deployment.id)).where(col(Deployment.commit) == commit, col(Deployment.state) != "failed")
        )
        if known.scalar_one_or_none() is None:
            session.add(Deployment(change_id=change_id, commit=commit))

    async def answers(self, commit: str) -> bool:
        """Whether the version that works is the one that the world reaches, and well."""
        if self._address is None:
            return True
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
                found = await client.get(f"{self._address}/health")
            return found.status_code == 200 and found.json().get("commit") == commit
        except (httpx.HTTPError, ValueError, AttributeError):
            return False

    async def failure(self, commit: str) -> str | None:
        """Why the platform gave up on a commit, as far as anybody may know."""
        return await self._failed(commit)
