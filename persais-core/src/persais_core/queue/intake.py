"""The one way in for updates, whether they are fetched or posted: read, then stored.

Whatever came, the chat service must be told that we have it, or it sends it again and again before anything else; only
while the database is away is it told to. So an update that breaks our reading of it, or that Postgres refuses, is kept
by its number and its cause, and one without a number, which nobody could tell from another, is only logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from persais_core.channels.base import Incoming
from persais_core.domain.chats import number
from persais_core.queue.inbox import Inbox

log = structlog.get_logger(__name__)

Read = Callable[[Any], Incoming | None]
"""Says what an update of a chat service is; None where it has no usable number."""

UNREADABLE = "unreadable"
"""Kind of an update of which only its number and the cause are kept."""


class Intake:
    """Takes raw updates of one bot.

    Args:
        read: what an update says.
        bot_id: whose updates they are.
    """

    def __init__(self, inbox: Inbox, *, read: Read, bot_id: int) -> None:
        self._inbox, self._read, self._bot_id = inbox, read, bot_id

    async def accept(self, update: Any) -> None:
        """Store one update.

        Raises:
            psycopg.Error: it is not stored; it should be sent again.
        """
        try:
            incoming = self._read(update)
        except Exception as error:  # a bug of ours: the update and those behind it must not suffer for it
            log.exception("an update could not be read", error_type=type(error).__name__)
            incoming = self._stub(update, error)
        if incoming is None:
            log.warning("an update without a number was dropped", kind=type(update).__name__)
            return
        try:
            await self._inbox.accept(incoming)
        except psycopg.DataError as error:
            log.warning("an update that the database refuses is kept by its number", error_type=type(error).__name__)
            await self._inbox.accept(self._stubbed(incoming.update_id, error))

    def _stub(self, update: Any, error: Exception) -> Incoming | None:
        update_id = number(update.get("update_id")) if isinstance(update, dict) else None
        return self._stubbed(update_id, error) if update_id is not None else None

    def _stubbed(self, update_id: int, error: Exception) -> Incoming:
        payload = {"update_id": update_id, "cause": type(error).__name__}
        return Incoming(bot_id=self._bot_id, update_id=update_id, kind=UNREADABLE, payload=payload)
