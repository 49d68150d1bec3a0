"""Connections to Telegram that cannot run out for good.

The library below python-telegram-bot (httpcore 1.0.9) loses a connection of its pool when a request is cancelled before
that connection is made (its issue 1093), and the pool that fetches updates has just one: after a database that was
away for a moment a bot would hear nothing any more, however well all else is. So a pool without a free connection is
replaced by a new one, and the request, which has not been sent, is made there.
"""

from __future__ import annotations

from typing import Any

import httpx
import structlog
from telegram import error as telegram_errors
from telegram.request import BaseRequest, HTTPXRequest

log = structlog.get_logger(__name__)


class RenewedRequest(BaseRequest):
    """Implements `telegram.request.BaseRequest` on a pool that is replaced when it is used up.

    Args:
        size: how many connections a pool has.
        patience: seconds an answer may take, and the sending of a request.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._size, self._patience = size, patience
        self._pool = self._new()
        self._uses: dict[HTTPXRequest, int] = {}

    @property
    def read_timeout(self) -> float | None:
        """Seconds an answer may take unless a request says otherwise."""
        return self._pool.read_timeout

    async def initialize(self) -> None:
        """Get ready; also after a `shutdown`."""
        await self._pool.initialize()

    async def shutdown(self) -> None:
        """Close the connections, those too on which an answer is waited for."""
        for pool in {self._pool, *self._uses}:
            await pool.shutdown()

    async def do_request(self, *args: Any, **values: Any) -> tuple[int, bytes]:
        """Make a request; see `BaseRequest.do_request`."""
        pool = self._pool
        try:
            return await self._with(pool, *args, **values)
        except telegram_errors.TimedOut as error:
            if not isinstance(error.__cause__, httpx.PoolTimeout):
                raise
        if pool is self._pool:
            log.warning("no connection to Telegram was free; there are new ones now", size=self._size)
            self._pool = self._new()
        return await self._with(self._pool, *args, **values)

    async def _with(self, pool: HTTPXRequest, *args: Any, **values: Any) -> tuple[int, bytes]:
        self._uses[pool] = self._uses.get(pool, 0) + 1
        try:
            return await pool.do_request(*args, **values)
        finally:
            self._uses[pool] -= 1
            if not self._uses[pool]:
                del self._uses[pool]
                if pool is not self._pool:
                    await pool.shutdown()

    def _new(self) -> HTTPXRequest:
        return HTTPXRequest(connection_pool_size=self._size, read_timeout=self._patience, write_timeout=self._patience)
