"""What an agent's code begins ends with its turn: tasks that it leaves behind are cancelled.

A task that goes on would speak for its turn's user, and be paid by them, for as long as the process lives. While an
agent's code runs, each task that is made is noted. What our own code makes on its behalf (a connection, a request to
the model) is not: others may be using it.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_noting: ContextVar[Begun | None] = ContextVar("begun", default=None)


class Begun:
    """The tasks that one call of an agent has made, and those that these have made."""

    def __init__(self) -> None:
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._is_over = False

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note the tasks that are made in this block."""
        _install(asyncio.get_running_loop())
        before = _noting.set(self)
        try:
            yield
        finally:
            _noting.reset(before)

    def add(self, task: asyncio.Task[Any]) -> None:
        """Note a task; one that is made after the end has no time at all."""
        self._tasks.add(task)
        if self._is_over:
            task.cancel()

    def end(self) -> None:
        """Cancel what is still going on."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()


@contextlib.contextmanager
def aside() -> Iterator[Begun | None]:
    """Note nothing in this block, which is ours; yields where things are noted outside of it."""
    outside = _noting.get()
    before = _noting.set(None)
    try:
        yield outside
    finally:
        _noting.reset(before)


def _install(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop tell of its tasks, in whatever way it makes them."""
    make = loop.get_task_factory()
    if make is not None and getattr(make, "notes_begun", False):
        return

    def made(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
        task = asyncio.Task(work, loop=loop, **more) if make is None else make(loop, work, **more)
        if (begun := _noting.get()) is not None and isinstance(task, asyncio.Task):
            begun.add(task)
        return task

    made.notes_begun = True  # type: ignore[attr-defined]
    loop.set_task_factory(made)
