"""The only place that builds and joins the parts of one release: Settings and a folder become a running bot.

A release serves HTTP at once, and says on /health how it is. It takes updates and jobs only while the row in
`active_release` names its commit and it holds the lock that says so: a candidate that is being proven takes nothing,
and two releases never poll or work at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

import persais_core
from persais_core import coders, errors, texts, web
from persais_core.agents import loader, rehearsal
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.channels.telegram import poll, webhook
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.coders.base import Coder
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ActiveRelease, PullRequest
from persais_core.deployers.local import LocalDeployer
from persais_core.domain.chats import Language
from persais_core.forges.local import LocalForge
from persais_core.git.repository import BareRepository, Repository
from persais_core.llm.models import Models
from persais_core.mechanic import migrate
from persais_core.mechanic.agent import Mechanic
from persais_core.mechanic.graph import Evolution
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.mechanic.workshop import Workshop
from persais_core.orchestrator import commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.graph import Orchestrator
from persais_core.queue.inbox import Inbox
from persais_core.queue.jobs import Worker
from persais_core.queue.outbox import Outbox
from persais_core.security.access import Access
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

log = structlog.get_logger(__name__)

ACTIVE_LOCK = 0x61637469  # advisory lock of the release that takes updates and jobs
ACTIVE_CHANNEL = "persais_active"
DATABASE_PATIENCE = 3.0  # seconds between tries while the database is away


@dataclass(frozen=True)
class Place:
    """Where a release lies.

    Args:
        root: absolute folder that holds `bot/`.
        commit: what was exported there.
        workspace: the repository that evolves; its remote `persais` is where changes are merged.
        broken: why the project's own agents are left out: the bot then starts in safe mode, with what the core brings.
        is_supervised: somebody at a terminal tells its owner the claim code, so the log need not.
    """

    root: Path
    commit: str
    workspace: Path
    is_supervised: bool = False
    broken: str | None = None


class App:
    """One release.

    Attributes:
        asgi: its HTTP application, usable before `open`.
    """

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.asgi = web.application(
            health=self.health,
            accept=self.accept,
            page=self.page,
            webhook_secret=(
                settings.telegram_webhook_secret.get_secret_value() if settings.telegram_webhook_secret else None
            ),
        )
        self.failure: str | None = None
        self.is_active = False
        self._parts: _Parts | None = None

    async def open(self) -> None:
        """Connect, and load the project's agents.

        Raises:
            PersaisError: something keeps this release from serving; `failure` and /health say the same.
        """
        try:
            self._parts = await _Parts.build(self.settings, self.place)
        except errors.PersaisError as error:
            self.failure = str(error)
            raise

    async def close(self) -> None:
        """Give everything back."""
        if self._parts is not None:
            await self._parts.close()
            self._parts = None

    async def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether this release can serve, and the document of GET /health."""
        checks: dict[str, str] = {}
        if self._parts is None:
            checks["release"] = self.failure or "starting"
        else:
            checks["release"] = "ok"
            checks["database"] = "ok" if await self._parts.database.answers() else "down"
        well = all(value == "ok" for value in checks.values())
        status = "ok" if well else "starting" if self._parts is None and not self.failure else "failing"
        return well, {
            "status": status,
            "version": persais_core.__version__,
            "commit": self.place.commit,
            "active": self.is_active,
            "safe_mode": self.place.broken,
            "first_turns": self._parts.first_turns if self._parts else {},
            "checks": checks,
        }

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """A pull request of the local forge and its diff, for whoever holds its link."""
        if self._parts is None:
            return None
        workshop = await self._parts.workshop()
        return await workshop.forge.page(number, key)

    async def accept(self, update: Any) -> None:
        """Store one raw update; what has no number is dropped, since nobody could tell it from another.

        Raises:
            ChannelError: this release is not ready to store anything.
        """
        if self._parts is None:
            raise errors.ChannelError("this release is still starting")
        await self._parts.accept(update)

    async def run(self, *, while_active: Callable[[], contextlib.AbstractAsyncContextManager[None]]) -> None:
        """Take updates and jobs whenever this release is the active one, until cancelled.

        Args:
            while_active: entered when it becomes active, left when it is not any more.
        """
        assert self._parts is not None
        while True:
            try:
                async with _Turnstile(self._parts.database.direct_url, self.place.commit) as turnstile:
                    await turnstile.wait_until(active=True)
                    log.info("this release is active", commit=self.place.commit)
                    async with while_active(), self._parts.working():
                        self.is_active = True
                        try:
                            await turnstile.wait_until(active=False)
                        finally:
                            self.is_active = False
                    log.info("this release is not active any more", commit=self.place.commit)
            except (errors.DatabaseError, psycopg.Error, DBAPIError, ExceptionGroup) as error:
                # A group holds what ended one of the tasks that work while we are active.
                causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
                log.warning("work was interrupted and begins again", causes=[str(cause) for cause in causes])
                await asyncio.sleep(DATABASE_PATIENCE)


class _Turnstile:
    """Waits until `active_release` names a commit and the lock is free, and then until it does not."""

    def __init__(self, url: str, commit: str) -> None:
        self._url, self._commit = url, commit

    async def __aenter__(self) -> _Turnstile:

        try:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=10)
            await self._connection.execute(f"listen {ACTIVE_CHANNEL}")
        except psycopg.Error as error:
            raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error
        return self

    async def __aexit__(self, *exc: object) -> None:

        # Whoever waits for the lock is told, and only then the connection is closed, which frees it in any case.
        with contextlib.suppress(psycopg.Error):
            await self._connection.execute("select pg_advisory_unlock_all()")
            await self._connection.execute(f"notify {ACTIVE_CHANNEL}")
        await self._connection.close()

    async def wait_until(self, *, active: bool) -> None:
        """Return when this commit is the active one and the lock is held, or when it is not any more."""
        try:
            while await self._is_active() is not active:
                async for _ in self._connection.notifies(timeout=0.5 if active else 2.0, stop_after=1):
                    pass
        except psycopg.Error as error:
            raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error

    async def _is_active(self) -> bool:
        query = "select commit from persais.active_release"
        row = await (await self._connection.execute(query)).fetchone()
        if row is None or row[0] != self._commit:
            return False
        # Counted by Postgres: asking again while we hold it is harmless, the connection's end frees it.
        held = await (await self._connection.execute("select pg_try_advisory_lock(%s)", (ACTIVE_LOCK,))).fetchone()
        return bool(held and held[0])


async def activate(url: str, commit: str) -> None:
    """Make a commit the active one; releases that wait for it hear of it at once."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        await connection.execute(
            "insert into persais.active_release (id, commit) values (1, %s) "
            "on conflict (id) do update set commit = excluded.commit, since = now()",
            (commit,),
        )
        await connection.execute(f"notify {ACTIVE_CHANNEL}")


@dataclass
class _Parts:
    """What one release is made of."""

    settings: Settings
    place: Place
    database: Database
    registry: Registry
    models: Models
    orchestrator: Orchestrator
    channel: TelegramChannel
    bot_id: int
    access: Access
    ledger: Ledger
    inbox: Inbox
    sandbox: Sandbox
    coder: Coder
    redactor: Redactor
    first_turns: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    async def build(cls, settings: Settings, place: Place) -> _Parts:
        """Connect to everything, and load the project's agents."""
        if settings.database_url is None:
            raise errors.SettingsError(
                "DATABASE_URL is not set; `persais dev` brings a database, `persais serve` needs one"
            )
        if settings.telegram_bot_token is None:
            raise errors.SettingsError("TELEGRAM_BOT_TOKEN is not set; `persais dev` has a chat page that needs none")
        direct = settings.database_direct_url
        database = Database(settings.database_url.get_secret_value(), direct.get_secret_value() if direct else None)
        await database.open()
        try:
            ledger = Ledger(database)
            sandbox = Sandbox(secrets_present=settings.holds_secrets, allow_unsandboxed=settings.allow_unsandboxed)
            if not place.broken:
                await migrate.bring_up(database.direct_url, place.root, sandbox, commit=place.commit)
            own = [] if place.broken else await asyncio.to_thread(loader.load, place.root)
            is_candidate = place.is_supervised and own and await _is_candidate(database, place.commit)
            if is_candidate and (complaint := await rehearsal.rehearse(place.root, own)):
                raise errors.AgentError(complaint)
            registry = Registry([Master(lambda: [agent.name for agent in own]), Mechanic(ledger), *own])
            models = Models(settings, database)
            orchestrator = Orchestrator(registry, models, database)
            await orchestrator.open()
            channel = TelegramChannel(settings.telegram_bot_token.get_secret_value(), settings.telegram_api_url)
            bot_id = await channel.open()
        except BaseException:
            await database.close()
            raise
        return cls(
            settings=settings,
            place=place,
            database=database,
            registry=registry,
            models=models,
            orchestrator=orchestrator,
            channel=channel,
            bot_id=bot_id,
            access=Access(database, allowed=settings.allowed_user_ids, admins=settings.admin_user_ids),
            ledger=ledger,
            inbox=Inbox(database),
            sandbox=sandbox,
            coder=coders.load("aider")(venv=settings.coder_venv),
            redactor=Redactor(settings.secrets),
        )

    async def close(self) -> None:
        """Give everything back."""
        await self.coder.close()
        await self.channel.close()
        await self.database.close()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Take updates and jobs while the block lasts; then finish what was begun."""
        evolution = Evolution(self.ledger, self.redactor, self.workshop)
        previews = Previews(self.database, self.ledger, self.workshop, self.settings.persais_home / "previews")
        await previews.open()
        dispatch = Dispatch(
            database=self.database,
            channel=self.channel,
            access=self.access,
            orchestrator=self.orchestrator,
            ledger=self.ledger,
            previews=previews,
            facts=self.facts,
            first_turns=self.first_turns,
        )
        worker = Worker(
            self.database,
            {
                "turn": dispatch.turn,
                "urgent": dispatch.urgent,
                "deliver": Outbox(self.database, self.channel).deliver,
                "change": evolution.change,
                "decide": previews.before(evolution.decide),
                "preview": previews.begin,
                "stop_preview": previews.stop,
                "deployed": evolution.deployed,
                "confirmed": evolution.confirmed,
                "diff": evolution.diff,
                "rollback": evolution.rollback,
            },
        )
        await self._announce()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_for_ever(worker.run(alone=True)), name="worker")]
            tasks.append(group.create_task(_until_cancelled(previews.run()), name="previews"))
            tasks.append(group.create_task(_until_cancelled(self._intake()), name="intake"))
            tasks.append(group.create_task(self._warm(), name="warm"))
            tasks.append(group.create_task(_until_cancelled(self._daily()), name="daily"))
            try:
                yield
            finally:
                # Intake first: what comes in now is for the next release. The worker then ends what it has begun.
                # Previews before the worker, as a turn may be waiting for one.
                for task in reversed(tasks):
                    task.cancel()
                    await asyncio.wait([task])

    async def _intake(self) -> None:
        if self.settings.app_base_url and self.settings.telegram_webhook_secret:
            await webhook.register(
                self.channel.bot,
                f"{self.settings.app_base_url}/telegram/webhook",
                self.settings.telegram_webhook_secret.get_secret_value(),
            )
            await asyncio.Event().wait()  # the updates come through web.py
        await poll.poll(self.channel.bot, self.accept)

    async def accept(self, update: Any) -> None:
        """Store one raw update."""
        incoming = parse(update, bot_id=self.bot_id)
        if incoming is None:
            log.warning("an update without a number was dropped")
            return
        await self.inbox.accept(incoming)

    async def _announce(self) -> None:
        """What a release does once when it becomes active."""
        await Outbox(self.database, self.channel).start_over()
        if not self.place.is_supervised and await self.access.is_claimable():
            log.warning("this bot has no owner: it answers nothing but /claim", code=await self.access.new_code())

    async def _warm(self) -> None:
        """What would make the first message wait: the menu, the model's client, the sandbox's trial."""
        for language in (None, *texts.LANGUAGES):
            try:
                await self.channel.set_menu(commands.menu(self.registry, language or "en"), language)
            except errors.ChannelError as error:
                log.warning("the menu could not be set", cause=str(error))
        await self.models.warm()
        isolation = await self.sandbox.probe()
        log.info("sandbox", state=isolation.state, ways=isolation.ways, reason=isolation.reason)

    async def _daily(self) -> None:
        """What is done once a day: throw away what has lain in the attic for a month."""
        while True:
            try:
                await migrate.purge(await self.workshop())
            except errors.PersaisError as error:
                log.warning("the attic could not be cleared", cause=str(error))
            await asyncio.sleep(24 * 3600)

    async def facts(self, language: Language) -> commands.Facts:
        """What /status tells of this release."""
        isolation = await self.sandbox.probe()
        name = f"sandbox-{isolation.state.replace('_', '-')}"
        weak = isolation.state != "enforced"
        return commands.Facts(
            version=persais_core.__version__,
            commit=self.place.commit,
            database=texts.say(language, "database-ok" if await self.database.answers() else "database-down"),
            model=self.models.default,
            sandbox=texts.say(language, name, ways=", ".join(isolation.ways), reason=isolation.reason),
            warnings=tuple(
                text
                for text in (
                    texts.say(language, "warning-safe-mode", cause=self.place.broken) if self.place.broken else "",
                    texts.say(language, "warning-unsandboxed") if weak else "",
                )
                if text
            ),
        )

    async def workshop(self) -> Workshop:
        """What the Mechanic works with; made anew for each job, so a repaired repository is seen."""
        repository = await asyncio.to_thread(Repository, self.place.workspace)
        remote = BareRepository(Path(await repository.remote()))
        return Workshop(
            settings=self.settings,
            database=self.database,
            ledger=self.ledger,
            models=self.models,
            repository=repository,
            coder=self.coder,
            sandbox=self.sandbox,
            forge=LocalForge(self.database, remote, self.settings.pages_url),
            deployer=LocalDeployer(),
            redactor=self.redactor,
        )


async def _is_candidate(database: Database, commit: str) -> bool:
    """Whether another release serves, which goes on where this one is found wanting."""
    async with database.session() as session:
        active = await session.get(ActiveRelease, 1)
    return active is not None and active.commit != commit


async def _for_ever(work: Coroutine[Any, Any, None]) -> None:
    """Work that has no end of its own: when it ends, its connection to the database did.

    Raises:
        DatabaseError: it ended without being told to.
    """
    try:
        await work
    except asyncio.CancelledError:
        return
    raise errors.DatabaseError("the queue's worker ended")


async def _until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Being cancelled is how these end; nothing is wrong with it."""
    with contextlib.suppress(asyncio.CancelledError):
        await work
