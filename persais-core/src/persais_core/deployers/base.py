"""What a platform that serves releases must do.

Deploying is asked for by one release and confirmed by the next: the one that asks may be gone by the time the answer
is there. So `request` only notes the wish, and whoever is active when it has come true, or failed, runs the
`deployed` job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


class Deployer(Protocol):
    """Brings a commit of main to serve."""

    platform: str
    """Who deploys, as people call it; empty for this computer."""

    async def request(self, session: AsyncSession, *, commit: str, change_id: int | None) -> None:
        """Ask that a commit should serve, in the transaction that approves it."""
        ...
