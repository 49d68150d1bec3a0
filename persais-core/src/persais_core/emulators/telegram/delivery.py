"""How updates reach the bot: it fetches them, or they are posted to its webhook.

An update stays in the store until the bot confirms it, by asking for a later one or by answering its webhook call with
2xx; so whatever dies, nothing said is lost. As with the real service the newest poller wins, and a webhook and polling
exclude each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import httpx

from persais_core.emulators.telegram import refusals, store

FIRST_PAUSE = 0.2  # seconds before a failed webhook call is made again; doubled each time
LONGEST_PAUSE = 30.0  # seconds
WEBHOOK_TIMEOUT = 30.0  # seconds for one call
POLL_IS_FRESH = 10.0  # seconds after the last poll during which a bot counts as listening

_TAKEN_OVER = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
_WEBHOOK_SET = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


class Delivery:
    """The way from the store to the bot."""

    def __init__(self, memory: store.Store) -> None:
        self._memory = memory
        self._poll: asyncio.Future[None] | None = None
        self._polled_at = float("-inf")
        self._news = asyncio.Event()
        self._hook_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_webhook_failing = False
        self._closed = False

    @property
    def is_bot_listening(self) -> bool:
        """Whether a bot polls, or has a webhook that works."""
        if self._memory.note("webhook"):
            return not self._is_webhook_failing
        return self._poll is not None or time.monotonic() - self._polled_at < POLL_IS_FRESH

    def wake(self, *, hook_changed: bool = False) -> None:
        """Say that there may be something new to deliver, or a new place to deliver it to."""
        if hook_changed:
            self._is_webhook_failing = False
            self._hook_changed.set()
        if self._poll and not self._poll.done():
            self._poll.set_result(None)
        self._news.set()
        self.start_posting()

    def start_posting(self) -> None:
        """Begin to serve a webhook that is set, unless that is going on; needs a running loop."""
        if self._memory.note("webhook") and not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._post_all(), name="telegram-emulator-webhook")

    async def poll(self, *, offset: int, limit: int, timeout_seconds: float) -> list[dict[str, Any]]:
        """Answer one getUpdates.

        Args:
            offset: confirms everything before it; negative: forgets all but the last so many.
            limit: most updates to return.
            timeout_seconds: how long to wait for the first.

        Raises:
            RefusedError: 409, a webhook is set or another poller took over.
        """
        if self._memory.note("webhook"):
            raise refusals.RefusedError(_WEBHOOK_SET, error_code=409)
        if self._poll and not self._poll.done():
            self._poll.set_exception(refusals.RefusedError(_TAKEN_OVER, error_code=409))
        if offset < 0:
            kept = self._memory.pending(-offset, newest=True)
            self._memory.confirm(kept[0][0] if kept else 0)
        else:
            self._memory.confirm(offset)
        found = self._memory.pending(limit)
        if not found and timeout_seconds > 0 and not self._closed:
            waiting = self._poll = asyncio.get_running_loop().create_future()
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waiting, timeout_seconds)
            finally:
                if self._poll is waiting:
                    self._poll = None
            found = [] if self._closed else self._memory.pending(limit)
        self._polled_at = time.monotonic()
        return [update for _, update in found]

    async def aclose(self) -> None:
        """End the waiting poll and the webhook calls at once."""
        self._closed = True
        if self._poll and not self._poll.done():
            self._poll.set_result(None)
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _post_all(self) -> None:
        """Post pending updates in order, one at a time, while there is a webhook."""
        pause = FIRST_PAUSE
        # A proxy set for the machine must not see calls to a neighbour on loopback.
        async with httpx.AsyncClient(timeout=WEBHOOK_TIMEOUT, trust_env=False) as http:
            while hook := self._memory.note("webhook"):
                self._news.clear()
                waiting = self._memory.pending(1)
                if not waiting:
                    await self._news.wait()
                    continue
                update_id, update = waiting[0]
                problem = await _post(http, hook, update)
                if self._memory.note("webhook") != hook:
                    continue
                self._is_webhook_failing = problem is not None
                if problem is None:
                    pause = FIRST_PAUSE
                    self._memory.confirm(update_id + 1)
                    continue
                self._memory.set_note("webhook_error", {"at": int(time.time()), "message": problem})
                # New messages do not shorten the pause, or a busy chat would hammer a bot that is starting.
                self._hook_changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hook_changed.wait(), pause)
                pause = FIRST_PAUSE if self._hook_changed.is_set() else min(pause * 2, LONGEST_PAUSE)


async def _post(http: httpx.AsyncClient, hook: dict[str, Any], update: dict[str, Any]) -> str | None:
    """Make one webhook call; returns what went wrong, or None."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": hook["secret_token"]} if hook.get("secret_token") else {}
    try:
        response = await http.post(hook["url"], json=update, headers=headers)
    except httpx.ConnectError:
        return "Connection refused"
    except httpx.TimeoutException:
        return "Connection timed out"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"Connection failed: {type(error).__name__}"
    if response.is_success:
        return None
    return f"Wrong response from the webhook: {response.status_code} {response.reason_phrase}"
