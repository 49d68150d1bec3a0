"""Which agents of a project are spoken of, in English and in Russian, which bends names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from persais_core.domain import mentions

LONGEST_COMPARED = 30  # characters before a name that are looked at

_ENDING = 2  # letters that a Russian name may get at its end
_COMPARED = re.compile(r"(?<!\w)(like|as|than|unlike|instead of|как|чем|вроде|вместо)\s+(the\s+)?\Z")


def title(agent: dict[str, Any]) -> str:
    """What people see of an agent's name."""
    return str(agent.get("title") or agent["name"])


def own(project: dict[str, Any]) -> list[dict[str, Any]]:
    """The agents that have a file in the project; the built-in ones have none and cannot be changed from here."""
    files = project.get("files") or ()
    return [agent for agent in project.get("agents") or () if path(agent) in files]


def path(agent: dict[str, Any]) -> str:
    """Where an agent's code is."""
    return f"bot/agents/{agent['name']}.py"


def in_order(said: str, agents: Iterable[dict[str, Any]], *, words: bool = True) -> list[dict[str, Any]]:
    """The agents that are named, in the order in which they are, without those that others are only compared with.

    Args:
        said: what somebody wrote.
        agents: with `name`, and perhaps `title` and `keywords`.
        words: whether its keywords name an agent too.
    """
    prose = mentions.prose(said)
    spoken = mentions.words(prose)
    found = []
    for agent in agents:
        known = _called(agent) if words else _called(agent, keywords=())
        places = [at for name in known if (at := mentions.where(prose, name)) is not None]
        places += [at for is_form in map(_forms, known) for word, at in spoken.items() if is_form(word)]
        if places and not _COMPARED.search(prose[max(0, min(places) - LONGEST_COMPARED) : min(places)]):
            found.append((min(places), agent))
    return [agent for _, agent in sorted(found, key=lambda one: one[0])]


def without(said: str, agent: dict[str, Any]) -> str:
    """What is said, without the names of an agent."""
    known = _called(agent)
    for name in sorted(known, key=len, reverse=True):
        said = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", said, flags=re.IGNORECASE)
    forms = [_forms(name) for name in known]
    return re.sub(r"\w+", lambda word: " " if any(is_form(word[0].casefold()) for is_form in forms) else word[0], said)


def _called(agent: dict[str, Any], *, keywords: Sequence[str] | None = None) -> set[str]:
    given = agent.get("keywords") or () if keywords is None else keywords
    return {str(word).casefold() for word in (agent["name"], title(agent), *given) if word}


def _forms(name: str) -> Callable[[str], bool]:
    """Whether a word is that name, or that name with a Russian ending."""
    stem = re.sub("([ая]я|[оеыи]й|[оые]е|[аеёийоуыьюя])\\Z", "", name)
    if not re.fullmatch("[а-яё]{3,}", stem):
        return lambda word: word == name
    longest = len(stem) + _ENDING + (name[-2:] in {"ый", "ий", "ой"})  # "тихого"
    return lambda word: word == name or (word.startswith(stem) and len(word) <= longest)
