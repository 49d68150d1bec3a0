"""What is told of a step that takes long: who waits at the terminal wants to know what for, and not of every moment."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

LONG = 2.0  # seconds after which a step is told


@contextlib.asynccontextmanager
async def told(tell: Callable[[str], None], line: str) -> AsyncIterator[None]:
    """Tell a line if the block takes long."""
    timer = asyncio.get_running_loop().call_later(LONG, tell, line)
    try:
        yield
    finally:
        timer.cancel()


class Steps:
    """What somebody else does, one step after the other, as it looks from outside.

    Args:
        tell: takes a line, each at most once.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._line, self._since = "", 0.0
        self._told: set[str] = set()

    def look(self, line: str) -> None:
        """Note what is being done now, and tell it if that has been so for long."""
        now = time.monotonic()
        if line != self._line:
            self._line, self._since = line, now
        if now - self._since > LONG and line not in self._told:
            self._told.add(line)
            self._tell(line)
