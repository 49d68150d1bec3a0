"""What a release is made of: built here by hand, part by part. `working` sets it to work."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import structlog

from persais_core import errors
from persais_core.agents import loader, rehearsal
from persais_core.agents.config import AgentConfigs
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.app.place import Place
from persais_core.app.status import Status
from persais_core.breakers import Breakers
from persais_core.channels.base import Channel
from persais_core.channels.counted import CountedSender
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import Coder
from persais_core.coders.guarded import GuardedCoder
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ActiveRelease
from persais_core.deployers.fly import FlyDeployer
from persais_core.deployers.local import LocalDeployer
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
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.mechanic.workshop import Workshop
from persais_core.metrics import Metrics
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.orchestrator.graph import Orchestrator
from persais_core.queue.giving_up import GivingUp
from persais_core.queue.inbox import Inbox
from persais_core.queue.intake import Intake, Read
from persais_core.queue.jobs import Worker
from persais_core.queue.outbox import EDIT_PAUSE, Outbox
from persais_core.queue.pace import Pace
from persais_core.security.access import Access
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

log = structlog.get_logger(__name__)


@dataclass
class Parts:
    """What one release is made of."""

    settings: Settings
    place: Place
    database: Database
    registry: Registry
    metrics: Metrics
    breakers: Breakers
    models: Models
    orchestrator: Orchestrator
    channel: Channel
    access: Access
    ledger: Ledger
    intake: Intake
    read: Read
    sandbox: Sandbox
    coder: Coder
    redactor: Redactor
    configs: AgentConfigs
    first_turns: FirstTurns
    merging: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def build(cls, settings: Settings, place: Place, metrics: Metrics) -> Parts:
        """Connect to everything, and load the project's agents."""
        if settings.database_url is None:
            raise errors.SettingsError(
                "DATABASE_URL is not set; `persais dev` brings a database, `persais serve` needs one"
            )
        if settings.telegram_bot_token is None:
            raise errors.SettingsError("TELEGRAM_BOT_TOKEN is not set; `persais dev` has a chat page that needs none")
        direct = settings.database_direct_url
        database = Database(settings.database_url.get_secret_value(), direct.get_secret_value() if direct else None)
        redactor = Redactor(settings.secrets)
        await database.open()
        try:
            ledger = Ledger(database, redactor, settings.pages_url)
            sandbox = Sandbox(secrets_present=settings.holds_secrets, allow_unsandboxed=settings.allow_unsandboxed)
            if not place.broken:
                await migrate.bring_up(database, place.root, sandbox, commit=place.commit)
            own = [] if place.broken else await asyncio.to_thread(loader.load, place.root)
            if (
                own
                and await is_candidate(database, place.commit)
                and (complaint := await rehearsal.rehearse(place.root, own))
            ):
                raise errors.AgentError(complaint)
            registry = Registry([Master(), Mechanic(ledger, own), *own])
            breakers = Breakers(metrics)
            models = Models(settings, database, breakers=breakers, metrics=metrics)
            configs = AgentConfigs(database, models, registry)
            orchestrator = Orchestrator(registry, models, database, redactor)
            await orchestrator.open()
            channel = TelegramChannel(
                settings.telegram_bot_token.get_secret_value(),
                settings.telegram_api_url,
                Pace(database) if settings.send_limits else None,
            )
            await channel.open()
        except BaseException:
            await database.close()
            raise
        read = functools.partial(parse, bot_id=channel.bot_id)
        return cls(
            settings=settings,
            place=place,
            database=database,
            registry=registry,
            metrics=metrics,
            breakers=breakers,
            models=models,
            orchestrator=orchestrator,
            channel=channel,
            access=Access(database, allowed=settings.allowed_user_ids, admins=settings.admin_user_ids),
            ledger=ledger,
            intake=Intake(Inbox(database), read=read, bot_id=channel.bot_id),
            read=read,
            sandbox=sandbox,
            coder=AiderCoder(venv=settings.coder_venv, box=sandbox),
            redactor=redactor,
            configs=configs,
            first_turns=FirstTurns(database, place.commit),
        )

    async def close(self) -> None:
        """Give everything back."""
        await self.orchestrator.close()
        await self.coder.close()
        await self.channel.close()
        await self.database.close()

    def worker(self, previews: Previews) -> Worker:
        """What does the jobs."""
        status = Status(self.place, self.database, self.models, self.sandbox, self.breakers)
        evolution = Evolution(self.ledger, self.redactor, self.workshop, self.orchestrator.leaving)
        sender = self.outbox()
        dispatch = Dispatch(
            database=self.database,
            channel=self.channel,
            access=self.access,
            orchestrator=self.orchestrator,
            ledger=self.ledger,
            configs=self.configs,
            previews=previews,
            facts=status.facts,
            first_turns=self.first_turns,
            sender=sender,
            debounce=self.settings.batch_debounce,
            metrics=self.metrics,
            log_content=self.settings.log_content,
            username=self.channel.username,
            read=self.read,
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
            on_dead=GivingUp(self.database, self.redactor, read=self.read).take,
        )

    def outbox(self) -> Outbox:
        """What sends the messages that wait."""
        channel = CountedSender(self.channel, self.metrics)
        edit_pause = EDIT_PAUSE if self.settings.send_limits else 0.0
        return Outbox(self.database, channel, self.redactor, edit_pause=edit_pause)

    async def first_turn_counts(self) -> dict[str, tuple[int, int]]:
        """The first turns of each agent in this release; none while the database is away."""
        try:
            return await self.first_turns.read()
        except (errors.DatabaseError, psycopg.Error):
            return {}

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
