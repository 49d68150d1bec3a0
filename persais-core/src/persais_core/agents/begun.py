"""What an agent's code begins ends with its turn: tasks that it leaves behind are cancelled.

A task that goes on would speak for its turn's user, and be paid by them, for as long as the process lives. While an
agent's code runs, each task that is made is noted, and so is each that such a task makes. What our own code makes on
its behalf (a connection, a request to the model) is not: others may be using it.

Cancelling is a wish, and code can swallow it. So nobody waits for an agent beyond its time, what is left is cancelled
again a few times, and then it is not resumed any more: its task ends whatever its code would do next.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any, TypeVar

import structlog

from persais_core.agents import broken

log = structlog.get_logger(__name__)

T = TypeVar("T")

PAUSE = 1.0  # seconds between two wishes that a task may end
WISHES = 4  # then it is made to


class Begun:
    """The tasks that one call of an agent has made, and those that these have made.

    Args:
        pause: seconds that code has to end by itself, each of the few times that it is asked to.
    """

    def __init__(self, *, pause: float = PAUSE) -> None:
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._pause = pause
        self._is_over = False
        self.is_given_up = False

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
        _makers[task] = self
        if self._is_over:
            task.cancel()

    async def run(self, work: Coroutine[Any, Any, T], *, seconds: float | None = None) -> T:
        """Run an agent's code as a task of its own.

        Args:
            seconds: how long it may take; without, whoever began this sees to the end.

        Raises:
            TimeoutError: it took longer, and is neither waited for nor over yet: call `end`.
            RuntimeError: it cancelled itself, or raised what would end more than itself.
            Exception: what it raised, in a class that holds none of its code.
        """
        with self.noting():
            task = asyncio.get_running_loop().create_task(_told(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise TimeoutError(f"an agent's code took more than {seconds:g} s")
        if task.cancelled():
            raise RuntimeError("an agent's code cancelled itself")
        error = task.exception()
        if error is not None and not isinstance(error, Exception):
            raise RuntimeError(f"an agent's code raised {type(error).__name__}") from error
        return task.result()

    def end(self) -> None:
        """Cancel what is still going on, and see to it that it ends; waits for nothing."""
        self._is_over = True
        self._ask_to_end(WISHES)

    def _ask_to_end(self, wishes: int) -> None:
        going = [task for task in self._tasks if not task.done()]
        if not going:
            return
        if not wishes:
            log.warning("an agent's tasks would not end, and are not resumed any more", tasks=len(going))
            self.is_given_up = True
        for task in going:
            task.cancel()
        if wishes:
            asyncio.get_running_loop().call_later(self._pause, self._ask_to_end, wishes - 1, context=Context())


async def _told(work: Coroutine[Any, Any, T]) -> T:
    """Run an agent's code; what it raises is asked for its words here, where its code may run."""
    try:
        return await work
    except Exception as error:
        try:
            told = broken.plain(error)
        except Exception:  # what it raises when it is asked may be of the agent's own class again
            told = RuntimeError("an agent's code raised what does not say what it is")
    raise told  # here, where nothing is being handled: the agent's own error would hang on it otherwise


class _Led(Coroutine[Any, Any, T]):
    """An agent's coroutine, which goes on only until it is given up: nothing that it catches keeps it alive then."""

    def __init__(self, work: Coroutine[Any, Any, T], begun: Begun) -> None:
        self._work, self._begun = work, begun

    def send(self, value: Any) -> Any:
        self._check()
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        self._check()
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()

    def _check(self) -> None:
        if self._begun.is_given_up:
            # Freed, it would be resumed once more, in whatever thread frees it and without a loop: one that swallows
            # what it meets then turns round for ever.
            _given_up.append(self._work)
            raise asyncio.CancelledError


_given_up: list[Coroutine[Any, Any, Any]] = []


class _Aside:
    """Stands where things are to be noted while our own code works."""


_ASIDE = _Aside()
_noting: ContextVar[Begun | _Aside | None] = ContextVar("begun", default=None)
# A task may be made in an empty context, so whose it is stands beside it, too.
_makers: weakref.WeakKeyDictionary[asyncio.Task[Any], Begun] = weakref.WeakKeyDictionary()


def _maker(loop: asyncio.AbstractEventLoop) -> Begun | None:
    """In whose name a task would be made now."""
    noting = _noting.get()
    if noting is None:
        task = asyncio.current_task(loop)
        return None if task is None else _makers.get(task)
    return noting if isinstance(noting, Begun) else None


def here() -> Begun | None:
    """Where tasks are noted that would be made now."""
    return _maker(asyncio.get_running_loop())


async def aside(work: Coroutine[Any, Any, T]) -> T:
    """Do our own work on an agent's behalf, and note nothing that it makes.

    It is a task of its own. Else an agent that resumes by hand what it should await could leave it in the middle, with
    a connection in its hands, and go on itself where nothing is noted.
    """
    before = _noting.set(_ASIDE)
    try:
        task = asyncio.get_running_loop().create_task(work)
    finally:
        _noting.reset(before)
    try:
        return await task
    finally:
        task.cancel()  # of no account where it is done


def _install(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop tell of its tasks, in whatever way it makes them."""
    make = loop.get_task_factory()
    if make is not None and getattr(make, "notes_begun", False):
        return

    def made(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
        # Anything else with a `run` could call code outside of whatever is noted.
        if type(more.get("context")) not in (Context, type(None)):
            work.close()
            raise TypeError("the context of a task is a contextvars.Context")
        begun = _maker(loop)
        if begun is not None and asyncio.iscoroutine(work):
            work = _Led(work, begun)
        task = asyncio.Task(work, loop=loop, **more) if make is None else make(loop, work, **more)
        if begun is not None and isinstance(task, asyncio.Task):
            begun.add(task)
        return task

    made.notes_begun = True  # type: ignore[attr-defined]
    loop.set_task_factory(made)
