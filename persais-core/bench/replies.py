"""How long one message takes to be answered, one at a time.

The bots run side by side and are spoken to in turn, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench import bots
from bench.stand_ins import StandIns

WARM_UPS = 5
MESSAGES = 50


@dataclass(frozen=True)
class Replies:
    """What one bot needed: the seconds of each message, sorted."""

    seconds: tuple[float, ...]

    def at(self, share: float) -> float:
        """The seconds within which this share of the messages was answered."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


async def measure(speaking: Mapping[str, bots.Running[StandIns]], expected: Mapping[str, str]) -> dict[str, Replies]:
    """Say `MESSAGES` things to each bot, after some that do not count.

    Args:
        speaking: running bots, by name.
        expected: the answer of each to a text, where `{}` stands for the text.

    Raises:
        BotBrokenError: a bot said something else, or nothing.
    """
    seconds: dict[str, list[float]] = {name: [] for name in speaking}
    people = {name: running.bot.stand_ins.person() for name, running in speaking.items()}
    for number in range(-WARM_UPS, MESSAGES):
        for name, running in speaking.items():
            around = running.bot.stand_ins
            around.forget()
            began = time.perf_counter()
            await people[name].send(_text(number))
            try:
                arrived = await around.sent()
            except TimeoutError:
                raise running.broken("did not answer") from None
            if number >= 0:
                seconds[name].append(arrived - began)
    for name, running in speaking.items():
        said = await people[name].history()
        last = [message.text for message in said if message.from_bot][-MESSAGES:]
        if last != [expected[name].format(_text(number)) for number in range(MESSAGES)]:
            raise running.broken(f"said {last[-1]!r} instead")
        await people[name].aclose()
    return {name: Replies(tuple(sorted(values))) for name, values in seconds.items()}


def _text(number: int) -> str:
    return f"message {number} of a conversation about nothing much"
