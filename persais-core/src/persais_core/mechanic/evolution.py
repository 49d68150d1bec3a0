"""The jobs of changes: going on with one, what people decide about it, and what becomes of its deployment.

Whatever goes wrong in a step ends here, in words that the owner reads; only what the database kept from going on, and
what may have reached main all the same, is repeated.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.types import Command

from persais_core import audit, errors, texts
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane
from persais_core.domain.tasks import Decision
from persais_core.mechanic import abort, approvals, configure, diff, graph, retry, rollback, settle
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs, outbox
from persais_core.security.redact import Redactor

log = structlog.get_logger(__name__)


class Evolution:
    """Runs changes; its methods are the queue's jobs. Which of them may run beside each other, `queue.locks` tells.

    Args:
        ledger: the stored changes.
        redactor: takes secrets out of what is told.
        shop: builds what the steps work with, on first use; raises where this bot cannot be changed.
        leaving: see `settle.Leaving`.
    """

    def __init__(
        self, ledger: Ledger, redactor: Redactor, shop: Callable[[], Awaitable[Workshop]], leaving: settle.Leaving
    ) -> None:
        self._ledger, self._redactor, self._shop, self._leaving = ledger, redactor, shop, leaving
        self._builder = graph.builder()

    async def change(self, change: int) -> None:
        """Go on with a change from wherever it is, until it waits for a tap or is over."""
        await self._go(change, None)

    async def decide(self, change: int, decision: Decision, user: int) -> None:
        """Do what was decided: deploy, abort, try again, or set what is to be set."""
        if decision == "deploy":
            await self._go(change, {"user": user})
            return
        shop = await self._shop()
        found = await self._ledger.get(change)
        match decision:
            case "abort":
                await abort.abort(shop, found, user_id=user)
            case "set":
                await configure.carry_out(shop, found, user_id=user)
            case "retry":
                if found.state is ChangeState.FAILED:
                    try:
                        await retry.prepare(shop, found)
                    except errors.PersaisError as error:
                        await self._fail(found, error)  # with buttons that were not used
                        return
                await self._go(change, None)  # also when a kill came between the two
            case _:
                assert_never(decision)

    async def confirmed(self, deployment: int) -> None:
        """A deployment has held while it was watched."""
        await settle.confirmed(await self._shop(), deployment, leaving=self._leaving)

    async def rollback(self, what: str, user: int, chat: int, topic: int, key: str | None = None) -> None:
        """Take a deployed change back out of main; its deployment tells when that serves."""
        lane = Lane(chat_id=chat, topic_id=topic)
        await rollback.request(await self._shop(), what, user_id=user, lane=lane, key=key)

    async def deployed(self, deployment: int) -> None:
        """A deployment has ended, well or not."""
        await settle.finish(await self._shop(), deployment, leaving=self._leaving)

    async def diff(
        self, change: int, chat: int, topic: int, user: int, page: int = 1, message: int | None = None
    ) -> None:
        """Show a page of a change's diff: as a new message, or in the one whose button was tapped."""
        shop = await self._shop()
        found = await self._ledger.get(change)
        if found.base is None or found.commit is None:
            return
        text = shop.redactor.text(await shop.repository.diff(found.base, found.commit))
        lane = Lane(chat_id=chat, topic_id=topic)
        async with shop.database.session() as session:
            key = await outbox.key_of(session, chat, message) if message is not None else None
            if key is None:
                key = f"diff:{change}:{time.time_ns()}"
                if whole := diff.file(found, text, found.language):
                    await outbox.put(session, lane, whole, key=f"{key}:file")
            elif not key.startswith(f"diff:{change}:"):
                return  # a forged tap under some other message
            await outbox.show(session, lane, diff.reply(found, text, page, found.language), key=key)

    async def _go(self, change_id: int, answer: dict[str, Any] | None) -> None:
        change = await self._ledger.get(change_id)
        if change.state.is_over or change.state is ChangeState.FAILED:
            return
        try:
            shop = await self._shop()
            # A saver of its own: LangGraph's holds one lock for all that share it.
            compiled = self._builder.compile(checkpointer=AsyncPostgresSaver(await shop.database.graph_pool()))
            config: RunnableConfig = {"configurable": {"thread_id": f"change:{change_id}:{change.attempt}"}}
            snapshot = await compiled.aget_state(config)
            if not snapshot.created_at:
                given: Any = graph.State(change=change_id)
            elif snapshot.interrupts:
                if answer is None:
                    return
                given = Command(resume=answer)
            else:
                given = None
            await compiled.ainvoke(given, config, context=shop, durability="sync")
        except errors.PersaisError as error:
            if await self._goes_on(change_id, error):
                raise
            await self._fail(change, error)
        except jobs.TakenOverError:
            raise
        except Exception as error:  # the last place that can tell the owner that a bug of ours ended the change
            # While the database is away nothing is learnt about a change, so its job is repeated.
            if jobs.is_outage(error) or await self._goes_on(change_id, error):
                raise
            log.exception("a change broke", change=change_id, error_type=type(error).__name__)
            await self._fail(change, _told(error))

    async def _goes_on(self, change_id: int, error: Exception) -> bool:
        """Whether a change is, or may be, on main for all that went wrong: then its job is repeated until one knows.

        Called failed, it would serve one day all the same.
        """
        async with self._ledger.changing(change_id) as (session, change):
            if change.state is not ChangeState.DEPLOYING:
                return False
            if change.merge_commit is None and jobs.is_outage(error) and isinstance(error, errors.PersaisError):
                cause = self._redactor.text(texts.explain(change.language, error))
                waiting = texts.say(change.language, "deploy-waits", cause=cause)
                await self._ledger.write(session, change.model_copy(update={"note": waiting}))
            return change.merge_commit is not None or jobs.is_outage(error)

    async def _fail(self, failed: Change, error: errors.PersaisError) -> None:
        told, cause = self._redactor.text(texts.explain(failed.language, error)), self._redactor.text(str(error))
        async with self._ledger.changing(failed.id) as (session, change):
            if change.state.is_over or change.called_off:
                return  # whatever went wrong then does not matter
            buttons = approvals.issue(session, change, ("retry", "abort"))
            await self._ledger.write(
                session, change.model_copy(update={"state": ChangeState.FAILED, "error": told, "buttons": buttons})
            )
            audit.record(session, "change failed", subject=change.subject, outcome="failed", cause=cause)


def _told(error: Exception) -> errors.ChangeError:
    """What the owner reads of an error that is none of ours: what they can mend themselves, or that it is a bug."""
    if isinstance(error, OSError) and error.filename:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return errors.ChangeError(str(error), key="disk-full", place=str(error.filename))
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            return errors.ChangeError(str(error), key="disk-closed", place=str(error.filename))
    return errors.ChangeError(f"a bug of ours: {type(error).__name__}", key="unexpected")
