"""A command that nobody knows: said so, with the one that was probably meant.

People misspell commands, translate them, and call an agent by its title. Only what the person may use is suggested:
nobody learns of a command for admins, or of another's private agent, by a near miss.
"""

from __future__ import annotations

import difflib

from persais_core import texts
from persais_core.agents.registry import Registry
from persais_core.domain.chats import Reply, User
from persais_core.orchestrator import commands

LIKE_ENOUGH = 0.66  # of 1: in a word of three letters one may be wrong
_TRANSLATED = {
    "start": ("старт", "начать"),
    "help": ("помощь", "справка", "хелп"),
    "agents": ("агенты", "боты"),
    "master": ("мастер",),
    "reset": ("сброс", "сбросить", "забыть"),
    "status": ("статус", "состояние"),
    "why": ("почему", "зачем"),
    "mechanic": ("механик",),
    "stop": ("стоп",),
    "deploy": ("деплой", "развернуть"),
    "abort": ("отмена", "отменить"),
    "rollback": ("откат", "откатить"),
    "config": ("настройки", "конфиг"),
    "visibility": ("видимость",),
    "audit": ("аудит", "журнал"),
}
"""What those who write Russian may say for the built-in commands."""


def answer(command: str, user: User, registry: Registry) -> Reply:
    """That there is no such command, and which one there is.

    Args:
        command: in lower case, without its slash.
        registry: the agents that the person may see.
    """
    near = nearest(command, user, registry)
    if near is None:
        return Reply(text=texts.say(user.language, "unknown-command", command=command), plain=True)
    return Reply(text=texts.say(user.language, "unknown-command-near", command=command, near=near), plain=True)


def nearest(command: str, user: User, registry: Registry) -> str | None:
    """The command that was probably meant, without its slash; None where none is like it."""
    meant = {word: name for name in commands.known(user) for word in (name, *_TRANSLATED.get(name, ()))}
    for agent in registry:
        if user.is_admin or agent.name != "mechanic":
            called = (agent.name, *agent.title.values(), *registry.keywords(agent))
            meant |= {"_".join(word.casefold().split()): agent.name for word in called}
    found = difflib.get_close_matches(command, meant, n=1, cutoff=LIKE_ENOUGH)
    return meant[found[0]] if found else None
