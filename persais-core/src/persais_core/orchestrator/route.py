"""The lane is given to the agent that the turn asks for."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from persais_core.agents.registry import MASTER
from persais_core.orchestrator.state import Around, LaneState


async def route(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    """Switch to the wanted agent; a lane whose agent is gone, or hidden from this person, goes to Master."""
    registry = runtime.context.registry
    if state.wanted and (agent := registry.find(state.wanted)):
        return {"agent": agent.name, "switched": True}
    if not registry.find(state.agent):
        return {"agent": MASTER}
    return {}
