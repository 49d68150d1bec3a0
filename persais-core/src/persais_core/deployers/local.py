"""Deploying on this computer: a row that the supervisor of `persais dev` waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text
from sqlmodel import col

from persais_core.db.tables.evolution import Deployment

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

NOTIFY = "persais_deployments"
"""Channel on which the supervisor listens."""


class LocalDeployer:
    """Implements `deployers.base.Deployer`."""

    platform = ""

    async def request(self, session: AsyncSession, *, commit: str, change_id: int | None) -> None:
        """Note the wish once, and wake the supervisor."""
        known = await session.execute(
            select(col(Deployment.id)).where(col(Deployment.commit) == commit, col(Deployment.state) != "failed")
        )
        if known.scalar_one_or_none() is None:
            session.add(Deployment(change_id=change_id, commit=commit))
            await session.execute(text(f"notify {NOTIFY}"))
