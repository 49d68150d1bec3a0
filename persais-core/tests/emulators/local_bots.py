"""A local Telegram with somebody in its chat, and a bot that is played by calls to the Bot API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.serving import served

TOKEN, KEY, USER = "77:SECRET", "client-key", 1000001


@dataclass
class Local:
    """The emulator, where it answers, and both who speak with it."""

    emulator: TelegramEmulator
    base: str
    http: httpx.AsyncClient
    person: ChatClient

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the Bot API answers, whatever that is."""
        answer = await self.http.post(f"/bot{TOKEN}/{method}", json=parameters)
        body = answer.json()
        assert answer.status_code == (200 if body["ok"] else body["error_code"])
        return body

    async def ok(self, method: str, **parameters: Any) -> Any:
        """The result of a call that must succeed."""
        body = await self.call(method, **parameters)
        assert body["ok"], body
        return body["result"]

    async def refused(self, method: str, **parameters: Any) -> str:
        """Why a call that must not succeed did not."""
        body = await self.call(method, **parameters)
        assert not body["ok"], body
        return str(body["description"])


@contextlib.asynccontextmanager
async def running(state: Path | None = None, local_name: str = "") -> AsyncIterator[Local]:
    """One for the time of the block.

    Args:
        state: where it keeps what was said; nowhere if it is None.
        local_name: of the person at this computer.
    """
    emulator = TelegramEmulator(token=TOKEN, client_key=KEY, state=state, local_name=local_name)
    async with (
        served(emulator) as base,
        httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http,
        ChatClient(base, KEY) as person,
    ):
        yield Local(emulator, base, http, person)
