"""That an answer is being written is shown as long as it is, and no longer.

The dots are a courtesy: nothing that goes wrong with them may reach the turn, and however the turn ends they end first,
so that they never stand under the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from persais_core.channels.base import Channel
from persais_core.domain.chats import Lane

log = structlog.get_logger(__name__)

AFTER = 1.0  # seconds; an answer that is there soon needs no dots, which cost as much as a message
EVERY = 4.0  # seconds; Telegram shows them for five


@contextlib.asynccontextmanager
async def typing(channel: Channel, lane: Lane, *, after: float = AFTER, every: float = EVERY) -> AsyncIterator[None]:
    """Show in a lane that an answer is being written, while the block lasts.

    Args:
        after: seconds until it is shown.
        every: seconds until it is shown again.
    """

    async def show() -> None:
        while True:
            try:
                await channel.typing(lane)
            except Exception as error:  # whatever it is: the answer matters, the dots do not
                log.warning("that an answer is being written could not be shown", error_type=type(error).__name__)
            await asyncio.sleep(every)

    tasks: list[asyncio.Task[None]] = []
    # No task before it is time: nearly all turns end before that.
    timer = asyncio.get_running_loop().call_later(after, lambda: tasks.append(asyncio.create_task(show())))
    try:
        yield
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()
            # Not awaited itself: a cancellation of this turn that arrives meanwhile must not be taken for its end.
            await asyncio.wait([task])
