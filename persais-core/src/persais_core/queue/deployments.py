"""The rows by which releases and the supervisor of `persais dev` talk about which version serves.

A release asks for a deployment by a row; the supervisor moves the row on while it carries that out, over one connection
of its own. Whatever is to be told of it is a job for the process that leads, put in the queue in the same transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from persais_core import errors
from persais_core.deployers.local import NOTIFY
from persais_core.queue import activity, jobs, locks

ANSWERS_WITHIN = 10.0  # seconds; a server that is not heard of for longer counts as away

# A rollback's row bears the number of the change that it takes out, whose own merge is another commit.
_IS_ROLLBACK = (
    "exists (select from persais.changes c where c.id = d.change_id "
    "and c.body->>'merge_commit' is distinct from d.commit)"
)
_WITH: dict[str, LiteralString] = {"lock": "%s::text", "args": "jsonb_build_object('deployment', %s::bigint)"}
_TELL = "select " + jobs.job("deployed", **_WITH)
_CONFIRM = "select " + jobs.job("confirmed", **_WITH)


@dataclass(frozen=True)
class Deployed:
    """A deployment that was carried out.

    Args:
        state: serving, confirmed or failed.
        before: the commit that serves again if it does not hold; None: none does by itself.
        cause: of its failure; of one that is serving, why it is being taken back at the moment.
    """

    number: int
    commit: str
    state: str
    before: str | None
    cause: str | None


class Deployments:
    """The deployments of a database, seen over one direct connection.

    Args:
        url: its address, not through a pooler.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Deployments:
        with activity.told_as_database_error():
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=10)
            await self._connection.execute(f"listen {NOTIFY}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.close()

    async def _fetch(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with activity.told_as_database_error():
                async with asyncio.timeout(ANSWERS_WITHIN):
                    cursor = await self._connection.execute(query.encode(), values)
                    return await cursor.fetchall() if cursor.description else []
        except TimeoutError as error:
            raise errors.DatabaseError(f"the database did not answer within {ANSWERS_WITHIN:g} s") from error

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when a deployment is asked for, after a second, or when told to stop."""

        async def notified() -> None:
            async for _ in self._connection.notifies(timeout=1.0, stop_after=1):
                pass

        tasks = {asyncio.create_task(notified()), asyncio.create_task(stop.wait())}
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with activity.told_as_database_error():
            for task in done:
                if isinstance(error := task.exception(), psycopg.Error):
                    raise error

    async def requested(self) -> list[tuple[int, str]]:
        """What is to be deployed, oldest first; one that was being proven when we were killed is asked for again."""
        rows = await self._fetch(
            "select id, commit from persais.deployments where state in ('requested', 'proving') order by id"
        )
        return [(number, commit) for number, commit in rows]

    async def proving(self, number: int, before: str | None) -> str | None:
        """Note that one is being proven, and which commit serves again if it does not hold.

        A rollback gets none: what an owner has taken back does not return by itself, and to tables that are not there
        any more.

        Args:
            before: None where that is not known: what was noted earlier stays.

        Returns:
            The commit that is noted now.
        """
        rows = await self._fetch(
            "update persais.deployments d set state = 'proving', "
            f"before = case when {_IS_ROLLBACK} then null else coalesce(%s::text, d.before) end "
            "where id = %s returning before",
            before,
            number,
        )
        return rows[0][0] if rows else None

    async def condemn(self, commit: str, cause: str | None) -> None:
        """Note that a commit that serves is about to be taken back, and why; None: it goes on after all."""
        await self._fetch(
            "update persais.deployments set cause = %s where state = 'serving' and commit = %s", cause, commit
        )

    async def finish(self, number: int, cause: str | None) -> None:
        """Note how it ended, and have it told by whoever is active: one transaction."""
        async with self._transaction():
            await self._fetch(
                "update persais.deployments set state = %s, cause = %s, finished_at = now() where id = %s",
                "failed" if cause else "serving",
                cause,
                number,
            )
            await self._fetch(_TELL, locks.of_deployment(number), number)

    async def confirm(self, number: int) -> None:
        """Note that a release has held while it was watched, and have done what waited for that.

        Those that it replaced before their own time was over are part of it, so they have held with it.
        """
        async with self._transaction():
            rows = await self._fetch(
                "update persais.deployments set state = 'confirmed' where state = 'serving' and id <= %s returning id",
                number,
            )
            lock = locks.of_deployment(number)  # one lock: in the order in which they were deployed
            for (held,) in sorted(rows):
                await self._fetch(_CONFIRM, lock, held)

    async def unconfirmed(self) -> Deployed | None:
        """The newest deployment that took over and has neither held nor failed yet."""
        return await self._newest("state = 'serving'")

    async def latest(self, commit: str) -> Deployed | None:
        """The last deployment of a commit that was carried out."""
        return await self._newest("state in ('serving', 'confirmed', 'failed') and commit = %s", commit)

    async def _newest(self, condition: str, *values: object) -> Deployed | None:
        rows = await self._fetch(
            "select id, commit, state, before, cause from persais.deployments "
            f"where {condition} order by id desc limit 1",
            *values,
        )
        return Deployed(*rows[0]) if rows else None

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with activity.told_as_database_error():
            async with self._connection.transaction():
                yield

    async def active(self) -> str | None:
        """The commit that takes updates and jobs; None before the first."""
        rows = await self._fetch(activity.NAMED)
        return str(rows[0][0]) if rows else None

    async def activate(self, commit: str) -> None:
        """Name the commit that takes updates and jobs; releases that wait for it hear of it at once."""
        await self._fetch(activity.NAME, commit)
        await self._fetch(f"notify {activity.CHANNEL}")
