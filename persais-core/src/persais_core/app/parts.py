"""What a release is made of: built here by hand, part by part, and set to work in the order that each needs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import structlog

import persais_core
from persais_core import audit, coders, errors, metrics, texts
from persais_core.agents import loader, rehearsal
from persais_core.agents.config import AgentConfigs
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.app.place import Place, Role
from persais_core.breakers import Breakers
from persais_core.channels.counted import CountedChannel
from persais_core.channels.telegram import poll, webhook
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.coders.base import Coder
from persais_core.coders.guarded import GuardedCoder
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ActiveRelease
from persais_core.deployers.fly import FlyDeployer
from persais_core.deployers.local import LocalDeployer
from persais_core.domain.chats import Language
from persais_core.forges.base import Forge
from persais_core.forges.github import GitHubForge
from persais_core.forges.guarded import GuardedForge
from persais_core.forges.local import LocalForge
from persais_core.git import remote, workspace
from persais_core.git.bare import BareRepository
from persais_core.git.repository import Repository
from persais_core.llm.models import Models
from persais_core.mechanic import migrate
from persais_core.mechanic.agent import Mechanic
from persais_core.mechanic.evolution import Evolution
from persais_core.mechanic.following import Following
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.mechanic.workshop import Workshop
from persais_core.orchestrator import commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.orchestrator.graph import Orchestrator
from persais_core.queue import retention
from persais_core.queue.activity import Duty
from persais_core.queue.alerts import Alerts
from persais_core.queue.giving_up import GivingUp
from persais_core.queue.inbox import Inbox
from persais_core.queue.intake import Intake
from persais_core.queue.jobs import Vouch, Worker
from persais_core.queue.outbox import EDIT_PAUSE, Outbox
from persais_core.queue.pace import Pace
from persais_core.security.access import Access
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

log = structlog.get_logger(__name__)

ENDING = ("intake", "following", "alerts", "daily", "warm", "previews", "worker")
"""In which order work ends: what comes in from now on is for the next release; a turn may wait for a preview."""

GRACEFUL = frozenset({"previews", "worker"})
"""Which of them take their time, and take no other word for "at once"."""
DEAF_AFTER = 5.0  # seconds until any other is told to end once more


@dataclass
class Parts:
    """What one release is made of."""

    settings: Settings
    place: Place
    database: Database
    registry: Registry
    figures: metrics.Metrics
    breakers: Breakers
    models: Models
    orchestrator: Orchestrator
    channel: TelegramChannel
    access: Access
    ledger: Ledger
    intake: Intake
    sandbox: Sandbox
    coder: Coder
    redactor: Redactor
    configs: AgentConfigs
    first_turns: FirstTurns
    merging: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def build(cls, settings: Settings, place: Place, counted: metrics.Metrics) -> Parts:
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
            ledger = Ledger(database, Redactor(settings.secrets))
            sandbox = Sandbox(secrets_present=settings.holds_secrets, allow_unsandboxed=settings.allow_unsandboxed)
            if not place.broken:
                await migrate.bring_up(database.direct_url, place.root, sandbox, commit=place.commit)
            own = [] if place.broken else await asyncio.to_thread(loader.load, place.root)
            if (
                own
                and await is_candidate(database, place.commit)
                and (complaint := await rehearsal.rehearse(place.root, own))
            ):
                raise errors.AgentError(complaint)
            registry = Registry([Master(), Mechanic(ledger, own), *own])
            breakers = Breakers(counted)
            models = Models(settings, database, breakers=breakers, metrics=counted)
            configs = AgentConfigs(database, models, registry)
            orchestrator = Orchestrator(registry, models, database, Redactor(settings.secrets))
            await orchestrator.open()
            channel = TelegramChannel(
                settings.telegram_bot_token.get_secret_value(),
                settings.telegram_api_url,
                Pace(database) if settings.send_limits else None,
            )
            bot_id = await channel.open()
        except BaseException:
            await database.close()
            raise
        return cls(
            settings=settings,
            place=place,
            database=database,
            registry=registry,
            figures=counted,
            breakers=breakers,
            models=models,
            orchestrator=orchestrator,
            channel=channel,
            access=Access(database, allowed=settings.allowed_user_ids, admins=settings.admin_user_ids),
            ledger=ledger,
            intake=Intake(Inbox(database), read=functools.partial(parse, bot_id=bot_id), bot_id=bot_id),
            sandbox=sandbox,
            coder=coders.load("aider")(venv=settings.coder_venv, box=sandbox),
            redactor=Redactor(settings.secrets),
            configs=configs,
            first_turns=FirstTurns(database, place.commit),
        )

    async def close(self) -> None:
        """Give everything back."""
        await self.orchestrator.close()
        await self.coder.close()
        await self.channel.close()
        await self.database.close()

    @contextlib.asynccontextmanager
    async def working(
        self, role: Role, *, vouch: Vouch, alone: bool
    ) -> AsyncIterator[Callable[[Duty], Awaitable[None]]]:
        """Work while the block lasts; then finish what was begun.

        Args:
            vouch: see `queue.jobs.Worker.run`.
            alone: no other process is at work.

        Yields:
            What is called with each duty that becomes this process's.
        """
        previews = Previews(self.database, self.ledger, self.workshop, self.settings.persais_home / "previews")
        leading = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks: dict[str, asyncio.Task[None]] = {}

            def start(**work: Coroutine[Any, Any, None]) -> None:
                for name, does in work.items():
                    tasks[name] = group.create_task(_until_cancelled(does), name=name)

            async def take_up(duty: Duty) -> None:
                log.info("this process took up a duty", duty=duty)
                if duty == "intake":
                    start(intake=self._intake())
                    return
                await previews.open()
                await self._announce()
                leading.set()
                alerts = Alerts(self.database, admins=self.settings.admin_user_ids)
                start(previews=previews.run(), warm=self._warm(), daily=self._daily(), alerts=alerts.run())
                if self.is_flying:
                    start(following=Following(self.workshop, self.counted).run())

            if role != "web":
                start(worker=self._worker(previews).run(alone=alone, leading=leading, vouch=vouch))
            try:
                yield take_up
            finally:
                for name in sorted(tasks, key=ENDING.index):
                    # Where one of them failed, the group has told the others already; told twice they would not
                    # end what they have begun.
                    if not tasks[name].cancelling():
                        tasks[name].cancel()
                    while (await asyncio.wait([tasks[name]], timeout=DEAF_AFTER))[1]:
                        if name not in GRACEFUL:
                            tasks[name].cancel()  # the first may have been lost: asyncio.wait_for in 3.11 does that

    def _worker(self, previews: Previews) -> Worker:
        """What does the jobs."""
        evolution = Evolution(self.ledger, self.redactor, self.workshop, self.orchestrator.leaving)
        sender = self._outbox()
        dispatch = Dispatch(
            database=self.database,
            channel=self.channel,
            access=self.access,
            orchestrator=self.orchestrator,
            ledger=self.ledger,
            configs=self.configs,
            previews=previews,
            facts=self.facts,
            first_turns=self.first_turns,
            sender=sender,
            debounce=self.settings.batch_debounce,
            metrics=self.figures,
            log_content=self.settings.log_content,
            username=self.channel.bot.username,
        )
        return Worker(
            self.database,
            {
                "turn": dispatch.turn,
                "urgent": dispatch.urgent,
                "deliver": sender.deliver,
                "change": evolution.change,
                "decide": previews.before(evolution.decide),
                "preview": previews.begin,
                "stop_preview": previews.stop,
                "deployed": evolution.deployed,
                "confirmed": evolution.confirmed,
                "diff": evolution.diff,
                "rollback": evolution.rollback,
            },
            on_dead=GivingUp(self.database, self.redactor).take,
        )

    def _outbox(self) -> Outbox:
        channel = CountedChannel(self.channel, self.figures)
        return Outbox(self.database, channel, edit_pause=EDIT_PAUSE if self.settings.send_limits else 0.0)

    async def _intake(self) -> None:
        if self.settings.app_base_url and self.settings.telegram_webhook_secret:
            await webhook.register(
                self.channel.bot,
                f"{self.settings.app_base_url}/telegram/webhook",
                self.settings.telegram_webhook_secret.get_secret_value(),
            )
            await asyncio.Event().wait()  # the updates come through web.py
        await poll.poll(self.channel.bot, self.intake.accept)

    async def counted(self) -> dict[str, tuple[int, int]]:
        """The first turns of each agent in this release; none while the database is away."""
        try:
            return await self.first_turns.read()
        except (errors.DatabaseError, psycopg.Error):
            return {}

    async def _announce(self) -> None:
        """What a release does once when it becomes active."""
        async with self.database.session() as session:
            audit.record(session, "release activated", commit=self.place.commit, safe_mode=self.place.broken)
            await audit.note_settings(session, self.settings.written_out)
        await self.first_turns.forget_others()
        await self._outbox().start_over()
        if not self.place.is_supervised and await self.access.is_claimable():
            log.warning("this bot has no owner: it answers nothing but /claim", code=await self.access.new_code())

    async def _warm(self) -> None:
        """What would make the first message wait: the menu, the agents' login, the model's client, the trial."""
        shared = await self.orchestrator.roster.seen_by(None)  # the menu is the same for everybody
        for language in (None, *texts.LANGUAGES):
            try:
                await self.channel.set_menu(commands.menu(shared, language or "en"), language)
            except errors.ChannelError as error:
                log.warning("the menu could not be set", cause=str(error))
        if closed := await self.database.agents.problem():
            log.error("records are closed to agents", cause=closed)
        await self.models.warm()
        isolation = await self.sandbox.probe()
        log.info("sandbox", state=isolation.state, ways=isolation.ways, reason=isolation.reason)
        if isolation.state != "enforced":
            # Where there is nothing to lose, /status and the cards say it; else, or where something got out, it alarms.
            alarm = "sandbox" if isolation.state == "refused" or "got out" in isolation.reason else None
            async with self.database.session() as session:
                audit.record(session, "sandbox weak", outcome="failed", alarm=alarm, cause=isolation.reason)

    async def _daily(self) -> None:
        """What is done once a day: throw away what has lain in the attic, or was answered, a month ago."""
        while True:
            try:
                await retention.purge(self.database)
                await migrate.purge(await self.workshop())
            except (errors.PersaisError, psycopg.Error) as error:
                log.warning("what is old could not be cleared away", cause=str(error))
            await asyncio.sleep(24 * 3600)

    async def facts(self, language: Language) -> commands.Facts:
        """What /status tells of this release."""
        sandbox, warnings = commands.isolation(await self.sandbox.probe(), language)
        closed = await self.database.agents.problem()
        return commands.Facts(
            version=persais_core.__version__,
            commit=self.place.commit,
            database=texts.say(language, "database-ok" if await self.database.answers() else "database-down"),
            model=self.models.default,
            sandbox=sandbox,
            spent=await self.models.spent_today(),
            resting=self.breakers.resting,
            warnings=tuple(
                text
                for text in (
                    texts.say(language, "warning-safe-mode", cause=self.place.broken) if self.place.broken else "",
                    texts.say(language, "warning-records-closed", cause=closed) if closed else "",
                    *warnings,
                )
                if text
            ),
        )

    @property
    def is_flying(self) -> bool:
        """Whether merging is deploying, by Fly.io."""
        return self.settings.fly_app_name is not None and not self.place.is_supervised

    async def _forge(self, repository: Repository, far: remote.Remote | None) -> Forge:
        if far is not None:
            return GitHubForge(far, repository, self.settings.github_api_url)
        return LocalForge(self.database, BareRepository(Path(await repository.remote())), self.settings.pages_url)

    async def workshop(self) -> Workshop:
        """What the Mechanic works with; made anew for each job, so a repaired repository is seen."""
        far = remote.configured(self.settings)
        if far is not None and not self.place.is_supervised:
            await asyncio.to_thread(workspace.clone, self.place.workspace, far)
        repository = await asyncio.to_thread(Repository, self.place.workspace, far)
        forge = await self._forge(repository, far)
        return Workshop(
            settings=self.settings,
            database=self.database,
            ledger=self.ledger,
            models=self.models,
            repository=repository,
            coder=GuardedCoder(self.coder, self.breakers),
            sandbox=self.sandbox,
            forge=GuardedForge(forge, self.breakers),
            deployer=FlyDeployer(self.settings.app_base_url, forge.failed_run) if self.is_flying else LocalDeployer(),
            redactor=self.redactor,
            configs=self.configs,
            merging=self.merging,
        )


async def is_candidate(database: Database, commit: str) -> bool:
    """Whether another release serves, which goes on where this one is found wanting."""
    async with database.session() as session:
        active = await session.get(ActiveRelease, 1)
    return active is not None and active.commit != commit


async def _until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Being cancelled is how these end; nothing is wrong with it."""
    with contextlib.suppress(asyncio.CancelledError):
        await work
