"""The lane is given to the agent that the turn asks for."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from persais_core import texts
from persais_core.agents.registry import MASTER
from persais_core.domain.chats import Reply
from persais_core.orchestrator.state import Around, LaneState


async def route(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    """Switch to the wanted agent; a lane whose agent is gone, or hidden from this person, goes to Master, who says so.

    It is said once, since from then on the lane is Master's.
    """
    around = runtime.context
    registry = around.registry
    if state.back is not None and state.wanted and registry.find(state.wanted):
        return {"agent": state.wanted, "wanted": None}
    if state.wanted and registry.find(state.wanted):
        # Whoever is there already needs no introduction before an answer.
        switched = state.wanted.lower() != state.agent or not state.rest
        return {"agent": state.wanted.lower(), "switched": switched, "wanted": None}
    if not registry.find(state.agent):
        # In a group the agent may be somebody's private one, of which the others are told nothing.
        is_told = around.everybody.find(state.agent) is None or around.turn.lane.chat_id == around.turn.user.id
        language, title = around.turn.user.language, state.agent.replace("_", " ").title()
        said = texts.say(language, "agent-gone", title=title)
        if (off := around.switched_off(state.agent)) is not None:
            if state.wanted and around.switched_off(state.wanted) is off:
                return {"agent": MASTER}  # which the answer then tells
            said = texts.say(language, "agent-off", title=off.called(language), agent=off.name)
        note = Reply(text=said, plain=True).model_dump(mode="json")
        return {"agent": MASTER, "replies": [note] if is_told else []}
    return {}
