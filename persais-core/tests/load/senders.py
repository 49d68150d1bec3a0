"""Telegram's side of the webhook: it posts an update until somebody says that they have it, and sometimes again."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import fleet
import httpx

import updates


@dataclass
class Posted:
    """What was posted, and how it was taken.

    Attributes:
        refused: how often an update had to be posted once more.
        statuses: how often each status was answered.
    """

    accepted: set[int] = field(default_factory=set)
    refused: int = 0
    extra: int = 0
    statuses: dict[int, int] = field(default_factory=dict)

    def note(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Sender:
    """Posts to the webs of a fleet, to any of them."""

    def __init__(self, whole: fleet.Fleet, seed: int = 1) -> None:
        self._fleet, self._random = whole, random.Random(seed)
        self.posted = Posted()
        limits = httpx.Limits(max_connections=40)
        self._http = httpx.AsyncClient(timeout=30, trust_env=False, limits=limits)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def once(self, content: bytes) -> int:
        """One try; 0 where nobody answered."""
        web = self._random.choice(self._fleet.webs())
        try:
            answer = await self._http.post(f"{web.url}/telegram/webhook", content=content, headers=fleet.HEADERS)
        except httpx.HTTPError:
            return 0
        self.posted.note(answer.status_code)
        return answer.status_code

    async def until_taken(self, update: dict[str, Any]) -> None:
        content = json.dumps(update).encode()
        while await self.once(content) != 200:
            self.posted.refused += 1
            await asyncio.sleep(0.2)
        self.posted.accepted.add(update["update_id"])

    async def chat(self, user: int, texts: list[str], first_id: int, pause: float) -> None:
        """One chat: its messages one after the other, some twice at once, some again later, some in another order."""
        numbered = [updates.message(text, user=user, update=first_id + n) for n, text in enumerate(texts)]
        for position in range(1, len(numbered) - 1, 7):
            numbered[position], numbered[position + 1] = numbered[position + 1], numbered[position]
        for position, update in enumerate(numbered):
            tries = [self.until_taken(update)]
            if position % 5 == 0:
                tries.append(self.until_taken(update))
            if position % 6 == 3:
                tries.append(self.until_taken(numbered[self._random.randrange(position)]))
            self.posted.extra += len(tries) - 1
            await asyncio.gather(*tries)
            if self._random.random() < 0.5:
                await asyncio.sleep(self._random.random() * 2 * pause)
