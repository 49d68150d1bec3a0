"""Whom a message is for: an explicit command, then keywords, and only then the small model, where there is one.

A tap on a button that leads to an agent is for that agent, whatever it says.

While an agent holds the lane nobody is asked, unless a keyword of exactly one other agent stands in the message; then
the small model decides whether that is a call or just a word. What it says is typed, and what it is unsure of goes to
whoever holds the lane: Master where nobody does, who answers or hands over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, Literal

import structlog
from langgraph.runtime import Runtime
from pydantic import model_validator

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.agents.registry import MASTER
from persais_core.domain.chats import Value
from persais_core.domain.names import BUILT_IN_AGENTS
from persais_core.llm.models import Booking, Said
from persais_core.orchestrator.state import Around, LaneState

log = structlog.get_logger(__name__)

WITHIN = 15.0  # seconds for the small model; who waits longer is better off with Master
PROMPT_BYTES = 3000  # of the whole question, the rules included
MESSAGE_CHARACTERS = 400


class Choice(Value):
    """What the small model decides.

    Args:
        decision: keep the agent that answers now, switch to another, or uncertain.
        agent: the other one.
    """

    decision: Literal["keep", "switch", "uncertain"]
    agent: str | None = None

    @model_validator(mode="after")
    def _names_whom(self) -> Choice:
        if self.decision == "switch" and not self.agent:
            raise ValueError("a switch must name its agent")
        return self


UNCERTAIN = Choice(decision="uncertain")


async def classify(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    """Find out which agent the turn asks for, if any."""
    around = runtime.context
    if state.turn == around.turn.id:
        return {"repeated": True}
    text, own = around.turn.message.text, around.turn.is_own_words
    fresh: dict[str, Any] = {
        "turn": around.turn.id, "repeated": False, "wanted": None, "rest": text, "switched": False, "back": None,
        "broke": False, "raised": "", "replies": [], "passes": 0, "passing": False, "handed": "", "asked": False,
    }  # fmt: skip
    if recalled := around.recall(state):
        fresh |= {"history": recalled.history, "summaries": recalled.summaries}
    if (chosen := around.turn.chosen) is not None:
        if around.turn.is_again:
            command, rest = around.turn.message.command
            said = rest.strip() if command == f"/{chosen}" else text
            return fresh | {"wanted": chosen, "back": state.agent, "rest": said}
        # Whoever is there already needs no introduction before an answer.
        is_there = bool(text) and chosen == state.agent and around.registry.find(chosen) is not None
        return fresh | {"wanted": None if is_there else chosen}
    # Somebody else's words command nothing, and do not lead to the Mechanic.
    command, rest = around.turn.message.command
    if own and command:
        return fresh | {"wanted": command.removeprefix("/"), "rest": rest.strip()}
    called = around.registry.by_keyword(text)
    if called is not None and called.name in BUILT_IN_AGENTS and not own:
        called = None
    holder = around.registry.find(state.agent) if state.agent != MASTER else None
    if holder is None:
        return fresh | {"wanted": called.name if called else await _from_master(around, text)}
    # What is said to the Mechanic names other agents all the time.
    if called is None or called is holder or holder.name in BUILT_IN_AGENTS:
        return fresh
    choice = await ask_router(around, [holder, called], text, current=holder.name)
    return fresh | {"wanted": called.name if choice == Choice(decision="switch", agent=called.name) else None}


async def _from_master(around: Around, text: str) -> str | None:
    """The agent that a message to nobody in particular is for; None: Master answers it."""
    others = [agent for agent in around.registry if agent.name not in BUILT_IN_AGENTS]
    if not others or not text.strip() or _master_decides(around):
        return None
    choice = await ask_router(around, others, text, current=MASTER)
    if choice.decision != "switch":
        return None
    return choice.agent if choice.agent in [agent.name for agent in others] else None  # a model may name anybody


def _master_decides(around: Around) -> bool:
    """Whether a question to the router would only double Master's own: no smaller model is set to answer it.

    Master knows the agents, and hands over by a tool in the same call.
    """
    masters = around.registry.config(MASTER).model or around.models.default
    return around.models.classifier == masters and around.models.calls_tools(masters)


async def ask_router(around: Around, agents: Sequence[Agent], text: str, *, current: str) -> Choice:
    """What the small model decides; uncertain where it cannot be asked or gives no usable answer, even when told so."""
    messages = question(around, agents, text, current=current)
    booking = Booking(purpose="route", user_id=around.turn.user.id, turn_id=around.turn.id, agent=MASTER)
    models = around.models
    try:
        for _ in range(2):
            answer = await models.ask(messages, booking, model=models.classifier, timeout_seconds=WITHIN)
            try:
                return read(answer)
            except ValueError:
                told = "That is not the JSON that was asked for. Answer with the JSON object alone."
                messages = [*messages, ("assistant", answer[:500]), ("user", told)]
    except errors.ModelError as error:
        log.info("the router cannot be asked", cause=str(error))
        return UNCERTAIN
    log.info("the router gave no usable answer")
    return UNCERTAIN


def read(answer: str) -> Choice:
    """A router's answer, perhaps with words round it.

    Raises:
        ValueError: there is no such answer in it.
    """
    return Choice.model_validate_json(answer[answer.index("{") : answer.rindex("}") + 1])


def question(around: Around, agents: Sequence[Agent], text: str, *, current: str) -> list[Said]:
    """The messages for the router: as much about each agent as fits, since the question must stay small."""
    system = (resources.files("persais_core.orchestrator") / "router.md").read_text("utf-8")
    language = around.turn.user.language
    levels: list[list[dict[str, Any]]] = [
        [
            {
                "name": agent.name,
                "title": agent.called(language)[:40],
                "keywords": list(around.registry.keywords(agent))[:4],
                "purpose": agent.purpose()[:100],
            }
            for agent in agents
        ],
        [{"name": agent.name, "title": agent.called(language)[:40]} for agent in agents],
        [{"name": agent.name} for agent in agents],
    ]
    for known in levels:
        # Where nothing but names has room, the message gives up some of its own.
        characters = MESSAGE_CHARACTERS if known is not levels[-1] else MESSAGE_CHARACTERS // 2
        asked = {"message": text[:characters], "agents": known, "current": current}
        body = json.dumps(asked, ensure_ascii=False)
        if len(system.encode()) + len(body.encode("utf-8", "replace")) <= PROMPT_BYTES:
            break
    return [("system", system), ("user", body)]
