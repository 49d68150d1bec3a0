"""Decides what kind of question it is, by the first line of the system prompt, and has it answered."""

from __future__ import annotations

import json
from collections.abc import Sequence

from persais_core.emulators.model import editor, planner, router, talk

PLANNER = "You are the planner of Persais."
ROUTER = "You are the router of Persais."
AIDER = "SEARCH/REPLACE"


def answer(messages: Sequence[editor.Said]) -> str:
    """Answer a conversation; the same one always gets the same answer.

    Args:
        messages: role and text, oldest first.

    Raises:
        ValueError: a question that must be JSON is not.
    """
    system = next((text for role, text in messages if role in {"system", "developer"}), "")
    question = next((text for role, text in reversed(messages) if role == "user"), "")
    # After an answer that did not suit, a repair request follows; the question itself is the JSON before it.
    asked = next((text for role, text in reversed(messages) if role == "user" and text.lstrip()[:1] == "{"), question)
    first = system.lstrip().partition("\n")[0].strip()
    if first.startswith(PLANNER):
        return json.dumps(planner.plan(asked), ensure_ascii=False)
    if first.startswith(ROUTER):
        return json.dumps(router.route(asked), ensure_ascii=False)
    if AIDER in (system or messages[0][1]):
        return editor.answer(messages)
    return talk.answer(question)
