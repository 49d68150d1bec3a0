"""`persais dev`: what outlives any one release.

It owns the embedded Postgres, the stand-ins, and the public listening socket; it starts releases as child processes,
each from a folder of its own, proves a new one beside the old one, and lets it take over. A release that does not get
healthy never becomes active: the old one goes on, and the deployment is marked as failed with the cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from persais_core import errors, settings, sockets
from persais_core.db import core_migrations
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.deployers.deployments import Deployments
from persais_core.git import remote as git_remote
from persais_core.git.repository import Repository

HEALTHY_WITHIN = 60.0  # seconds a new release has to answer /health
ACTIVE_WITHIN = 40.0  # seconds it has to take over; the old one may be finishing a turn
STOP_WITHIN = 30.0  # seconds a release has to finish what it began
KEPT_RELEASES = 3
PROBE_EVERY = 5.0  # seconds, while it is watched
FAILED_PROBES = 3  # in a row
DEATHS = 2  # the first may be an accident of the machine
BROKEN_TURNS = 2  # of the first five of an agent
MEMORY_CAP = 1024  # MB
RESTARTS = 5  # of a release that dies, within `RESTART_WINDOW`
RESTART_WINDOW = 120.0  # seconds
RESTART_PAUSE = 5.0  # seconds after a start that failed
EMULATED_USER = 1000001  # the person on the chat page; see emulators.telegram

Tell = Callable[[str], None]


@dataclass(frozen=True)
class DeskKeys:
    """What opens each stand-in: the chat page is the owner's, the model's key is told to the coder too."""

    chat: str
    model: str
    token: str


@dataclass(frozen=True)
class Desk:
    """What stands in for services nobody has set up: where it is, and the keys to it."""

    url: str
    key: str
    model_key: str
    token: str
    routes: Sequence[BaseRoute]
    aclose: Callable[[], Any]


@dataclass
class _Release:
    commit: str
    process: asyncio.subprocess.Process
    probe: str

    @property
    def memory(self) -> int:
        """MB it holds now; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    @property
    def died(self) -> bool:
        return self.process.returncode is not None


@dataclass
class _Watch:
    """A new release that may still be taken back, and the one that would then serve again."""

    deployment: int
    before: str | None
    agents: frozenset[str]
    until: float
    next_probe: float = 0.0
    failed_probes: int = 0
    deaths: int = 0


class Supervisor:
    """Runs one bot project on this computer.

    Args:
        config: of this process; children get it through the environment.
        folder: whose `.env` the bot is told.
        project: the repository that evolves.
        make_desk: builds the stand-ins for a base URL and keys.
        tell: prints one line for the person at the terminal.
        host: address on which the bot and the stand-ins listen.
    """

    def __init__(
        self,
        config: settings.Settings,
        *,
        folder: Path,
        project: Path,
        make_desk: Callable[[str, DeskKeys, Path], Desk],
        tell: Tell,
        host: str = "127.0.0.1",
    ) -> None:
        self._config, self._folder, self._project = config, folder, project
        self._host, self._far = host, git_remote.configured(config)
        self._make_desk, self._tell = make_desk, tell
        self._home = config.persais_home
        self._stop = asyncio.Event()
        self._current: _Release | None = None
        self._watched: _Watch | None = None
        self._wanted: str | None = None  # what is to serve and did not start at the last try
        self._next_probe, self._failed_probes = 0.0, 0
        self._environment: dict[str, str] = {}
        # Nothing is ever written to it: its end tells a release that we are gone, however we went.
        self._leash = os.pipe()
        self._url = ""

    async def run(self, *, ready: Callable[[Desk, int], None] | None = None) -> None:
        """Run until SIGINT or SIGTERM.

        Args:
            ready: called with the stand-ins and the public port once the bot answers.

        Raises:
            PersaisError: a port is taken, another `persais dev` runs here, or the bot cannot be started at all.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        with self._alone():
            public = sockets.listen(self._host, self._config.port)
            port = public.getsockname()[1]
            try:
                door = sockets.listen(self._host, port + 1 if self._config.port else 0)
            except errors.SettingsError:
                public.close()
                raise
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(public.close)
                desk = self._desk(f"http://127.0.0.1:{door.getsockname()[1]}")
                await stack.enter_async_context(_serving(desk, door))
                if self._config.telegram_bot_token is None:
                    self._tell(f"Chat page: {desk.url}/?key={desk.key}")
                self._url = await stack.enter_async_context(self._database())
                self._environment = self._child_environment(desk, port)
                stack.push_async_callback(self._stop_current)
                await self._start_first(public)
                await self._print_claim_code()
                if ready:
                    ready(desk, port)
                await self._watch(public)
                self._tell("Stopping: what was begun is finished first...")

    def _desk(self, url: str) -> Desk:
        """The stand-ins, with the same keys as last time, so that open pages and chats go on."""
        file = self._home / "desk.json"
        known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(file.read_text())
        key = known.get("key") or secrets.token_urlsafe(24)
        model_key = known.get("model_key") or secrets.token_urlsafe(24)
        token = known.get("token") or f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}"
        fresh = file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"url": url, "key": key, "model_key": model_key, "token": token}))
        fresh.rename(file)
        return self._make_desk(url, DeskKeys(key, model_key, token), self._home / "chat.sqlite")

    @contextlib.asynccontextmanager
    async def _database(self) -> AsyncIterator[str]:
        """The database, prepared; the embedded one is stopped at the end."""
        url = self._config.database_direct_url or self._config.database_url
        embedded = None
        if url is None:
            embedded = EmbeddedPostgres(self._home / "pg")
            self._tell("Database: starting the embedded Postgres...")
        address = await asyncio.to_thread(embedded.start) if embedded else url.get_secret_value() if url else ""
        try:
            await asyncio.to_thread(core_migrations.prepare, address)
            yield address
        finally:
            if embedded:
                await asyncio.to_thread(embedded.stop)

    def _child_environment(self, desk: Desk, port: int) -> dict[str, str]:
        config = self._config
        values = {"PORT": str(port), "PERSAIS_HOME": str(self._home), "PYTHONUNBUFFERED": "1"}
        if config.database_url is None:
            values["DATABASE_URL"] = self._url
        if config.telegram_bot_token is None:
            values |= {"TELEGRAM_BOT_TOKEN": desk.token, "TELEGRAM_API_URL": desk.url}
            if not config.admin_user_ids:
                values["ADMIN_USER_IDS"] = str(EMULATED_USER)
        if config.model_url is None:
            values |= {"LLM_BASE_URL": f"{desk.url}/v1", "LLM_API_KEY": desk.model_key}
            values |= dict.fromkeys(("DEFAULT_MODEL", "CLASSIFIER_MODEL", "CODER_MODEL"), "offline")
        return settings.child_environment(self._folder, **values)

    async def _print_claim_code(self) -> None:
        """While nobody owns a bot with a real token, say here how to become its owner."""
        if self._config.telegram_bot_token is None:
            return
        from persais_core.db.engine import Database
        from persais_core.security.access import Access

        database = Database(self._url)
        await database.open()
        try:
            config = self._config
            access = Access(database, allowed=config.allowed_user_ids, admins=config.admin_user_ids)
            if await access.is_claimable():
                self._tell("This bot has no owner yet, and answers nobody. To become its owner, send it in Telegram:")
                self._tell(f"\n  /claim {await access.new_code()}\n")
        finally:
            await database.close()

    async def _start_first(self, public: socket.socket) -> None:
        """Serve main; if that does not get healthy, what served before."""
        repository = Repository(self._project, self._far)
        main = await repository.main()
        wanted = [main]
        if (before := await self._active()) and before != main:
            wanted.append(before)
        causes = []
        for commit in wanted:
            self._tell(f"Bot: starting {commit[:12]}...")
            try:
                release = await self._prove(commit, public)
                await self._take_over(release)
            except errors.DeployError as error:
                causes.append(str(error))
                self._tell(f"Bot: {commit[:12]} does not start: {error}")
                continue
            self._tell(f"Bot: {commit[:12]} is answering.")
            return
        await self._start_safely(main, causes[0], public)

    async def _start_safely(self, commit: str, cause: str, public: socket.socket) -> None:
        """Serve without the project's own agents, so that it can be said in the chat what is wrong, and mended.

        Raises:
            DeployError: not even that starts.
        """
        log = self._home / "logs" / "bot.log"
        self._tell(f"Bot: starting in safe mode, without the agents made here (log: {log}).")
        try:
            await self._take_over(await self._prove(commit, public, safe=cause))
        except errors.DeployError as error:
            raise errors.DeployError(f"the bot cannot be started: {error} (log: {log})") from error

    async def _prove(self, commit: str, public: socket.socket, *, safe: str = "") -> _Release:
        """Start a release beside what serves and wait until it is healthy.

        Raises:
            DeployError: it does not get healthy; it is stopped again.
        """
        folder = self._home / "releases" / commit[:12]
        try:
            repository = Repository(self._project, self._far)
            await repository.main()  # fetches: what was merged at the remote is not here yet
            await repository.export(commit, folder)
        except errors.GitError as error:
            raise errors.DeployError(str(error)) from error
        probe = sockets.listen("127.0.0.1", 0)
        logs = self._home / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        with (logs / "bot.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "persais_core", "serve",
                "--root", str(folder), "--commit", commit, "--workspace", str(self._project),
                "--safe", safe,
                "--probe-fd", str(probe.fileno()), "--public-fd", str(public.fileno()),
                "--leash-fd", str(self._leash[0]),
                cwd=folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(probe.fileno(), public.fileno(), self._leash[0]),
                start_new_session=True,  # ctrl-C reaches us alone; we stop it in our order
            )  # fmt: skip
        release = _Release(commit, process, f"http://127.0.0.1:{probe.getsockname()[1]}/health")
        probe.close()
        try:
            await self._until(
                release, HEALTHY_WITHIN, lambda d: d.get("status") == "ok" and d.get("commit") == commit, "get healthy"
            )
        except BaseException:
            await _end(release)
            raise
        return release

    async def _take_over(self, release: _Release) -> None:
        """Make a proven release the active one and stop the one before.

        Raises:
            DeployError: it did not take over; the old one is active again.
        """
        old = self._current
        try:
            await self._activate(release.commit)
            await self._until(release, ACTIVE_WITHIN, lambda d: d.get("active") is True, "take over")
        except BaseException:
            if old is not None:
                await self._activate(old.commit)
            await _end(release)
            raise
        self._current = release
        if old is not None:
            await _end(old)
        self._forget_old_releases()

    async def _until(
        self, release: _Release, seconds: float, good: Callable[[dict[str, Any]], bool], what: str
    ) -> None:
        """Ask a release for its health until it says what is wanted."""
        deadline = time.monotonic() + seconds
        last = "it did not answer"
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline and not self._stop.is_set():
                if release.died:
                    raise errors.DeployError(f"it ended with exit code {release.process.returncode} at its start")
                if release.memory > MEMORY_CAP:
                    raise errors.DeployError(f"it takes {release.memory} MB of memory; {MEMORY_CAP} MB are allowed")
                document = await _ask(release, client)
                if good(document):
                    return
                if document.get("status") == "failing":
                    raise errors.DeployError(
                        str(document.get("checks", {}).get("release", "it says that it is failing"))
                    )
                last = str(document.get("checks", last))
                await asyncio.sleep(0.05)
        raise errors.DeployError(f"it did not {what} within {seconds:g} s: {last}")

    async def _watch(self, public: socket.socket) -> None:
        """Carry out deployments, and start the release again when it dies."""
        deaths: list[float] = []
        while not self._stop.is_set():
            try:
                async with Deployments(self._url) as deployments:
                    await self._watch_on(deployments)
                    await self._carry_out(deployments, public)
                    while not self._stop.is_set():
                        if self._watched is not None and time.monotonic() > self._watched.until:
                            await deployments.confirm(self._watched.deployment)
                            self._watched = None
                        elif self._watched is not None and (cause := await self._trouble()):
                            await self._give_back(deployments, public, cause)
                        elif self._wanted is not None or (self._current is not None and self._current.died):
                            deaths = [t for t in deaths if t > time.monotonic() - RESTART_WINDOW] + [time.monotonic()]
                            await self._restart(public, len(deaths))
                        elif self._watched is None:
                            await self._end_if_hung()
                        await deployments.wait(self._stop)
                        await self._carry_out(deployments, public)
            except errors.DatabaseError as error:
                self._tell(f"Database: away ({error}); trying again.")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 2)

    async def _restart(self, public: socket.socket, times: int) -> None:
        commit = self._current.commit if self._current is not None else self._wanted
        code = self._current.process.returncode if self._current is not None else None
        assert commit is not None
        self._current = self._wanted = None
        if times > RESTARTS:
            await self._start_safely(commit, f"it died {times} times in a row, last with exit code {code}", public)
            return
        self._tell(f"Bot: {commit[:12]} ended unexpectedly (exit code {code}); starting it again.")
        try:
            await self._take_over(await self._prove(commit, public))
        except errors.DeployError as error:
            # What kept it from getting healthy may be Telegram or the machine: that passes, and nobody else is here.
            self._tell(f"Bot: it does not start ({error}); trying again in {RESTART_PAUSE:g} s.")
            self._wanted = commit
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), RESTART_PAUSE)

    async def _carry_out(self, deployments: Deployments, public: socket.socket) -> None:
        for number, commit in await deployments.requested():
            if self._current is not None and self._current.commit == commit:
                await deployments.finish(number, None)
                continue
            self._tell(f"Deploy: proving {commit[:12]}...")
            await deployments.proving(number)
            before = self._current.commit if self._current is not None else None
            self._watched = None
            try:
                await self._take_over(await self._prove(commit, public))
            except errors.DeployError as error:
                self._tell(f"Deploy: {commit[:12]} failed, the old version goes on: {error}")
                await deployments.finish(number, str(error))
            else:
                self._tell(f"Deploy: {commit[:12]} is serving.")
                await deployments.finish(number, None)
                if before is not None:
                    agents = await self._changed_agents(before, commit)
                    self._watched = _Watch(number, before, agents, time.monotonic() + self._config.watch_seconds)

    async def _watch_on(self, deployments: Deployments) -> None:
        """Go on watching a release that was being watched when we ended; what it must be taken back to is not known."""
        if self._watched is None and self._current is not None:
            number = await deployments.unconfirmed(self._current.commit)
            if number is not None:
                until = time.monotonic() + self._config.watch_seconds
                self._watched = _Watch(number, None, frozenset(), until)

    async def _changed_agents(self, before: str, now: str) -> frozenset[str]:
        """Names of the agents whose files differ between two commits."""
        repository = Repository(self._project, self._far)
        old, new = await repository.files(before), await repository.files(now)
        paths = [path for path in new if path.startswith("bot/agents/") and old.get(path) != new[path]]
        return frozenset(Path(path).stem for path in paths)

    async def _trouble(self) -> str | None:
        """Why the watched release must not go on, if so."""
        watched, release = self._watched, self._current
        if watched is None or watched.before is None or release is None:
            return None
        now = time.monotonic()
        if release.died:
            watched.deaths += 1
            code = release.process.returncode
            return f"it ended {DEATHS} times, last with exit code {code}" if watched.deaths >= DEATHS else None
        if release.memory > MEMORY_CAP:
            return f"it takes {release.memory} MB of memory; {MEMORY_CAP} MB are allowed"
        if now < watched.next_probe:
            return None
        watched.next_probe = now + (PROBE_EVERY if watched.failed_probes == 0 else 1.0)
        document = await _ask(release)
        watched.failed_probes = 0 if document.get("status") == "ok" else watched.failed_probes + 1
        if watched.failed_probes >= FAILED_PROBES:
            return f"it did not answer {FAILED_PROBES} health checks in a row"
        for agent, (turns, broken) in document.get("first_turns", {}).items():
            if agent in watched.agents and broken >= BROKEN_TURNS:
                return f"{agent} broke in {broken} of its first {turns} answers"
        return None

    async def _end_if_hung(self) -> None:
        """End a release that does not answer any more, whatever holds it; it is then started again."""
        if self._current is None or time.monotonic() < self._next_probe:
            return
        document = await _ask(self._current)
        self._failed_probes = 0 if document else self._failed_probes + 1
        self._next_probe = time.monotonic() + (PROBE_EVERY if document else 1.0)
        if self._failed_probes >= FAILED_PROBES:
            self._failed_probes = 0
            self._tell(f"Bot: it did not answer {FAILED_PROBES} health checks in a row and is ended.")
            with contextlib.suppress(ProcessLookupError):
                self._current.process.kill()
            await self._current.process.wait()

    async def _give_back(self, deployments: Deployments, public: socket.socket, cause: str) -> None:
        """Let the version before serve again."""
        watched, self._watched = self._watched, None
        assert watched is not None and watched.before is not None
        self._tell(f"Deploy: the new version did not hold ({cause}); the one before serves again.")
        try:
            await self._take_over(await self._prove(watched.before, public))
        except errors.DeployError as error:
            self._tell(f"Deploy: the version before does not start any more either: {error}")
            return
        await deployments.finish(watched.deployment, cause)

    async def _active(self) -> str | None:
        async with Deployments(self._url) as deployments:
            return await deployments.active()

    async def _activate(self, commit: str) -> None:
        async with Deployments(self._url) as deployments:
            await deployments.activate(commit)

    async def _stop_current(self) -> None:
        if self._current is not None:
            await _end(self._current)
            self._current = None

    def _forget_old_releases(self) -> None:
        folders = [f for f in (self._home / "releases").iterdir() if f.is_dir() and len(f.name) == 12]
        for folder in sorted(folders, key=lambda f: f.stat().st_mtime)[:-KEPT_RELEASES]:
            if self._current is None or folder.name != self._current.commit[:12]:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of this home; a second supervisor on it would fight over database and chat."""
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / "dev.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise errors.ProjectError(
                    f"a bot is running here already (process {file.read().strip() or 'unknown'}); "
                    "stop it first, or set PERSAIS_HOME to run another one"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


async def _ask(release: _Release, client: httpx.AsyncClient | None = None) -> dict[str, Any]:
    """What a release says of itself on /health; empty when it does not answer."""
    try:
        if client is not None:
            document = (await client.get(release.probe)).json()
        else:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as own:
                document = (await own.get(release.probe)).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


async def _end(release: _Release) -> None:
    """Let a release finish what it began, then make sure that it and its children are gone."""
    if not release.died:
        with contextlib.suppress(ProcessLookupError):
            release.process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(release.process.wait(), STOP_WITHIN)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(release.process.pid, signal.SIGKILL)
    await release.process.wait()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, and with a word to the stand-ins before it waits for them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(desk: Desk, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        Starlette(routes=list(desk.routes)),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await desk.aclose()
        await task
