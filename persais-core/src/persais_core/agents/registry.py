"""All agents of a running bot, by name: the built-in ones and the project's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.domain import mentions
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
        """The one agent whose keywords are words of the text; None when there is none, or are several.

        A keyword inside a path, a file's name, an address, or what stands in backticks calls nobody.
        """
        hits = [agent for agent in self if stands_in(text, *self.keywords(agent))]
        return hits[0] if len(hits) == 1 else None

    def called(self, word: str) -> Agent | None:
        """The agent of a name, or else the one that has the title in any language; see `flat`."""
        wanted = flat(word)
        titled = [agent for agent in self if wanted in map(flat, agent.title.values())]
        return self.find(wanted) or (titled[0] if len(titled) == 1 else None)

    def named_in(self, text: str) -> frozenset[str]:
        """Names of the agents whose name or title, in any language, stands as words in the text.

        As with keywords, a path, a file's name, an address, or what stands in backticks names nobody.
        """
        return frozenset(a.name for a in self if stands_in(text, a.name, *a.title.values()))


def flat(word: str) -> str:
    """A name or title as it is compared: blanks are underscores, and it does not matter how letters are written."""
    return "_".join(word.casefold().split())


def stands_in(text: str, *words: str) -> bool:
    """Whether one of these stands in a text as words of its sentences, and not in a path or in code."""
    prose = mentions.prose(text)
    return any(mentions.where(prose, word) is not None for word in words)
