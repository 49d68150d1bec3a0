"""Which release serves: one takes over from another only once it has proven itself, and is started again if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from persais_core import errors
from persais_core.queue.deployments import Deployments
from persais_core.supervisor import patience
from persais_core.supervisor.releases import Pace, Release, Releases, StoppedError, SurroundingsError

FAILED_PROBES = 3  # in a row
RESTARTS = 5  # of a release that dies within `RESTART_WINDOW`, and starts of one that does not get healthy
RESTART_WINDOW = 120.0  # seconds


@dataclass
class Pulse:
    """How the release answers when it is asked for its health, again and again.

    Attributes:
        document: what it said last; empty when it did not answer.
        unwell: how often in a row it was not well; what only its database does to it counts neither way.
        silent: how often in a row it did not answer at all.
    """

    document: dict[str, Any] = field(default_factory=dict)
    unwell: int = 0
    silent: int = 0
    next: float = 0.0

    async def take(self, release: Release, pace: Pace) -> None:
        """Ask once more, if it is time to."""
        if time.monotonic() < self.next:
            return
        self.document = document = await release.health()
        is_well = document.get("status") == "ok"
        ailing = {name for name, value in document.get("checks", {}).items() if value != "ok"}
        self.silent = 0 if document else self.silent + 1
        if ailing != {"database"}:
            self.unwell = 0 if is_well else self.unwell + 1
        self.next = time.monotonic() + (pace.probe if is_well else pace.probe_again)


class Serving:
    """Whichever release serves, one at a time.

    Args:
        url: of the database, where it is noted which one is active.
        pace: how long is waited for what.
        tell: prints one line for the person at the terminal.
        stop: set when it is time to end.

    Attributes:
        current: the release; None before the first, and while one that died does not start.
        former: what served before the last end of the supervisor, if another commit was begun with.
        refused: by commit, why it did not start at the beginning.
        pulse: how the release answers.
    """

    def __init__(
        self, releases: Releases, url: str, *, pace: Pace, tell: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        self._releases, self._url, self._pace, self._tell, self._stop = releases, url, pace, tell, stop
        self.current: Release | None = None
        self.former: str | None = None
        self.refused: dict[str, str] = {}
        self.pulse = Pulse()
        self._wanted: str | None = None  # what is to serve, and died or did not start at the last try
        self._deaths: list[float] = []
        self._last_code: int | None = None
        self._failed_starts, self._next_start = 0, 0.0

    @property
    def is_well(self) -> bool:
        """Whether it serves, with the project's own agents, and said that all is well when it was last asked."""
        current = self.current
        return (
            current is not None and not current.died and not current.safe and self.pulse.document.get("status") == "ok"
        )

    @property
    def is_due(self) -> bool:
        """Whether it is time to start again what is to serve and does not."""
        return self._wanted is not None and time.monotonic() >= self._next_start

    async def begin(self) -> None:
        """Serve main; if that does not get healthy, what served before. Nothing, when told to stop meanwhile.

        Raises:
            DeployError: nothing starts, not even without the project's own agents; or no release can, for what lies
                outside of it.
        """
        async with patience.told(self._tell, "Git: looking what main is..."):
            wanted, active = await self._candidates()
        with contextlib.suppress(StoppedError):
            for commit in wanted:
                self._tell(f"Bot: starting {commit[:12]}...")
                try:
                    await self.swap(commit)
                except SurroundingsError as error:
                    # Neither an older version nor safe mode is a cure for that.
                    raise errors.DeployError(f"the bot cannot be started: {error}") from error
                except errors.DeployError as error:
                    self.refused[commit] = str(error)
                    self._tell(f"Bot: {commit[:12]} does not start: {error}")
                    continue
                self._tell(f"Bot: {commit[:12]} is answering.")
                self.former = active if active != commit else None
                return
            await self._begin_safely(wanted[0], self.refused[wanted[0]])

    async def _candidates(self) -> tuple[list[str], str | None]:
        """The commits that may serve, best first, and the one that did before.

        What has failed does not come back with a restart only because it is on main still: its revert may be under
        way, or could not be made.
        """
        async with Deployments(self._url) as deployments:
            active = await deployments.active()
            main = await self._main(active)
            last = await deployments.latest(main)
        wanted: list[str | None] = [main, active]
        if last is not None and last.state == "failed" and active not in (None, main):
            wanted = [active]
        elif last is not None and last.state == "serving":
            wanted = [last.before, main] if last.cause else [main, active, last.before]
        return list(dict.fromkeys(commit for commit in wanted if commit)), active

    async def _main(self, active: str | None) -> str:
        """Main at the remote; as it was when last seen, or what served last, where the remote cannot be asked."""
        repository = self._releases.repository()
        try:
            return await repository.main()
        except errors.GitError as error:
            self._tell(f"Git: main cannot be fetched, so what was last seen of it is started: {error}")
        try:
            return await repository.resolve("main")
        except errors.GitError:
            if active is None:
                raise
            return active

    async def _begin_safely(self, commit: str, cause: str) -> None:
        """Serve without the project's own agents, so that it can be said in the chat what is wrong, and mended."""
        log = self._releases.log
        self._tell(f"Bot: starting in safe mode, without the agents made here (log: {log}).")
        try:
            await self.swap(commit, safe=cause)
        except errors.DeployError as error:
            raise errors.DeployError(f"the bot cannot be started: {error} (log: {log})") from error

    async def swap(self, commit: str, *, safe: str = "") -> None:
        """Prove a release, make it the active one and stop the one before.

        Args:
            safe: why the project's own agents are to be left out.

        Raises:
            DeployError: it is not healthy, or did not take over; the old one goes on.
            AbsentError: it cannot be fetched; the old one goes on.
            StoppedError: there was no time to see; the old one goes on.
            DatabaseError: it is away; the old one goes on, and `reassert` names it again.
        """
        release = await self._releases.prove(commit, safe=safe)
        old, named = self.current, None
        try:
            named = old.commit if old is not None else await self._active()
            await self._activate(release.commit)
            await self._releases.taking_over(release)
        except BaseException:
            try:
                if named is not None:
                    await self._activate(named)
            finally:
                await release.end()
            raise
        self.current, self.former, self.pulse = release, None, Pulse()
        self._wanted, self._failed_starts = None, 0
        if old is not None:
            await old.end()
        self._releases.forget_old(release)

    async def reassert(self) -> None:
        """Name what serves as the active one, if another is named: the database was away when a swap failed."""
        if self.current is not None and await self._active() != self.current.commit:
            await self._activate(self.current.commit)

    async def look(self) -> None:
        """Ask what serves how it is, if it is time to."""
        if self.current is not None and not self.current.died:
            await self.pulse.take(self.current, self._pace)

    async def bury(self) -> str | None:
        """If what serves has died, clear away what is left of it; it is then due to be started again.

        Returns:
            How it ended, as words that follow "it"; None: it lives.
        """
        if self.current is None or not self.current.died:
            return None
        died, self.current = self.current, None
        self._wanted, self._last_code, self._next_start = died.commit, died.process.returncode, 0.0
        self._deaths.append(time.monotonic())
        await died.end()
        self._tell(f"Bot: {died.commit[:12]} ended unexpectedly (exit code {self._last_code}).")
        return f"ended with exit code {self._last_code}"

    async def revive(self) -> str | None:
        """Start again what died; without the project's own agents when it dies, or does not start, again and again.

        Where not even that starts, Telegram or the machine may be to blame: that passes, and nobody else is here, so
        it is tried for ever, with and without the agents.

        Returns:
            Why it does not start, as words that follow "it"; None: it serves, or does without its agents.

        Raises:
            StoppedError: we were told to stop.
        """
        commit = self._wanted
        assert commit is not None
        self._deaths = [moment for moment in self._deaths if moment > time.monotonic() - RESTART_WINDOW]
        cause = f"it died {len(self._deaths)} times in a row, last with exit code {self._last_code}"
        if len(self._deaths) <= RESTARTS:
            self._tell(f"Bot: starting {commit[:12]} again.")
            try:
                await self.swap(commit)
                return None
            except SurroundingsError as error:
                return self._try_again(str(error), self._pace.outage)
            except errors.DeployError as error:
                cause = str(error)
            self._failed_starts += 1
            if self._failed_starts <= RESTARTS:
                return self._try_again(cause, self._pace.restart)
        try:
            await self._begin_safely(commit, cause)
            return None
        except errors.DeployError as error:
            return self._try_again(str(error), self._pace.outage)

    def _try_again(self, cause: str, seconds: float) -> str:
        self._tell(f"Bot: it does not start ({cause}); trying again in {seconds:g} s.")
        self._next_start = time.monotonic() + seconds
        return f"did not start again: {cause}"

    async def end_if_hung(self) -> None:
        """End a release that does not answer any more, whatever holds it; it is then started again."""
        if self.current is None or self.pulse.silent < FAILED_PROBES:
            return
        self.pulse = Pulse()
        self._tell(f"Bot: it did not answer {FAILED_PROBES} health checks in a row and is ended.")
        with contextlib.suppress(ProcessLookupError):
            self.current.process.kill()
        await self.current.process.wait()

    async def end(self) -> None:
        """Let what serves finish and stop."""
        if self.current is not None:
            await self.current.end()
            self.current = None

    async def _active(self) -> str | None:
        async with Deployments(self._url) as deployments:
            return await deployments.active()

    async def _activate(self, commit: str) -> None:
        async with Deployments(self._url) as deployments:
            await deployments.activate(commit)
