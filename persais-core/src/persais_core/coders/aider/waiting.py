"""The process that waits: started before anybody knows its job, so that aider's start is over when the job comes.

There is at most one. It has a home of its own under the system's temporary folder, no key and no tree, and takes some
200 MB; so it is ended when no job comes within its time. It gets one job and ends with it: nothing that a job left in
a process is ever seen by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from persais_core import commands

log = structlog.get_logger(__name__)


@dataclass
class _Ready:
    """A process, its home, and the task that ends it in the end."""

    process: commands.Process
    home: Path
    watch: asyncio.Task[None] = field(init=False)


class Waiting:
    """Holds the one process that waits.

    Args:
        command: what is to be started in a given home.
        seconds: after which a process that got no job is ended.
    """

    def __init__(self, command: Callable[[Path], commands.Command], *, seconds: float) -> None:
        self._command, self._seconds = command, seconds
        self._ready: _Ready | None = None
        self._starting = asyncio.Lock()

    async def fill(self) -> None:
        """Start a process unless one waits; where none can be started there is none."""
        async with self._starting:
            if self._ready is not None and not self._ready.process.has_ended:
                return
            await self._drop()
            home = Path(tempfile.mkdtemp(prefix="persais-coder-"))
            try:
                ready = _Ready(await commands.start(self._command(home)), home)
            except OSError as error:
                shutil.rmtree(home, ignore_errors=True)
                log.warning("no coder could be started ahead of its job", cause=str(error))
                return
            except BaseException:
                shutil.rmtree(home, ignore_errors=True)
                raise
            ready.watch = asyncio.create_task(self._watch(ready))
            self._ready = ready

    async def run(self, job: bytes, *, timeout_seconds: float) -> commands.Outcome | None:
        """Let the process that waits do a job; None: none waits, or it has died."""
        ready = self._take()
        if ready is None:
            return None
        try:
            if ready.process.has_ended:
                return None
            return await ready.process.finish(job, timeout_seconds=timeout_seconds)
        finally:
            shutil.rmtree(ready.home, ignore_errors=True)

    async def end(self) -> None:
        """End the process that waits, if there is one."""
        async with self._starting:
            await self._drop()

    def _take(self) -> _Ready | None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.watch.cancel()
        return ready

    async def _drop(self) -> None:
        ready = self._take()
        if ready is not None:
            await _finish_off(ready)

    async def _watch(self, ready: _Ready) -> None:
        """End it when its time is over, and clear up after it when it dies before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await ready.process.ended()
        self._ready = None
        await _finish_off(ready)


async def _finish_off(ready: _Ready) -> None:
    try:
        await ready.process.end()
    finally:
        shutil.rmtree(ready.home, ignore_errors=True)
