"""The rows by which releases and the supervisor of `persais dev` talk about which version serves."""

from __future__ import annotations

import asyncio
from typing import Any

from persais_core import errors
from persais_core.deployers.local import NOTIFY


class Deployments:
    """The deployments of a database, seen over one direct connection.

    Args:
        url: its address, not through a pooler.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Deployments:
        import psycopg

        try:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=10)
            await self._connection.execute(f"listen {NOTIFY}")
        except psycopg.Error as error:
            raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.close()

    async def _fetch(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        try:
            cursor = await self._connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when a deployment is asked for, after a second, or when told to stop."""
        import psycopg

        async def notified() -> None:
            async for _ in self._connection.notifies(timeout=1.0, stop_after=1):
                pass

        tasks = {asyncio.create_task(notified()), asyncio.create_task(stop.wait())}
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            if isinstance(error := task.exception(), psycopg.Error):
                raise errors.DatabaseError(str(error).strip().splitlines()[-1]) from error

    async def requested(self) -> list[tuple[int, str]]:
        """What is to be deployed, oldest first; one that was being proven when we were killed is asked for again."""
        rows = await self._fetch(
            "select id, commit from persais.deployments where state in ('requested', 'proving') order by id"
        )
        return [(number, commit) for number, commit in rows]

    async def proving(self, number: int) -> None:
        """Note that one is being proven."""
        await self._fetch("update persais.deployments set state = 'proving' where id = %s", number)

    async def finish(self, number: int, cause: str | None) -> None:
        """Note how it ended, and have it told by whoever is active: one transaction."""
        async with self._connection.transaction():
            await self._fetch(
                "update persais.deployments set state = %s, cause = %s, finished_at = now() where id = %s",
                "failed" if cause else "serving",
                cause,
                number,
            )
            await self._defer("deployed", number)

    async def confirm(self, number: int) -> None:
        """Note that a release has held while it was watched, and have done what waited for that."""
        async with self._connection.transaction():
            await self._fetch("update persais.deployments set state = 'confirmed' where id = %s", number)
            await self._defer("confirmed", number)

    async def unconfirmed(self, commit: str) -> int | None:
        """The deployment of a commit that serves but was still watched when we ended."""
        rows = await self._fetch(
            "select id from persais.deployments where state = 'serving' and commit = %s order by id desc limit 1",
            commit,
        )
        return int(rows[0][0]) if rows else None

    async def _defer(self, task: str, number: int) -> None:
        await self._fetch(
            "select procrastinate_defer_jobs_v1(array[row('persais', %s::text, 0, 'deployment:' || %s::text, null, "
            "jsonb_build_object('deployment', %s::bigint), null)::procrastinate_job_to_defer_v1])",
            task,
            number,
            number,
        )

    async def active(self) -> str | None:
        """The commit that takes updates and jobs; None before the first."""
        rows = await self._fetch("select commit from persais.active_release")
        return str(rows[0][0]) if rows else None

    async def activate(self, commit: str) -> None:
        """Name the commit that takes updates and jobs; releases that wait for it hear of it at once."""
        await self._fetch(
            "insert into persais.active_release (id, commit) values (1, %s) "
            "on conflict (id) do update set commit = excluded.commit, since = now()",
            commit,
        )
        await self._fetch("notify persais_active")
