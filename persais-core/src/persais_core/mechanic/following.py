"""On a platform that deploys by itself: look whether what was asked for came true, watch it, and say how it ended.

The rows of `deployments` go the same way as under `persais dev` (requested, serving, confirmed, or failed), and the
same jobs tell of it. Whoever does the Mechanic's work does this too, so a new version takes it over from the one it
replaces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select
from sqlmodel import col

from persais_core import errors
from persais_core.db.tables.evolution import ActiveRelease, Deployment
from persais_core.deployers.fly import FlyDeployer
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs

log = structlog.get_logger(__name__)

EVERY = 3.0  # seconds between looks
WITHIN = timedelta(minutes=20)  # an image is built and machines are started; far more than that takes
BROKEN_TURNS = 2  # of the first five of an agent


class Following:
    """Follows deployments.

    Args:
        workshop: makes what is needed for one look.
        broken: by agent, how many of its first turns in this release broke.
        within: how long a deployment may take.
    """

    def __init__(
        self,
        workshop: Callable[[], Awaitable[Workshop]],
        broken: Callable[[], Awaitable[dict[str, tuple[int, int]]]],
        *,
        within: timedelta = WITHIN,
    ) -> None:
        self._workshop, self._broken, self._within = workshop, broken, within

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except (errors.PersaisError, OSError) as error:
                log.warning("the deployments could not be looked at", cause=str(error))
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Move each deployment on that has something to move it."""
        shop = await self._workshop()
        deployer = shop.deployer
        assert isinstance(deployer, FlyDeployer)
        async with shop.database.session() as session:
            found = await session.execute(
                select(Deployment)
                .where(col(Deployment.state).in_(("requested", "serving")))
                .order_by(col(Deployment.id))
            )
            rows = list(found.scalars())
            active = await session.get(ActiveRelease, 1)
        for row in rows:
            assert row.id is not None
            if row.state == "serving":
                await self._watch(shop, row)
            elif active is not None and await self._is_served(shop, deployer, row.commit, active.commit):
                await _end(shop, row.id, "serving", None)
            elif cause := await deployer.failure(row.commit):
                await _end(shop, row.id, "failed", cause)
            elif datetime.now(UTC) - row.requested_at > self._within:
                minutes = round(self._within.total_seconds() / 60)
                await _end(shop, row.id, "failed", f"the new version did not answer within {minutes} minutes")

    async def _is_served(self, shop: Workshop, deployer: FlyDeployer, wanted: str, active: str) -> bool:
        """Whether a commit, or a later one that holds it, works and answers the world."""
        if wanted != active:
            try:
                await shop.repository.main()
                if not await shop.repository.holds(active, wanted):
                    return False
            except errors.GitError:
                return False
        return await deployer.answers(active)

    async def _watch(self, shop: Workshop, row: Deployment) -> None:
        assert row.id is not None
        for agent, (turns, broken) in (await self._broken()).items():
            if broken >= BROKEN_TURNS:
                await _end(shop, row.id, "failed", f"{agent} broke in {broken} of its first {turns} answers")
                return
        since = row.finished_at or row.requested_at
        if datetime.now(UTC) - since > timedelta(seconds=shop.settings.watch_seconds):
            await _end(shop, row.id, "confirmed", None)


async def _end(shop: Workshop, number: int, state: str, cause: str | None) -> None:
    """Note what became of a deployment and have it told: one transaction."""
    async with shop.database.session() as session:
        row = await session.get_one(Deployment, number, with_for_update=True)
        row.state, row.cause = state, cause
        if state != "confirmed":
            row.finished_at = datetime.now(UTC)
        task = "confirmed" if state == "confirmed" else "deployed"
        await jobs.defer(session, task, lock=f"deployment:{number}", deployment=number)
    log.info("deployment", number=number, state=state, cause=cause)
