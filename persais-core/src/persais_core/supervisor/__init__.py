"""`persais dev`: what outlives any one release.

It owns the embedded Postgres (`home`), the stand-ins (`desk`), and the public listening socket; it starts releases as
child processes, each from a folder of its own (`releases`), proves a new one beside the old one, and lets it take over
(`serving`). A release that does not get healthy never becomes active: the old one goes on, and the deployment is marked
as failed with the cause (`deploying`). One that took over is watched for a while and may be taken back (`watch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from persais_core import errors, settings, sockets
from persais_core.domain.chats import LOCAL_PERSON
from persais_core.supervisor import home
from persais_core.supervisor.deploying import Deploying
from persais_core.supervisor.desk import Desk, DeskKeys, keys_of, served
from persais_core.supervisor.releases import Pace, Releases
from persais_core.supervisor.serving import Serving

__all__ = ["Desk", "DeskKeys", "Supervisor"]


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
        tell: Callable[[str], None],
        host: str = "127.0.0.1",
    ) -> None:
        self._config, self._folder, self._project = config, folder, project
        self._make_desk, self._tell, self._host = make_desk, tell, host
        self._home = config.persais_home
        self._stop = asyncio.Event()

    async def run(self, *, ready: Callable[[Desk, int], None] | None = None) -> None:
        """Run until SIGINT or SIGTERM.

        Args:
            ready: called with the stand-ins and the public port once the bot answers.

        Raises:
            PersaisError: a port is taken, another `persais dev` runs here, or the bot cannot be started at all.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        with home.alone(self._home):
            public = sockets.listen(self._host, self._config.port)
            port = public.getsockname()[1]
            try:
                door = sockets.listen(self._host, port + 1 if self._config.port else 0)
            except errors.SettingsError:
                public.close()
                raise
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(public.close)
                address = f"http://127.0.0.1:{door.getsockname()[1]}"
                desk = self._make_desk(address, keys_of(self._home, address), self._home / "chat.sqlite")
                await stack.enter_async_context(served(desk, door))
                if self._config.telegram_bot_token is None:
                    self._tell(f"Chat page: {desk.url}/?key={desk.key}")
                database = await stack.enter_async_context(home.database(self._config, self._tell))
                url, pace = database.url, Pace()
                releases = Releases(
                    self._config,
                    project=self._project,
                    environment=self._child_environment(url, desk, port),
                    public=public,
                    stop=self._stop,
                    pace=pace,
                    tell=self._tell,
                )
                serving = Serving(releases, url, pace=pace, tell=self._tell, stop=self._stop)
                stack.push_async_callback(serving.end)
                await serving.begin()
                if not self._stop.is_set():
                    await self._print_claim_code(url)
                    if ready:
                        ready(desk, port)
                await Deploying(
                    serving,
                    releases,
                    url,
                    mend=database.mend,
                    watch_seconds=self._config.watch_seconds,
                    pace=pace,
                    tell=self._tell,
                    stop=self._stop,
                ).run()

    def _end(self) -> None:
        """Begin to stop, and say so once, however often we are told to."""
        if not self._stop.is_set():
            self._stop.set()
            self._tell("Stopping: what is being done right now is finished first...")

    def _child_environment(self, url: str, desk: Desk, port: int) -> dict[str, str]:
        config = self._config
        values = {"PORT": str(port), "PERSAIS_HOME": str(self._home), "PYTHONUNBUFFERED": "1"}
        if config.database_url is None:
            values["DATABASE_URL"] = url
        if config.telegram_bot_token is None:
            values |= {"TELEGRAM_BOT_TOKEN": desk.token, "TELEGRAM_API_URL": desk.url}
            if not config.admin_user_ids:
                values["ADMIN_USER_IDS"] = str(LOCAL_PERSON)
        if config.model_url is None:
            values |= {"LLM_BASE_URL": f"{desk.url}/v1", "LLM_API_KEY": desk.model_key}
            values |= dict.fromkeys(("DEFAULT_MODEL", "CLASSIFIER_MODEL", "CODER_MODEL"), "offline")
        return settings.child_environment(self._folder, **values)

    async def _print_claim_code(self, url: str) -> None:
        """While nobody owns a bot with a real token, say here how to become its owner."""
        if self._config.telegram_bot_token is None:
            return
        from persais_core.db.engine import Database
        from persais_core.security.access import Access

        database = Database(url)
        await database.open()
        try:
            config = self._config
            access = Access(database, allowed=config.allowed_user_ids, admins=config.admin_user_ids)
            if await access.is_claimable():
                self._tell("This bot has no owner yet, and answers nobody. To become its owner, send it in Telegram:")
                self._tell(f"\n  /claim {await access.new_code()}\n")
        finally:
            await database.close()
