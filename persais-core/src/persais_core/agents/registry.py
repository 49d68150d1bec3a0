"""All agents of a running bot, by name: the built-in ones and the project's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from persais_core import errors
from persais_core.agents.base import Agent

MASTER = "master"


class Registry:
    """Agents by name.

    Raises:
        AgentError: two agents have the same name.
    """

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._agents: dict[str, Agent] = {}
        for agent in agents:
            if agent.name in self._agents:
                raise errors.AgentError(f"two agents are called {agent.name}; rename one")
            self._agents[agent.name] = agent

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def find(self, name: str) -> Agent | None:
        """The agent of this name."""
        return self._agents.get(name.lower())

    def by_keyword(self, text: str) -> Agent | None:
        """The one agent whose keywords stand in the text as whole words; None when there is none, or are several."""
        lowered = text.casefold()
        hits = [
            agent
            for agent in self
            if any(re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", lowered) for word in agent.keywords if word)
        ]
        return hits[0] if len(hits) == 1 else None
