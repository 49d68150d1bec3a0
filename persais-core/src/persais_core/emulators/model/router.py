"""Chooses the agent of a message by its keywords."""

from __future__ import annotations

import json
import re
from typing import Any


def route(question: str) -> dict[str, str]:
    """Answer one question of the router.

    Args:
        question: JSON with `message`, `agents` and `current`.

    Returns:
        A switch to the agent with the most keywords in the message, or keep for the current one among equals;
        uncertain when no keyword occurs, or several agents are equally fit.

    Raises:
        ValueError: the question is not such JSON.
    """
    asked = json.loads(question)
    if not isinstance(asked, dict) or not isinstance(asked.get("message"), str):
        raise ValueError("the router's question must be a JSON object with a message")
    words = " ".join(re.findall(r"\w+", asked["message"].lower()))
    points = {str(agent["name"]): _points(agent, f" {words} ") for agent in asked.get("agents") or ()}
    best = max(points.values(), default=0)
    fit = [name for name, count in points.items() if count == best] if best else []
    if asked.get("current") in fit:
        return {"decision": "keep"}
    return {"decision": "switch", "agent": fit[0]} if len(fit) == 1 else {"decision": "uncertain"}


def _points(agent: dict[str, Any], message: str) -> int:
    title = agent.get("title") or ""
    titles = title.values() if isinstance(title, dict) else (title,)
    known = {agent["name"], *titles, *(agent.get("keywords") or ())}
    phrases = {" ".join(re.findall(r"\w+", str(word).lower())) for word in known}
    return sum(f" {phrase} " in message for phrase in phrases if phrase)
