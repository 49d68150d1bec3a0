"""The process that waits: started before anybody knows its job, so that aider's start is over when the job comes.

There is at most one. It is locked in a cage of its own like every other, with its walls up and its gateway closed, and
knows no tree; it takes some 200 MB, so it is ended when no job comes within its time. It gets one job and ends with it:
nothing that a job left in a process is ever seen by another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

import structlog

from persais_core import errors
from persais_core.coders.aider.cage import Cage

log = structlog.get_logger(__name__)


@dataclass
class _Ready:
    """A process in its cage, what takes both down, and the task that does so in the end."""

    cage: Cage
    stack: AsyncExitStack
    watch: asyncio.Task[None] = field(init=False)


class Waiting:
    """Holds the one process that waits.

    Args:
        lock_in: starts a process in a cage.
        seconds: after which a process that got no job is ended.
    """

    def __init__(self, lock_in: Callable[[], AbstractAsyncContextManager[Cage]], *, seconds: float) -> None:
        self._lock_in, self._seconds = lock_in, seconds
        self._ready: _Ready | None = None
        self._changing = asyncio.Lock()

    async def fill(self) -> None:
        """Start a process unless one waits; where none can be started there is none."""
        async with self._changing:
            if self._ready is not None and not self._ready.cage.door.closed:
                return
            await self._drop()
            stack = AsyncExitStack()
            try:
                ready = _Ready(await stack.enter_async_context(self._lock_in()), stack)
            except (OSError, errors.PersaisError) as error:
                log.warning("no coder could be started ahead of its job", cause=str(error))
                return
            ready.watch = asyncio.create_task(self._watch(ready))
            self._ready = ready

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[Cage | None]:
        """The process that waits, for one job; None: none waits, or it has died."""
        ready = self._take()
        if ready is None:
            yield None
            return
        async with ready.stack:
            yield None if ready.cage.door.closed else ready.cage

    async def end(self) -> None:
        """End the process that waits, if there is one."""
        async with self._changing:
            await self._drop()

    def _take(self) -> _Ready | None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.watch.cancel()
        return ready

    async def _drop(self) -> None:
        ready = self._take()
        if ready is not None:
            await ready.stack.aclose()

    async def _watch(self, ready: _Ready) -> None:
        """End it when its time is over, and clear up after it when it dies before."""
        with contextlib.suppress(TimeoutError, errors.SandboxError):
            async with asyncio.timeout(self._seconds):
                cause = await ready.cage.door.over()
                log.warning("a coder that waited for its job has ended", cause=str(cause))
        self._ready = None
        await ready.stack.aclose()
