"""Whether the chat service is away as a whole; then no message is to blame, and none of them spends a try on it.

A failed send alone does not tell: one message may be what the service stumbles over. So after each that failed in
general, the service is asked for something harmless. Where that fails too, everything waits, and it is asked again
before anything is sent: what may have arrived already is not sent again into nowhere.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import structlog

from persais_core.channels.base import Sender

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 60.0  # seconds
SHORTEST_PAUSE = 1.0  # seconds


class Outage:
    """What one process knows about it. The log tells once that it began, and once that it is over.

    Attributes:
        held: the chats that wait for its end.
    """

    def __init__(self, channel: Sender) -> None:
        self._channel = channel
        self._began: float | None = None
        self._asked = 0.0
        self._asking = asyncio.Lock()
        self.held: set[int] = set()

    @property
    def is_on(self) -> bool:
        """Whether the service was away when it was asked last."""
        return self._began is not None

    @property
    def pause(self) -> float:
        """Seconds until it is asked again: about as long as it has been away."""
        away = time.monotonic() - self._began if self._began is not None else 0.0
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, away))

    async def ask(self, cause: str = "") -> bool:
        """Ask the service now; of those who wait to do so at once, one asks and all share its answer.

        Args:
            cause: why a message was not sent just now.

        Returns:
            Whether it is away.
        """
        now = time.monotonic()
        async with self._asking:
            if self._asked < now:
                asked = time.monotonic()
                self._note(await self._channel.answers(), cause)
                self._asked = asked
        return self.is_on

    def _note(self, is_there: bool, cause: str) -> None:
        if is_there and self._began is not None:
            seconds = round(time.monotonic() - self._began)
            log.warning("the chat service can be reached again", away_for_seconds=seconds, chats=len(self.held))
            self._began = None
        elif not is_there and self._began is None:
            self._began = time.monotonic()
            since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"
            log.warning("the chat service cannot be reached; what is said waits for it", since=since, cause=cause)
