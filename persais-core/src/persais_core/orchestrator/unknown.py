"""A command that nobody knows: said so, with the one that was probably meant.

People misspell commands, translate them, and call an agent by its title. Only what the person may use is suggested:
nobody learns of a command for admins, or of another's private agent, by a near miss.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from persais_core import texts
from persais_core.agents.base import Agent
from persais_core.agents.registry import Registry, flat
from persais_core.domain.chats import Reply
from persais_core.orchestrator import rights
from persais_core.orchestrator.state import Around

MOST_WORDS = 5  # of a title that stands before other words
LIKE_ENOUGH = 0.66  # of 1: in a word of three letters one may be wrong
_ON_CARD = {
    "diff": "button-diff",
    "дифф": "button-diff",
    "try": "button-try",
    "попробовать": "button-try",
    "view": "button-view",
}
"""What people say for what is no command but a button on the card of a change."""


async def answer(command: str, around: Around) -> Reply:
    """That there is no such command, and which one there is.

    Args:
        command: in lower case, without its slash.
    """
    user = around.turn.user
    if (off := around.switched_off(command)) is not None:
        said = texts.say(user.language, "agent-off", title=off.called(user.language), agent=off.name)
    elif user.is_admin and command in _ON_CARD:
        button = texts.say(user.language, _ON_CARD[command])
        said = texts.say(user.language, "unknown-command-button", command=command, button=button)
    elif (near := nearest(command, await _meant(around))) is not None:
        said = texts.say(user.language, "unknown-command-near", command=command, near=near)
    else:
        said = texts.say(user.language, "unknown-command", command=command)
    return Reply(text=said, plain=True)


def nearest(command: str, meant: Mapping[str, str]) -> str | None:
    """The command that was probably meant, without its slash; None where none is like it.

    Args:
        meant: what may be said for which command.
    """
    found = difflib.get_close_matches(command, meant, n=1, cutoff=LIKE_ENOUGH)
    return meant[found[0]] if found else None


async def _meant(around: Around) -> dict[str, str]:
    """What the person who speaks may say for which command: its name, a translation, an agent's title or keyword."""
    known = await rights.usable(around.database, around.turn)
    meant = {word: command.name for command in known for word in (command.name, *command.words_ru)}
    agents = [agent for agent in around.registry if around.turn.user.is_admin or agent.name != "mechanic"]
    meant |= {flat(word): agent.name for agent in agents for word in around.registry.keywords(agent)}
    return meant | _called(agents)


def split(words: str, registry: Registry) -> tuple[str, str]:
    """An agent that words begin with, by its name or title, and the rest of the words.

    Returns:
        The agent's name; where there is none, the first word in lower case and without a slash.
    """
    parts = words.split()
    for count in range(min(len(parts), MOST_WORDS), 0, -1):
        found = registry.called(" ".join(parts[:count]).removeprefix("/"))
        if found is not None:
            return found.name, " ".join(parts[count:])
    return (parts[0].removeprefix("/").lower() if parts else ""), " ".join(parts[1:])


def nearest_agent(word: str, registry: Registry) -> str | None:
    """Name of the agent whose name or title is most like a word; None where none is like it."""
    return nearest(flat(word), _called(registry))


def _called(agents: Iterable[Agent]) -> dict[str, str]:
    return {flat(word): agent.name for agent in agents for word in (agent.name, *agent.title.values())}
