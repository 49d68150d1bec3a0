"""Carrying out deployments, one after the other, and keeping what serves alive in between.

A release that does not get healthy never becomes active: the old one goes on, and the deployment is marked as failed
with the cause. One that takes over is watched for a while, and the one before serves again if it does not hold. What
is being done is noted in the deployment's row before it is done, so that a supervisor that was stopped or killed in the
middle goes on with it, and watches again what it watched:

    proving          begun, and `before` noted; repeated after a restart
    serving          watched; after a restart, for the whole time again
    serving, cause   being taken back; after a restart, `before` is what is started
    failed           it is taken back, and never started again in place of what serves
    confirmed        it has held, or a later one has that holds it
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from persais_core import errors
from persais_core.queue.deployments import Deployments
from persais_core.supervisor.releases import AbsentError, Pace, Releases, StoppedError
from persais_core.supervisor.serving import Serving
from persais_core.supervisor.watch import Watch, changed_agents


class Deploying:
    """Sees to what serves, until told to stop.

    Args:
        url: of the database, where deployments are asked for.
        mend: called while the database is away; starts it again where it is ours.
        watch_seconds: how long a new release is watched.
        pace: how long is waited for what.
        tell: prints one line for the person at the terminal.
        stop: set when it is time to end.
    """

    def __init__(
        self,
        serving: Serving,
        releases: Releases,
        url: str,
        *,
        mend: Callable[[], Awaitable[None]],
        watch_seconds: float,
        pace: Pace,
        tell: Callable[[str], None],
        stop: asyncio.Event,
    ) -> None:
        self._serving, self._releases, self._url, self._mend = serving, releases, url, mend
        self._watch_seconds, self._pace, self._tell, self._stop = watch_seconds, pace, tell, stop
        self._watched: Watch | None = None
        self._next_fetch = 0.0

    async def run(self) -> None:
        """Carry out deployments, and start the release again when it dies."""
        with contextlib.suppress(StoppedError):
            while not self._stop.is_set():
                try:
                    async with Deployments(self._url) as deployments:
                        await self._serving.reassert()
                        await self._resume(deployments)
                        await self._carry_out(deployments)
                        while not self._stop.is_set():
                            await self._see_to_it(deployments)
                            await deployments.wait(self._stop)
                            await self._carry_out(deployments)
                except errors.DatabaseError as error:
                    self._tell(f"Database: away ({error}); trying again.")
                    try:
                        await self._mend()
                    except errors.DatabaseError as again:
                        self._tell(f"Database: {again}")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), self._pace.database)

    async def _see_to_it(self, deployments: Deployments) -> None:
        """Do the one thing that is due: the watched release has held, or must go; what serves died, or hangs."""
        serving, watched = self._serving, self._watched
        await serving.look()
        if (how := await serving.bury()) and watched is not None:
            watched.ended(how)
        if watched is not None and (cause := watched.trouble(serving)):
            await self._give_back(deployments, watched, cause)
        elif serving.is_due:
            if (how := await serving.revive()) and watched is not None:
                watched.ended(how)
        elif watched is not None and watched.has_held(serving):
            await deployments.confirm(watched.deployment)
            self._watched = None
        else:
            await serving.end_if_hung()

    async def _carry_out(self, deployments: Deployments) -> None:
        if time.monotonic() < self._next_fetch:
            return
        for number, commit in await deployments.requested():
            current = self._serving.current
            before = await deployments.proving(number, self._before(commit))
            if current is None or current.commit != commit or current.safe or current.died:
                self._tell(f"Deploy: proving {commit[:12]}...")
                try:
                    await self._serving.swap(commit)
                except AbsentError as error:
                    seconds = self._pace.outage
                    self._tell(f"Deploy: {commit[:12]} cannot be fetched ({error}); trying again in {seconds:g} s.")
                    self._next_fetch = time.monotonic() + seconds
                    return
                except errors.DeployError as error:
                    self._tell(f"Deploy: {commit[:12]} failed, the old version goes on: {error}")
                    await deployments.finish(number, str(error))
                    continue
                self._tell(f"Deploy: {commit[:12]} is serving.")
            # What it replaces is not watched any more by itself: it holds if this one does, and else it is again.
            self._watched = await self._watch(number, commit, before)
            await deployments.finish(number, None)

    def _before(self, commit: str) -> str | None:
        """What serves again if a commit does not hold: what serves now, unless that needs safe mode."""
        current = self._serving.current
        if current is not None and current.commit != commit:
            return None if current.safe else current.commit
        # We have begun with it, or it was asked for twice.
        return self._watched.before if self._watched is not None else self._serving.former

    async def _watch(self, number: int, commit: str, before: str | None) -> Watch:
        agents = frozenset[str]()
        if before is not None:
            agents = await changed_agents(self._releases.repository(), before, commit)
        return Watch(number, commit, before, agents, time.monotonic() + self._watch_seconds)

    async def _resume(self, deployments: Deployments) -> None:
        """Go on with what was being watched, or taken back, when we ended; or when what was after it was taken back."""
        current = self._serving.current
        last = await deployments.unconfirmed()
        if self._watched is not None or current is None or last is None:
            return
        if last.commit == current.commit:
            await deployments.condemn(last.commit, None)
            self._watched = await self._watch(last.number, last.commit, last.before)
        elif current.commit == last.before and (cause := last.cause or self._serving.refused.get(last.commit)):
            await deployments.finish(last.number, cause)
            await self._resume(deployments)

    async def _give_back(self, deployments: Deployments, watched: Watch, cause: str) -> None:
        """Let the version before serve again; if it does not start either, the new one goes on."""
        assert watched.before is not None
        self._tell(f"Deploy: the new version did not hold ({cause}); the one before is to serve again.")
        await deployments.condemn(watched.commit, cause)
        try:
            await self._serving.swap(watched.before)
        except errors.DeployError as error:
            self._tell(f"Deploy: the version before does not start any more either: {error}")
            watched.spare(self._pace.outage)
            await deployments.condemn(watched.commit, None)
            return
        self._watched = None
        await self._resume(deployments)
