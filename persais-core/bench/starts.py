"""How long a bot takes from its process being made until it is of use.

Three moments: /health says that it is well, it asks Telegram for updates for the first time, and it has answered a
message that waited for it. The third is what a person notices, and nothing can be put off beyond it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bench import bots
from bench.stand_ins import ANSWER, StandIns


@dataclass(frozen=True)
class Start:
    """Seconds from the process being made."""

    healthy: float
    polling: float
    answered: float


async def measure(bot: bots.Bot[StandIns]) -> Start:
    """Start a bot once, with a message waiting for it, and stop it again.

    Raises:
        BotBrokenError: it did not start or did not answer.
    """
    async with bot.stand_ins.person() as person:
        await person.send("Are you there?")
        bot.stand_ins.expect_start()
        async with bots.started(bot) as running:
            healthy = await running.healthy()
            try:
                await asyncio.wait_for(bot.stand_ins.polled.wait(), 30)
                answered = await bot.stand_ins.sent()
            except TimeoutError:
                raise running.broken("did not answer") from None
            said = (await person.history())[-1].text
            if said != ANSWER:
                raise running.broken(f"said {said!r} instead")
            begun = running.started_at
            return Start(healthy - begun, bot.stand_ins.polled_at - begun, answered - begun)
