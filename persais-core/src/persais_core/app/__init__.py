"""The only place that builds and joins the parts of one release: Settings and a folder become a running bot.

A release serves HTTP at once, and says on /health how it is. It takes updates and jobs only while it is the active one
(see `queue.activity`): a candidate that is being proven takes nothing, and two releases never poll or work at the same
time. Several processes may serve one release, each in a role: `web` takes what comes over HTTP, `worker` does the jobs,
`all` both. What only one of them may do is a duty, taken by whoever is first.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

import persais_core
from persais_core import errors, metrics, web
from persais_core.app.parts import Parts
from persais_core.app.place import DUTIES, Place, Role
from persais_core.app.working import working
from persais_core.db.tables.evolution import PullRequest
from persais_core.queue.activity import Turnstile
from persais_core.settings import Settings

__all__ = ["App", "Place", "Role"]

log = structlog.get_logger(__name__)

METRICS_WITHIN = 5.0  # seconds
DATABASE_PATIENCE = 3.0  # seconds between tries while the database is away


class App:
    """One release.

    Args:
        role: what this process does of it.

    Attributes:
        asgi: its HTTP application, usable before `open`.
        probe: the one for its supervisor, which tells all of its health.
        is_stopping: nothing more is taken in; set by whoever is about to end this process.
    """

    def __init__(self, settings: Settings, place: Place, role: Role = "all") -> None:
        self.settings, self.place, self.role = settings, place, role
        self.metrics = metrics.Metrics()
        token = settings.metrics_token
        self.asgi = web.application(
            more=[metrics.route(self.figures, token.get_secret_value() if token else None)],
            health=self.health,
            accept=self.accept,
            page=self.page,
            webhook_secret=(
                settings.telegram_webhook_secret.get_secret_value()
                if settings.telegram_webhook_secret and role != "worker"
                else None
            ),
        )
        self.probe = web.probe(self.health)
        self.failure: str | None = None
        self.fails_alone = True
        self.is_active = self.is_stopping = False
        self._parts: Parts | None = None

    async def open(self) -> None:
        """Connect, and load the project's agents.

        Raises:
            PersaisError: something keeps this release from serving; `failure` and /health say the same.
        """
        try:
            self._parts = await Parts.build(self.settings, self.place, self.metrics)
        except errors.PersaisError as error:
            self.failure = str(error)
            # What Telegram or a setting does to this release it does to any other, with and without the agents.
            self.fails_alone = not isinstance(error, (errors.ChannelError, errors.SettingsError))
            raise

    def leave_out_agents(self, cause: str) -> None:
        """Have `open` start in safe mode, without the project's own agents."""
        self.place, self.failure = dataclasses.replace(self.place, broken=cause), None

    async def close(self) -> None:
        """Give everything back."""
        if self._parts is not None:
            await self._parts.close()
            self._parts = None

    async def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether this release can serve, and all that is to be said of that; the world is told less, see `web`."""
        checks: dict[str, str] = {}
        if self._parts is None:
            checks["release"] = self.failure or "starting"
        else:
            checks["release"] = "stopping" if self.is_stopping else "ok"
            checks["database"] = "ok" if await self._parts.database.answers() else "down"
        well = all(value == "ok" for value in checks.values())
        status = "ok" if well else "starting" if self._parts is None and not self.failure else "failing"
        return well, {
            "status": status,
            "version": persais_core.__version__,
            "commit": self.place.commit,
            "active": self.is_active,
            "safe_mode": self.place.broken,
            "fails_alone": self.fails_alone,
            "role": self.role,
            "first_turns": await self._parts.first_turn_counts() if self._parts else {},
            "checks": checks,
        }

    async def figures(self) -> bytes:
        """The document of GET /metrics; without what only the database knows, while it is away."""
        database = self._parts.database if self._parts else None
        try:
            async with asyncio.timeout(METRICS_WITHIN):
                return await self.metrics.text(database)
        except (errors.DatabaseError, psycopg.Error, TimeoutError) as error:
            log.warning("the database gave no figures", cause=str(error))
            return await self.metrics.text(None)

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request of the local forge and its diff, for whoever holds its link."""
        if self._parts is None or self.settings.git_remote_url:
            return None
        workshop = await self._parts.workshop()
        return await workshop.forge.page(number, key)

    async def accept(self, update: Any) -> None:
        """Store one raw update; see `queue.intake`.

        Raises:
            ChannelError: this release does not take anything yet, or any more.
            psycopg.Error: it could not be stored.
        """
        if self._parts is None or self.is_stopping:
            raise errors.ChannelError("this release takes no updates at the moment")
        await self._parts.intake.accept(update)

    async def run(self, *, while_active: Callable[[], contextlib.AbstractAsyncContextManager[None]]) -> None:
        """Take updates and jobs whenever this release is the active one, until cancelled.

        Args:
            while_active: entered when it becomes active, left when it is not any more.
        """
        assert self._parts is not None
        began_before = False
        while True:
            try:
                async with Turnstile(self._parts.database.direct_url, self.place.commit) as turnstile:
                    # Nobody supervises: where the version that replaced this one has died, this one goes on.
                    await turnstile.enter(reclaim=began_before and not self.place.is_supervised)
                    log.info("this release is active", commit=self.place.commit, role=self.role)
                    # Once the database was away, others may be ending what they had begun, and hold no lock.
                    alone, began_before = turnstile.is_first and not began_before, True
                    async with (
                        while_active(),
                        working(self._parts, self.role, vouch=turnstile.vouch, alone=alone) as take_up,
                    ):
                        self.is_active = True
                        try:
                            async for duty in turnstile.duties(DUTIES[self.role]):
                                await take_up(duty)
                        finally:
                            self.is_active = False
                    log.info("this release is not active any more", commit=self.place.commit)
            except (errors.DatabaseError, psycopg.Error, DBAPIError, ExceptionGroup) as error:
                # A group holds what ended one of the tasks that work while we are active.
                causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
                log.warning("work was interrupted and begins again", causes=[str(cause) for cause in causes])
                await asyncio.sleep(DATABASE_PATIENCE)
