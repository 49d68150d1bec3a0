"""A release at work: what runs in it while it is the active one, and in which order that ends.

The worker does the jobs in every process that has this role. All else is a duty of one process: taking updates in, and,
with the Mechanic's work, what is done once, once a day or all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from persais_core import audit, errors, texts
from persais_core.app.parts import Parts
from persais_core.app.place import Role
from persais_core.mechanic import migrate
from persais_core.mechanic.following import Following
from persais_core.mechanic.preview import Previews
from persais_core.orchestrator import commands
from persais_core.queue import retention
from persais_core.queue.activity import Duty
from persais_core.queue.alerts import Alerts
from persais_core.queue.jobs import Vouch

log = structlog.get_logger(__name__)

ENDING = ("intake", "following", "alerts", "daily", "warm", "previews", "worker")
"""In which order work ends: what comes in from now on is for the next release; a turn may wait for a preview."""

GRACEFUL = frozenset({"previews", "worker"})
"""These end by themselves; a second cancel would cut them off."""
AGAIN_AFTER = 60.0  # seconds
DEAF_AFTER = 5.0  # seconds until any other is told to end once more


@contextlib.asynccontextmanager
async def working(
    parts: Parts, role: Role, *, vouch: Vouch, alone: bool
) -> AsyncIterator[Callable[[Duty], Awaitable[None]]]:
    """Work while the block lasts; then finish what was begun.

    Args:
        vouch: see `queue.jobs.Worker.run`.
        alone: no other process is at work.

    Yields:
        What is called with each duty that becomes this process's.
    """
    previews = Previews(parts.database, parts.ledger, parts.workshop, parts.settings.persais_home / "previews")
    leading = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks: dict[str, asyncio.Task[None]] = {}

        def start(**work: Coroutine[Any, Any, None]) -> None:
            for name, does in work.items():
                tasks[name] = group.create_task(_until_cancelled(does), name=name)

        async def take_up(duty: Duty) -> None:
            log.info("this process took up a duty", duty=duty)
            if duty == "intake":
                start(intake=_intake(parts))
                return
            await previews.open()
            await _announce(parts)
            leading.set()
            alerts = Alerts(parts.database, admins=parts.settings.admin_user_ids)
            start(
                previews=previews.run(),
                warm=begun_again("warm", lambda: _warm(parts)),
                daily=begun_again("daily", lambda: _daily(parts)),
                alerts=begun_again("alerts", alerts.run),
            )
            if parts.is_flying:
                following = Following(parts.workshop, parts.first_turn_counts)
                start(following=begun_again("following", following.run))

        worker = parts.worker(previews)
        if role != "web":
            start(worker=worker.run(alone=alone, leading=leading, vouch=vouch))
        try:
            yield take_up
        except Exception:  # the locks are lost that keep others from this process's work
            worker.abandon()
            if "worker" in tasks:
                tasks["worker"].cancel()
            raise
        finally:
            for name in sorted(tasks, key=ENDING.index):
                # Where one of them failed, the group has told the others already; told twice they would not
                # end what they have begun.
                if not tasks[name].cancelling():
                    tasks[name].cancel()
                while (await asyncio.wait([tasks[name]], timeout=DEAF_AFTER))[1]:
                    if name not in GRACEFUL:
                        tasks[name].cancel()  # the first may have been lost: asyncio.wait_for in 3.11 does that


async def _intake(parts: Parts) -> None:
    """Have the updates come, or fetch them."""
    if parts.settings.app_base_url and parts.settings.telegram_webhook_secret:
        await parts.channel.receive(
            parts.intake.accept,
            posted_to=f"{parts.settings.app_base_url}/telegram/webhook",
            secret=parts.settings.telegram_webhook_secret.get_secret_value(),
        )
    else:
        await parts.channel.receive(parts.intake.accept)


async def _announce(parts: Parts) -> None:
    """What a release does once when it becomes active."""
    async with parts.database.session() as session:
        audit.record(session, "release activated", commit=parts.place.commit, safe_mode=parts.place.broken)
        await audit.note_settings(session, parts.settings.written_out)
    await parts.first_turns.forget_others()
    await parts.outbox().start_over()
    if not parts.place.is_supervised and await parts.access.is_claimable():
        log.warning("this bot has no owner: it answers nothing but /claim", code=await parts.access.new_code())


async def _set_menus(parts: Parts) -> None:
    """Everybody's menu, and those of the admins, whose chats must have been begun for that."""
    shared = await parts.orchestrator.roster.seen_by(None)
    for user_id in (None, *await parts.access.admins()):
        try:
            for language in (None, *texts.LANGUAGES):
                menu = commands.menu(shared, language or "en", is_admin=user_id is not None)
                await parts.channel.set_menu(menu, language, user_id=user_id)
        except errors.ChannelError as error:
            log.warning("the menu could not be set", user=user_id, cause=str(error))


async def _warm(parts: Parts) -> None:
    """What would make the first message wait: the menu, the agents' login, the model's client, the trial."""
    await _set_menus(parts)
    if closed := await parts.database.agents.problem():
        log.error("records are closed to agents", cause=closed)
    await parts.models.warm()
    isolation = await parts.sandbox.probe()
    log.info("sandbox", state=isolation.state, ways=isolation.ways, reason=isolation.reason)
    if isolation.state != "enforced":
        # Where there is nothing to lose, /status and the cards say it; else, or where something got out, it alarms.
        alarm = "sandbox" if isolation.state == "refused" or "got out" in isolation.reason else None
        async with parts.database.session() as session:
            audit.record(session, "sandbox weak", outcome="failed", alarm=alarm, cause=isolation.reason)


async def _daily(parts: Parts) -> None:
    """What is done once a day: throw away what has lain in the attic, or was answered, a month ago."""
    while True:
        try:
            await retention.purge(parts.database)
            await migrate.purge(parts.database)
        except (errors.PersaisError, psycopg.Error) as error:
            log.warning("what is old could not be cleared away", cause=str(error))
        await asyncio.sleep(24 * 3600)


async def begun_again(name: str, work: Callable[[], Awaitable[None]], *, after: float = AGAIN_AFTER) -> None:
    """Do what no message waits for; where it fails as nobody foresaw it is begun again, and the bot goes on answering.

    Args:
        name: what the log calls it.
        after: seconds until it is begun again.

    Raises:
        DatabaseError, psycopg.Error, DBAPIError: the database is away, so that all else begins again as well.
    """
    while True:
        try:
            return await work()
        except (errors.DatabaseError, psycopg.Error, DBAPIError):
            raise
        except Exception:
            log.exception("a duty failed, and begins again later", duty=name, seconds=after)
        await asyncio.sleep(after)


async def _until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Being cancelled is how these end; nothing is wrong with it."""
    with contextlib.suppress(asyncio.CancelledError):
        await work
