"""Releases as processes: each serves one commit from a folder of its own, and says on /health how it is.

A release is started beside what serves, on the same public socket but not yet answering there; it has proven itself
once it is healthy within the time and memory it is given. Nothing here decides which one serves: see `serving`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from persais_core import errors, sockets
from persais_core.git import remote as git_remote
from persais_core.git.repository import Repository
from persais_core.settings import Settings
from persais_core.supervisor import patience

SERVE = (sys.executable, "-P", "-m", "persais_core", "serve")
STOP_WITHIN = 30.0  # seconds a release has to finish what it began
MEMORY_CAP = 1024  # MB
KEPT_RELEASES = 3


class StoppedError(errors.PersaisError):
    """The supervisor was told to stop before a release had proven itself, of which nothing is known therefore.

    What was under way stays noted as it was, and goes on at the next start.
    """


class AbsentError(errors.DeployError):
    """A commit is not here yet, and the remote cannot be asked for it; that says nothing of the commit."""


class SurroundingsError(errors.DeployError):
    """A release cannot start for what would keep any other from it, too: Telegram is away, or refuses the token."""


@dataclass(frozen=True)
class Pace:
    """How long the supervisor waits for what, in seconds.

    Args:
        healthy: a new release has to answer /health.
        active: it has to take over; the old one may be finishing a turn.
        together: we are told to stop after a release, if that is why it has ended.
        probe: between looks at how what serves is.
        probe_again: once it has failed to answer.
        restart: after a start that failed.
        outage: after a try that failed for what only passes by itself: the remote, Telegram or the machine.
        database: between tries while the database is away.
    """

    healthy: float = 60.0
    active: float = 40.0
    together: float = 0.5
    probe: float = 5.0
    probe_again: float = 1.0
    restart: float = 5.0
    outage: float = 30.0
    database: float = 2.0


@dataclass(frozen=True)
class Release:
    """One serving process.

    Args:
        commit: what it serves.
        probe: address of its /health, of no use to anybody else.
        safe: why it serves without the project's own agents; empty where it serves with them.
    """

    commit: str
    process: asyncio.subprocess.Process
    probe: str
    safe: str = ""

    @property
    def died(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self.process.returncode is not None

    @property
    def excess(self) -> str | None:
        """What is wrong with the memory it holds, if it is more than a release may take."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None  # gone meanwhile, or a system that does not tell
        held = pages * os.sysconf("SC_PAGE_SIZE") // 2**20
        return f"it takes {held} MB of memory; {MEMORY_CAP} MB are allowed" if held > MEMORY_CAP else None

    async def health(self, client: httpx.AsyncClient | None = None) -> dict[str, Any]:
        """What it says of itself on /health; empty when it does not answer."""
        try:
            if client is not None:
                document = (await client.get(self.probe)).json()
            else:
                async with _asking() as own:
                    document = (await own.get(self.probe)).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    async def end(self) -> None:
        """Let it finish what it began, then make sure that it and its children are gone."""
        if not self.died:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class Releases:
    """Makes releases of one project.

    Args:
        project: the repository that evolves.
        environment: of their processes.
        public: the socket on which whichever is active answers the world.
        stop: set when nothing is worth waiting for any more.
        pace: how long a release may take.
        tell: prints one line for the person at the terminal.
        program: what is started, with the options of `persais serve`.
    """

    def __init__(
        self,
        config: Settings,
        *,
        project: Path,
        environment: dict[str, str],
        public: socket.socket,
        stop: asyncio.Event,
        pace: Pace,
        tell: Callable[[str], None],
        program: Sequence[str] = SERVE,
    ) -> None:
        self._home, self._far = config.persais_home, git_remote.configured(config)
        self._project, self._environment, self._public, self._stop = project, environment, public, stop
        self._pace, self._tell, self._program = pace, tell, program
        # Nothing is ever written to it: its end tells a release that we are gone, however we went.
        self._leash = os.pipe()

    @property
    def log(self) -> Path:
        """The file to which all of them write."""
        return self._home / "logs" / "bot.log"

    def repository(self) -> Repository:
        """The repository that evolves, as it is now."""
        return Repository(self._project, self._far)

    async def prove(self, commit: str, *, safe: str = "") -> Release:
        """Start a release beside what serves and wait until it is healthy.

        Args:
            safe: why the project's own agents are to be left out.

        Raises:
            DeployError: it does not get healthy; it is stopped again.
            SurroundingsError: no other release would either.
            AbsentError: it cannot be fetched.
            StoppedError: there was no time to see.
        """
        async with patience.told(self._tell, f"Bot: taking the files of {commit[:12]} out of the repository..."):
            folder = await self._exported(commit)
        release = await self._start(commit, folder, safe)
        try:
            await self._until(
                release,
                self._pace.healthy,
                lambda d: d.get("status") == "ok" and d.get("commit") == commit,
                "get healthy",
            )
        except BaseException:
            await release.end()
            raise
        return release

    async def _exported(self, commit: str) -> Path:
        """The folder with the files of a commit. The remote is asked only for one that has never been here.

        What has served once must start again while the remote is away, or takes our token no more.
        """
        folder = self._home / "releases" / commit[:12]
        if folder.exists():
            return folder
        try:
            repository = self.repository()
            try:
                await repository.resolve(commit)
            except errors.GitError:
                await self._fetch(repository)  # what was merged at the remote is not here yet
            await repository.export(commit, folder)
        except (errors.GitError, errors.ProjectError) as error:
            raise errors.DeployError(str(error)) from error
        return folder

    async def _fetch(self, repository: Repository) -> None:
        try:
            await repository.main()
        except errors.GitError as error:
            raise AbsentError(str(error)) from error

    async def _start(self, commit: str, folder: Path, safe: str) -> Release:
        probe = sockets.listen("127.0.0.1", 0)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._program,
                "--root", str(folder), "--commit", commit, "--workspace", str(self._project),
                "--safe", safe,
                "--probe-fd", str(probe.fileno()), "--public-fd", str(self._public.fileno()),
                "--leash-fd", str(self._leash[0]),
                cwd=folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(probe.fileno(), self._public.fileno(), self._leash[0]),
                start_new_session=True,  # ctrl-C reaches us alone; we stop it in our order
            )  # fmt: skip
        release = Release(commit, process, f"http://127.0.0.1:{probe.getsockname()[1]}/health", safe)
        probe.close()
        return release

    async def taking_over(self, release: Release) -> None:
        """Wait until a release that was named the active one says that it is.

        Raises:
            DeployError: it did not in time.
            StoppedError: there was no time to see.
        """
        await self._until(release, self._pace.active, lambda d: d.get("active") is True, "take over")

    async def _until(self, release: Release, seconds: float, good: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Ask a release for its health until it says what is wanted."""
        deadline = time.monotonic() + seconds
        last = "it did not answer"
        steps = patience.Steps(self._tell)
        async with _asking() as client:
            while time.monotonic() < deadline and not self._stop.is_set():
                if release.died:
                    # A machine that shuts down tells all processes at once, and the release may be the first to end.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), self._pace.together)
                        break
                    raise errors.DeployError(f"it ended with exit code {release.process.returncode} at its start")
                if excess := release.excess:
                    raise errors.DeployError(excess)
                document = await release.health(client)
                if good(document):
                    return
                if document.get("status") == "failing":
                    said = str(document.get("checks", {}).get("release", "it says that it is failing"))
                    raise errors.DeployError(said) if document.get("fails_alone", True) else SurroundingsError(said)
                last = str(document.get("checks", last))
                steps.look(f"Bot: {_doing(document)}...")
                await asyncio.sleep(0.05)
        if self._stop.is_set():
            raise StoppedError(f"the bot was stopped before it could {what}")
        raise errors.DeployError(f"it did not {what} within {seconds:g} s: {last}")

    def forget_old(self, current: Release) -> None:
        """Throw away the folders of all but the last few releases, and of the one that serves."""
        folders = [f for f in (self._home / "releases").iterdir() if f.is_dir() and len(f.name) == 12]
        for folder in sorted(folders, key=lambda f: f.stat().st_mtime)[:-KEPT_RELEASES]:
            if folder.name != current.commit[:12]:
                shutil.rmtree(folder, ignore_errors=True)


def _doing(document: dict[str, Any]) -> str:
    """What a release that was begun does now, by what it says of its health."""
    if not document:
        return "loading the program"
    if document.get("status") == "starting":
        return "opening the database, bringing its tables up to date and loading the agents"
    return "taking over"


def _asking() -> httpx.AsyncClient:
    """A client for /health. It reads no certificates, which takes longer than the question: the way is loopback."""
    return httpx.AsyncClient(timeout=5, trust_env=False, verify=False)
