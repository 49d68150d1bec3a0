"""classify -> route -> answer: one turn through LangGraph, its state kept in Postgres per lane.

The state holds which agent the lane talks to and the recent conversation. An explicit command wins; then the lane stays
with its agent; only from Master do keywords, and then the small model, choose another.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from persais_core import errors, texts
from persais_core.agents.base import Agent
from persais_core.agents.context import TurnContext, handed
from persais_core.agents.registry import MASTER, Registry
from persais_core.db.engine import Database
from persais_core.domain.chats import Message, Reply, Turn, Value
from persais_core.llm.models import Booking, Models, Said
from persais_core.tools.base import Context

log = structlog.get_logger(__name__)

ANSWER_WITHIN = 120.0  # seconds; an agent that never returns would hold its lane, and a graph, for ever
HISTORY = 20  # messages of a lane that a model sees again
HISTORY_CHARACTERS = 2000  # of each
SLOTS = 4  # graphs in use at once; LangGraph's saver lets one call in at a time
COMMAND = re.compile(r"/([A-Za-z0-9_]+)(?:@\w+)?(?:\s+|\Z)")
BUILT_IN = frozenset({MASTER, "mechanic"})


class LaneState(BaseModel):
    """What is remembered of a lane, and what passes from step to step of one turn.

    Attributes:
        agent: who answers in this lane.
        history: (agent, role, text), oldest first; an agent sees its own part alone.
        wanted: the agent this turn asks for, if any.
        rest: the message without a command that chose the agent.
        switched: whether this turn changed the agent.
        replies: what is to be said, as dumped `Reply` values.
        broke: whether the agent's own code raised instead of answering.
        turn: number of the last turn that was answered.
        repeated: whether this turn was answered before, by a worker that died before it could say so.
    """

    agent: str = MASTER
    broke: bool = False
    turn: int = 0
    repeated: bool = False
    history: list[tuple[str, str, str]] = Field(default_factory=list)
    wanted: str | None = None
    rest: str = ""
    switched: bool = False
    replies: list[dict[str, Any]] = Field(default_factory=list)


class Answer(Value):
    """What became of a turn.

    Args:
        agent: name of the one that answered.
        broke: whether its own code raised instead.
    """

    agent: str
    replies: tuple[Reply, ...] = ()
    broke: bool = False


@dataclass(frozen=True)
class Around:
    """What the steps work with, besides the state."""

    turn: Turn
    registry: Registry
    models: Models
    database: Database


async def _classify(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    around = runtime.context
    if state.turn == around.turn.id:
        return {"repeated": True}
    text = around.turn.message.text
    fresh: dict[str, Any] = {
        "turn": around.turn.id, "repeated": False, "wanted": None, "rest": text, "switched": False, "broke": False,
        "replies": [],
    }  # fmt: skip
    if match := COMMAND.match(text):
        return fresh | {"wanted": match[1].lower(), "rest": text[match.end() :].strip()}
    if state.agent != MASTER and around.registry.find(state.agent):
        return fresh
    if found := around.registry.by_keyword(text):
        return fresh | {"wanted": found.name}
    others = [agent for agent in around.registry if agent.name not in BUILT_IN]
    if others and text.strip():
        return fresh | {"wanted": await _ask_router(around, others, text)}
    return fresh


async def _ask_router(around: Around, agents: list[Agent], text: str) -> str | None:
    """The agent a small model finds the message is for; None when it is unsure or cannot be asked."""
    question = {
        "message": text[:HISTORY_CHARACTERS],
        "agents": [
            {"name": a.name, "title": a.called("en"), "keywords": list(a.keywords), "purpose": a.purpose()}
            for a in agents
        ],
        "current": MASTER,
    }
    system = (resources.files("persais_core.orchestrator") / "router.md").read_text("utf-8")
    messages: list[Said] = [("system", system), ("user", json.dumps(question, ensure_ascii=False))]
    booking = Booking(purpose="route", user_id=around.turn.user.id, turn_id=around.turn.id)
    try:
        answer = await around.models.ask(messages, booking, model=around.models.classifier)
        name = json.loads(answer[answer.index("{") : answer.rindex("}") + 1]).get("agent")
    except (errors.ModelError, ValueError, AttributeError) as error:
        log.info("the router gave no answer; Master answers", cause=str(error))
        return None
    return name if name in [agent.name for agent in agents] else None  # a model may say anything, also a list


async def _route(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    registry = runtime.context.registry
    if state.wanted and (agent := registry.find(state.wanted)):
        return {"agent": agent.name, "switched": True}
    if not registry.find(state.agent):
        return {"agent": MASTER}  # the lane's agent has been taken out of the bot
    return {}


async def _answer(state: LaneState, runtime: Runtime[Around]) -> dict[str, Any]:
    around = runtime.context
    turn, language = around.turn, around.turn.user.language
    agent = around.registry.find(state.agent)
    assert agent is not None
    replies: list[Reply] = []
    if state.switched:
        replies.append(_activated(agent, turn))
        if not state.rest:
            return {"replies": _dumped(replies)}
    elif state.wanted:
        return {
            "replies": _dumped([Reply(text=texts.say(language, "unknown-command", command=state.wanted), plain=True)])
        }
    if turn.message.attachment and not state.rest:
        return {"replies": _dumped([*replies, Reply(text=texts.say(language, "attachment-not-yet"))])}
    history = _seen_by(agent.name, state.history)
    context = TurnContext(turn, database=around.database, models=around.models, history=history, agent=agent.name)
    message = turn.message.model_copy(update={"text": state.rest})
    said, broke = await _reply(agent, message, context)
    if said is not None:
        replies.append(said)
    remembered = list(state.history)
    if said is not None and not broke:
        # In pairs: what was not answered would be answered by the model the next time.
        remembered.append((agent.name, "user", state.rest[:HISTORY_CHARACTERS]))
        remembered.append((agent.name, "assistant", said.text[:HISTORY_CHARACTERS]))
    return {"replies": _dumped(replies), "history": remembered[-HISTORY:], "broke": broke}


def _seen_by(agent: str, history: Sequence[Sequence[str]]) -> list[Said]:
    """What was said between the user and one agent, oldest first."""
    said: list[Said] = []
    for who, role, text in history:
        if who == agent:
            said.append(("assistant" if role == "assistant" else "user", text))
    return said


async def _reply(agent: Agent, message: Message, context: TurnContext) -> tuple[Reply | None, bool]:
    """Let an agent answer; what a project's own code raises is told to the user without its details.

    Returns:
        What is to be said, if anything, and whether the agent's code broke.
    """
    given: Context = context if agent.name in BUILT_IN else handed(context)
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            said = await agent.reply(message, given)
    except errors.PersaisError as error:
        log.warning("an agent could not answer", agent=agent.name, cause=str(error))
        name = "model-unavailable" if isinstance(error, errors.ModelUnavailableError) else "agent-cannot"
        return Reply(
            text=texts.say(context.language, name, cause=texts.explain(context.language, error)), plain=True
        ), False
    except Exception as error:  # generated code may raise anything; the turn must still end with an answer
        log.exception("an agent broke", agent=agent.name, error_type=type(error).__name__)
        told = texts.say(context.language, "agent-broke", title=agent.called(context.language))
        return Reply(text=told, plain=True), True
    reply = said if isinstance(said, Reply) else Reply(text=str(said), plain=True)
    return (reply if reply.text.strip() else None), False


def _activated(agent: Agent, turn: Turn) -> Reply:
    language = turn.user.language
    if agent.name in BUILT_IN:
        return Reply(text=texts.say(language, f"{agent.name}-activated"), plain=True)
    text = texts.say(language, "agent-activated", emoji=agent.emoji, title=agent.called(language))
    return Reply(text=text, plain=True)


def _dumped(replies: list[Reply]) -> list[dict[str, Any]]:
    return [reply.model_dump(mode="json") for reply in replies]


def _builder() -> StateGraph[LaneState, Around, LaneState, LaneState]:
    builder = StateGraph(LaneState, context_schema=Around)
    builder.add_node("classify", _classify)
    builder.add_node("route", _route)
    builder.add_node("answer", _answer)
    builder.add_edge(START, "classify")
    builder.add_conditional_edges("classify", lambda state: END if state.repeated else "route", ["route", END])
    builder.add_edge("route", "answer")
    builder.add_edge("answer", END)
    return builder


class Orchestrator:
    """Turns in, replies out."""

    def __init__(self, registry: Registry, models: Models, database: Database) -> None:
        self.registry = registry
        self._models, self._database = models, database
        self._free: asyncio.LifoQueue[CompiledStateGraph[LaneState, Around, LaneState, LaneState]] = asyncio.LifoQueue()

    async def open(self) -> None:
        """Compile the graphs."""
        pool = await self._database.graph_pool()
        for _ in range(SLOTS):
            self._free.put_nowait(_builder().compile(checkpointer=AsyncPostgresSaver(pool)))

    async def answer(self, turn: Turn) -> Answer:
        """Answer one turn; the lane's state is stored before this returns."""
        around = Around(turn=turn, registry=self.registry, models=self._models, database=self._database)
        graph = await self._free.get()
        try:
            given: Any = {"rest": ""}  # a whole LaneState would put its defaults over what is remembered
            result = await graph.ainvoke(given, _config(turn), context=around, durability="exit")
        finally:
            self._free.put_nowait(graph)
        return Answer(
            agent=result.get("agent", MASTER),  # what no step ever set is not in the state
            replies=tuple(Reply.model_validate(reply) for reply in result["replies"]),
            broke=result.get("broke", False),
        )

    async def forget(self, turn: Turn) -> None:
        """Begin a lane anew: Master answers, and nothing that was said is remembered."""
        await AsyncPostgresSaver(await self._database.graph_pool()).adelete_thread(turn.lane.key)

    async def agent_of(self, turn: Turn) -> str:
        """Name of the agent that a lane talks to."""
        # A graph of its own: /status must answer while agents hold all the others.
        graph = _builder().compile(checkpointer=AsyncPostgresSaver(await self._database.graph_pool()))
        snapshot = await graph.aget_state(_config(turn))
        return str(snapshot.values.get("agent", MASTER)) if snapshot.values else MASTER


def _config(turn: Turn) -> RunnableConfig:
    return {"configurable": {"thread_id": turn.lane.key}}
