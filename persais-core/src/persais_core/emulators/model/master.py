"""As Master it hands a message over to the agent whose name or title stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from persais_core.emulators.model import editor, router

MASTER = "You are the master of Persais."
TOOL = "hand_over"
LISTED = re.compile(r"^- (?P<name>[a-z][a-z0-9_]*) \((?P<title>[^)\n]*)\):", re.MULTILINE)


def hands_over(messages: Sequence[editor.Said], tools: Any) -> dict[str, Any] | None:
    """The call of the tool, as OpenAI's answers hold it, or None where Master answers itself.

    Args:
        messages: role and text, oldest first.
        tools: as they stand in the request.
    """
    system = next((text for role, text in messages if role in {"system", "developer"}), "")
    message = next((text for role, text in reversed(messages) if role == "user"), "")
    if not system.startswith(MASTER) or TOOL not in _names(tools):
        return None
    agents = [{"name": found["name"], "title": found["title"]} for found in LISTED.finditer(system)]
    asked = {"message": message, "agents": agents, "current": "master"}
    decided = router.route(json.dumps(asked))
    if "agent" not in decided:
        return None
    arguments = json.dumps({"agent": decided["agent"], "summary": message[:200]}, ensure_ascii=False)
    return {"id": "call-1", "type": "function", "function": {"name": TOOL, "arguments": arguments}}


def _names(tools: Any) -> set[str]:
    """The names of the tools of a request, whatever stands there."""
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}
