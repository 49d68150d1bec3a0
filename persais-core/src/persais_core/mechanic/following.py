"""On a platform that deploys by itself: look whether what was asked for came true, watch it, and say how it ended.

The rows of `deployments` go the same way as under `persais dev` (requested, serving, confirmed, or failed), and the
same jobs tell of it. Whoever does the Mechanic's work does this too, so a new version takes it over from the one it
replaces.

What breaks is blamed on the newest deployment alone, and only where the agent came with it and still is what it made
of it. Taking that one back leads to what worked before; taking an older one from beneath it would lead to what nobody
has tried. An agent that is older may break for reasons of its own, and what an owner took back does not return. While
what is being taken back still serves, all that breaks may be its doing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlmodel import col

from persais_core import errors
from persais_core.db.tables.evolution import ActiveRelease, Deployment
from persais_core.deployers.fly import FlyDeployer
from persais_core.domain import first_turns
from persais_core.domain.tasks import Task
from persais_core.git.repository import Repository
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs, locks

log = structlog.get_logger(__name__)

EVERY = 3.0  # seconds between looks
WITHIN = timedelta(minutes=20)  # an image is built and machines are started; far more than that takes


class Following:
    """Follows deployments.

    Args:
        workshop: makes what is needed for one look.
        counts: the first turns of each agent in this release.
        within: how long a deployment may take.
    """

    def __init__(
        self,
        workshop: Callable[[], Awaitable[Workshop]],
        counts: Callable[[], Awaitable[first_turns.Counts]],
        *,
        within: timedelta = WITHIN,
    ) -> None:
        self._workshop, self._counts, self._within = workshop, counts, within
        self._agents: tuple[str, str, frozenset[str]] | None = None

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
        newest = max((row.id or 0 for row in rows if row.state == "serving"), default=0)
        for row in rows:
            assert row.id is not None
            if row.state == "serving":
                await self._watch(shop, row, active if row.id == newest else None)
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

    async def _watch(self, shop: Workshop, row: Deployment, active: ActiveRelease | None) -> None:
        """End the watch over a deployment, if there is reason to.

        Args:
            active: what serves; None where the deployment is not to blame for what that does.
        """
        assert row.id is not None
        if active is not None and (cause := await self._trouble(shop, row, active)):
            await _end(shop, row.id, "failed", cause)
            return
        since = row.finished_at or row.requested_at
        if datetime.now(UTC) - since > timedelta(seconds=shop.settings.watch_seconds):
            await _end(shop, row.id, "confirmed", None)

    async def _trouble(self, shop: Workshop, row: Deployment, active: ActiveRelease) -> str | None:
        """Why a deployment must not go on, if so."""
        counts = await self._counts()
        if row.change_id is None or first_turns.trouble(counts, counts) is None:
            return None
        if row.commit != (await shop.ledger.get(row.change_id)).merge_commit:
            return None  # a rollback: it bears the number of the change that it takes out
        if self._agents is None or self._agents[:2] != (row.commit, active.commit):
            await shop.repository.main()
            is_leaving = await _is_leaving(shop, row, active)
            made = frozenset[str]() if is_leaving else await made_by(shop.repository, row.commit, active.commit)
            self._agents = (row.commit, active.commit, made)
        return first_turns.trouble(counts, self._agents[2])


async def _is_leaving(shop: Workshop, row: Deployment, active: ActiveRelease) -> bool:
    """Whether what serves has a deployment after this one in it that did not hold, and only waits to be replaced."""
    async with shop.database.session() as session:
        found = await session.execute(
            select(col(Deployment.commit)).where(
                col(Deployment.id) > row.id,
                col(Deployment.state) == "failed",
                col(Deployment.finished_at) > active.since,
            )
        )
    for commit in found.scalars():
        with contextlib.suppress(errors.GitError):  # it is not there any more
            if await shop.repository.holds(active.commit, commit):
                return True
    return False


async def made_by(repository: Repository, commit: str, active: str) -> frozenset[str]:
    """Names of the agents whose files came with a commit of main and are the same in the one that serves.

    None where one of the commits is not there any more.
    """
    try:
        parent = await repository.first_parent(commit)
        before = await repository.files(parent) if parent else {}
        made, serving = await repository.files(commit), await repository.files(active)
    except errors.GitError:
        return frozenset()
    paths = [path for path in made if path.startswith("bot/agents/")]
    return frozenset(Path(path).stem for path in paths if before.get(path) != made[path] == serving.get(path))


async def _end(shop: Workshop, number: int, state: str, cause: str | None) -> None:
    """Note what became of a deployment and have it told: one transaction."""
    async with shop.database.session() as session:
        row = await session.get_one(Deployment, number, with_for_update=True)
        row.state, row.cause = state, cause
        if state != "confirmed":
            row.finished_at = datetime.now(UTC)
        task: Task = "confirmed" if state == "confirmed" else "deployed"
        await jobs.defer(session, task, lock=locks.of_deployment(number), deployment=number)
    log.info("deployment", number=number, state=state, cause=cause)
