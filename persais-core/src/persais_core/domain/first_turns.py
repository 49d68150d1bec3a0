"""The first turns of an agent in a new release, and when they are reason to take that release back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

COUNTED = 5  # turns of each agent
BROKEN = 2  # of them, and the release that brought the agent must not go on

Counts = Mapping[str, Sequence[int]]
"""By agent: how many of its first turns there were, and how many of them broke."""


def trouble(counts: Counts, agents: Collection[str]) -> str | None:
    """What is wrong with the first of some agents that broke too often; None where none did."""
    for agent in sorted(counts.keys() & set(agents)):
        turns, broken = counts[agent]
        if broken >= BROKEN:
            return f"{agent} broke in {broken} of its first {turns} answers"
    return None
