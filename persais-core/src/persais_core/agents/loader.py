"""Finds the agents of a project: each file of `bot/agents` is imported, each `Agent` class in it is one agent."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path

from persais_core import errors
from persais_core.agents.base import Agent


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
    try:
        agent = kind()
    except Exception as error:  # as above: the constructor is the project's code
        raise errors.AgentError(f"bot/agents/{file}: {kind.__name__} cannot be made: {error}") from error
    if not agent.name:
        raise errors.AgentError(f"bot/agents/{file}: {kind.__name__} has no name")
    return agent
