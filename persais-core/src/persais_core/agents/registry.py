"""All agents of a running bot, by name: the built-in ones and the project's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.domain.configs import AgentConfig

MASTER = "master"
LONGEST_WORD = 500  # characters before and behind a keyword that are looked at; addresses can be long

# What is quoted as code is spoken of and not to. A backtick inside a word is an apostrophe.
_CODE = re.compile(r"```.*?(?:```|\Z)|(?<!\w)`[^`\n]+`(?!\w)", re.DOTALL)
# What the rest of a word holds that is no word of the sentence: a path or an address, a file's ending, a host.
_NO_WORD = re.compile(r"[/\\]|(?<!\.)\.(?=\w)|\w@\w")


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
        lowered = _CODE.sub(" ", text).casefold()
        hits = [agent for agent in self if any(_stands_in(lowered, word) for word in self.keywords(agent) if word)]
        return hits[0] if len(hits) == 1 else None


def _stands_in(lowered: str, word: str) -> bool:
    pattern = rf"(?<!\w){re.escape(word.casefold())}(?!\w)"
    return any(_is_word(lowered, *hit.span()) for hit in re.finditer(pattern, lowered))


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether what stands there is more than a piece of something without blanks that is no word."""
    # The x stands for the keyword, which may be an address itself.
    ahead = f"{text[max(0, start - LONGEST_WORD) : start]}x".split()[-1]
    behind = f"x{text[end : end + LONGEST_WORD]}".split()[0]
    return not (_NO_WORD.search(ahead) or _NO_WORD.search(behind))
