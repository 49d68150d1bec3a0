"""Who is looking at a chat right now, and how news reaches them.

Each open page or terminal holds one stream. A stream begins with the whole chat as it stands and carries every change
after that; subscribing and taking that first picture happen without a pause between them, so nothing falls into a gap
and nothing needs to be put in order afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from persais_core.emulators.telegram.values import ChatEvent

TICK = 3.0  # seconds after which an idle stream looks at the presence of the bot again
TICKS_PER_PING = 5
MAX_BACKLOG = 1000  # events; a reader that falls further behind is cut off and starts again from a reset


class Streams:
    """All open streams, by chat."""

    def __init__(self) -> None:
        self._open: dict[int, set[asyncio.Queue[ChatEvent | None]]] = {}
        self._closed = False

    def chats(self) -> list[int]:
        """Chats somebody looks at."""
        return [chat_id for chat_id, queues in self._open.items() if queues]

    def publish(self, chat_id: int, event: ChatEvent) -> None:
        """Tell everyone who looks at a chat."""
        for queue in list(self._open.get(chat_id, ())):
            if queue.qsize() < MAX_BACKLOG:
                queue.put_nowait(event)
            else:
                self._open[chat_id].discard(queue)
                queue.put_nowait(None)

    def close(self) -> None:
        """End all streams, also those that would be opened later."""
        self._closed = True
        for queues in self._open.values():
            for queue in queues:
                queue.put_nowait(None)

    async def follow(
        self, chat_id: int, *, picture: Callable[[], ChatEvent], is_online: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """One stream as server-sent events, until its reader leaves or the emulator closes.

        Args:
            picture: makes the `reset` event it begins with.
            is_online: whether a bot is listening; a change of it is told too.
        """
        if self._closed:
            return
        queue: asyncio.Queue[ChatEvent | None] = asyncio.Queue()
        self._open.setdefault(chat_id, set()).add(queue)
        try:
            first = picture()
            online, idle = first.online, 0
            yield b"retry: 1000\n\n" + _line(first)
            while not self._closed:
                try:
                    event = await asyncio.wait_for(queue.get(), TICK)
                except TimeoutError:
                    idle += 1
                    event = ChatEvent(kind="presence", online=is_online()) if is_online() != online else None
                    if event is None:
                        if idle % TICKS_PER_PING == 0:
                            yield b": still here\n\n"
                        continue
                if event is None:
                    return
                if event.kind == "presence":
                    if event.online == online:
                        continue
                    online = event.online
                yield _line(event)
        finally:
            self._open[chat_id].discard(queue)


def _line(event: ChatEvent) -> bytes:
    return b"data: " + event.model_dump_json(exclude_defaults=True).encode() + b"\n\n"
