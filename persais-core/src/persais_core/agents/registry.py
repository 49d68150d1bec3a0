"""All agents of a running bot, by name: the built-in ones and the project's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.domain.configs import AgentConfig

MASTER = "master"


class Registry:
    """Agents by name.

    Args:
        agents: in the order in which they are shown.
        configs: what the owner has set for some of them, by name.

    Raises:
        AgentError: two agents have the same name.
    """

    def __init__(self, agents: Iterable[Agent], configs: Mapping[str, AgentConfig] | None = None) -> None:
        self._agents: dict[str, Agent] = {}
        self._configs = configs or {}
        for agent in agents:
            if agent.name in self._agents:
                raise errors.AgentError(f"two agents are called {agent.name}; rename one")
            self._agents[agent.name] = agent

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def configured(self, configs: Mapping[str, AgentConfig]) -> Registry:
        """The same agents as their owner has set them; those that are switched off are left out."""
        return Registry((a for a in self if configs.get(a.name, AgentConfig()).enabled), configs)

    def config(self, name: str) -> AgentConfig:
        """What is set for an agent."""
        return self._configs.get(name, AgentConfig())

    def keywords(self, agent: Agent) -> tuple[str, ...]:
        """The words that call an agent: its owner's, or those in its code."""
        set_words = self.config(agent.name).keywords
        return agent.keywords if set_words is None else set_words

    def find(self, name: str) -> Agent | None:
        """The agent of this name."""
        return self._agents.get(name.lower())

    def by_keyword(self, text: str) -> Agent | None:
        """The one agent whose keywords stand in the text as whole words; None when there is none, or are several."""
        lowered = text.casefold()
        hits = [agent for agent in self if any(_stands_in(lowered, word) for word in self.keywords(agent) if word)]
        return hits[0] if len(hits) == 1 else None


def _stands_in(lowered: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", lowered) is not None
