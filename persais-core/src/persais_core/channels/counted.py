"""A sender that counts what could not be sent."""

from __future__ import annotations

from collections.abc import Sequence

from persais_core import errors
from persais_core.channels.base import FloodError, Noted, Sender
from persais_core.domain.chats import Lane, Reply
from persais_core.metrics import Metrics


class CountedSender:
    """Implements `channels.base.Sender` around another one."""

    def __init__(self, inner: Sender, metrics: Metrics) -> None:
        self._inner, self._metrics = inner, metrics

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        """Send a reply; a failure is counted by its kind, such as `flood` or `blocked`, and raised."""
        try:
            return await self._inner.put(lane, reply, ids=ids, done=done, noted=noted)
        except errors.ChannelError as error:
            if isinstance(error, FloodError) and error.is_ours:
                raise  # our own pace is no failure
            self._metrics.send_failure(type(error).__name__.removesuffix("Error").lower())
            raise

    async def answers(self) -> bool:
        """Whether the service answers at all."""
        return await self._inner.answers()
