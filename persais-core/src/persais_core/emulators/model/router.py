"""Chooses the agent of a message by its keywords."""

from __future__ import annotations

import json
from typing import Any

from persais_core.domain import mentions


def route(question: str) -> dict[str, str]:
    """Answer one question of the router.

    Args:
        question: JSON with `message`, `agents` and `current`.

    Returns:
        A switch to the agent with the most keywords in the message, or keep for the current one among equals;
        uncertain when no keyword occurs, or several agents are equally fit. A name in a path or in code is none.

    Raises:
        ValueError: the question is not such JSON.
    """
    asked = json.loads(question)
    if not isinstance(asked, dict) or not isinstance(asked.get("message"), str):
        raise ValueError("the router's question must be a JSON object with a message")
    prose = mentions.prose(asked["message"])
    points = {str(agent["name"]): _points(agent, prose) for agent in asked.get("agents") or ()}
    best = max(points.values(), default=0)
    fit = [name for name, count in points.items() if count == best] if best else []
    if asked.get("current") in fit:
        return {"decision": "keep"}
    return {"decision": "switch", "agent": fit[0]} if len(fit) == 1 else {"decision": "uncertain"}


def _points(agent: dict[str, Any], prose: str) -> int:
    title = agent.get("title") or ""
    titles = title.values() if isinstance(title, dict) else (title,)
    known = {str(word).casefold() for word in (agent["name"], *titles, *(agent.get("keywords") or ()))}
    return sum(mentions.where(prose, word) is not None for word in known)
