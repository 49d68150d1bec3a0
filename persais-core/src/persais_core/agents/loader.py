"""Finds the agents of a project: each file of `bot/agents` is imported, each `Agent` class in it is one agent.

What an agent says of itself decides how it is reached and how lists show it. It is taken here, once, as plain values:
a name that compared as it likes would pass for another agent's.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from persais_core import errors
from persais_core.agents.base import READ_ONCE, Agent
from persais_core.domain import names

OURS = ("called", "purpose", "__setattr__", "__getattribute__")
"""Methods that the bot calls for everybody's lists, whoever is answered: one agent's code may not stand in them."""


def load(root: Path) -> list[Agent]:
    """Import every agent of a project.

    Args:
        root: absolute folder that holds `bot/`; it becomes the first place where imports look.

    Returns:
        One instance of each agent, in order of file name.

    Raises:
        AgentError: a file cannot be imported, or an agent lacks what it needs; names file and cause.
    """
    folder = root / "bot" / "agents"
    if not folder.is_dir():
        return []
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    found: list[Agent] = []
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"bot.agents.{file.stem}")
        except Exception as error:  # a project's code may raise anything at import; it must not stop us from saying so
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise errors.AgentError(
                f"bot/agents/{file.name} cannot be imported: {type(error).__name__}: {error} (line {last.lineno})"
            ) from error
        if Path(inspect.getfile(module)).resolve() != file.resolve():
            raise errors.AgentError(f"`bot` is imported from {inspect.getfile(module)}, not from {root}")
        for _, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, Agent) and thing is not Agent and thing.__module__ == module.__name__:
                found.append(_made(thing, file.name))
    return found


def _made(kind: type[Agent], file: str) -> Agent:
    where = f"bot/agents/{file}: {kind.__name__}"
    told = _told(kind, where)
    try:
        agent = kind()
    except Exception as error:  # as above: the constructor is the project's code
        raise errors.AgentError(f"{where} cannot be made: {error}") from error
    for name, value in told.items():
        setattr(kind, name, value)
    return agent


def _told(kind: type[Agent], where: str) -> dict[str, Any]:
    """What a class says of itself, as plain values.

    Raises:
        AgentError: something of it is no plain value, or cannot be used.
    """
    for ours in OURS:
        if inspect.getattr_static(kind, ours) is not inspect.getattr_static(Agent, ours):
            raise errors.AgentError(f"{where}: {ours} is asked by the bot for every list; call yours by another name")
    name, title, emoji, keywords = (inspect.getattr_static(kind, attribute) for attribute in READ_ONCE)
    if type(name) is not str:
        raise errors.AgentError(f"{where}: its name is no plain str; write it out")
    if not name:
        raise errors.AgentError(f"{where} has no name")
    if not names.NAME.match(name):
        raise errors.AgentError(
            f"{where}: {name!r} is no usable name: a-z, 0-9 and _, starting with a letter, at most 40 characters"
        )
    if name in names.BUILT_IN_AGENTS | names.BUILT_IN_COMMANDS:
        raise errors.AgentError(f"{where}: /{name} is there in every bot; choose another name")
    if not isinstance(title, Mapping) or not _are_plain([*title.keys(), *title.values()]):
        raise errors.AgentError(f"{where}: its title is no dict of plain str; write it out")
    if type(emoji) is not str or not (emoji == "" or names.is_emoji(emoji)):
        raise errors.AgentError(f"{where}: its emoji is none; give it one emoji, or an empty str")
    if not isinstance(keywords, tuple | list) or not _are_plain(keywords):
        raise errors.AgentError(f"{where}: its keywords are no tuple of plain str; write them out")
    titles = {language: " ".join(text.split()) for language, text in title.items()}
    return {"name": name, "title": MappingProxyType(titles), "emoji": emoji, "keywords": tuple(keywords)}


def _are_plain(values: Iterable[object]) -> bool:
    return all(type(value) is str for value in values)
