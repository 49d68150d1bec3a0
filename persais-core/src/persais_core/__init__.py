"""Persais: a chat bot that grows by being asked.

The public names for bot code. They are loaded on first use, so that `persais --help` does not import a database.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persais_core.agents.base import Agent
    from persais_core.db.records import Record
    from persais_core.domain.chats import Button, File, Message, Reply, User
    from persais_core.tools.base import Context, Tool

__version__ = "0.1.0"

_HOMES = {
    "Agent": "agents.base",
    "Button": "domain.chats",
    "Context": "tools.base",
    "File": "domain.chats",
    "Message": "domain.chats",
    "Record": "db.records",
    "Reply": "domain.chats",
    "Tool": "tools.base",
    "User": "domain.chats",
}

__all__ = ["Agent", "Button", "Context", "File", "Message", "Record", "Reply", "Tool", "User"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"persais_core has no {name!r}")
    return getattr(importlib.import_module(f"persais_core.{_HOMES[name]}"), name)
