"""Whether a pooled connection can be used as it is, or must first be asked whether it still lives.

Asking costs a round trip, and a message takes a dozen connections from the pools. A server that restarts or ends a
session closes its socket, which can be read from here without asking anybody. Only a connection that has rested for
long may be dead in silence, because something on the way has forgotten it.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from psycopg import AsyncConnection

RESTED = 30.0  # seconds


class Doubts:
    """Remembers when each connection of some pools was last taken.

    Args:
        rested_seconds: since then, after which it is asked.
    """

    def __init__(self, rested_seconds: float = RESTED) -> None:
        self._rested_seconds = rested_seconds
        self._taken: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()

    def about(self, connection: AsyncConnection[Any]) -> bool:
        """Whether a connection that is being taken must be asked before it is used.

        Raises:
            psycopg.OperationalError: it is closed on our side already.
        """
        now = time.monotonic()
        rested = now - self._taken.get(connection, now)
        self._taken[connection] = now
        return rested > self._rested_seconds or _has_something_to_say(connection.fileno())


def _has_something_to_say(descriptor: int) -> bool:
    """Whether something came on a connection on which nobody asked anything: nearly always its end."""
    poll = select.poll()  # unlike select() it takes descriptors above 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
