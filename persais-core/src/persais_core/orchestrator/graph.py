"""classify -> route -> answer: one turn through LangGraph, its state kept in Postgres per lane.

The state holds which agent the lane talks to and the recent conversation. An answer may be handed on to another agent
once or twice before it is one. The agents are those that the person who speaks may see, as their owner has set them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StateSnapshot

from persais_core.agents.registry import MASTER, Registry
from persais_core.agents.visibility import Roster
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Reply, Turn, User
from persais_core.llm.models import Models
from persais_core.orchestrator.answer import answer
from persais_core.orchestrator.classify import classify
from persais_core.orchestrator.route import route
from persais_core.orchestrator.state import Answer, Around, LaneState
from persais_core.orchestrator.summaries import Summaries
from persais_core.security.redact import Redactor

log = structlog.get_logger(__name__)

PRUNE_EVERY = 17  # turns; a prime, so that lanes which answer each other by turns all come to it
SLOTS = 4  # graphs in use at once; LangGraph's saver lets one call in at a time


def _builder() -> StateGraph[LaneState, Around, LaneState, LaneState]:
    builder = StateGraph(LaneState, context_schema=Around)
    builder.add_node("classify", classify)
    builder.add_node("route", route)
    builder.add_node("answer", answer)
    builder.add_edge(START, "classify")
    builder.add_conditional_edges("classify", _after_classify, ["route", END])
    builder.add_edge("route", "answer")
    builder.add_node("give_back", _give_back)
    builder.add_conditional_edges("answer", _after_answer, ["answer", "give_back", END])
    builder.add_edge("give_back", END)
    return builder


# Coroutines, for the library calls a plain function in a thread, which costs more than all that it does.
async def _after_classify(state: LaneState) -> str:
    return END if state.repeated else "route"


async def _after_answer(state: LaneState) -> str:
    if state.passing:
        return "answer"
    return END if state.back is None else "give_back"


async def _give_back(state: LaneState) -> dict[str, Any]:
    return {"agent": state.back, "back": None}


class Orchestrator:
    """Turns in, replies out.

    Args:
        registry: all agents that there are.
        redactor: takes keys out of what is kept of an agent's errors.
    """

    def __init__(self, registry: Registry, models: Models, database: Database, redactor: Redactor) -> None:
        self.registry, self.roster = registry, Roster(registry, database)
        self.summaries = Summaries(models)
        self._models, self._database, self._redactor = models, database, redactor
        self._free: asyncio.LifoQueue[CompiledStateGraph[LaneState, Around, LaneState, LaneState]] = asyncio.LifoQueue()

    async def open(self) -> None:
        """Compile the graphs."""
        pool = await self._database.graph_pool()
        for _ in range(SLOTS):
            self._free.put_nowait(_builder().compile(checkpointer=AsyncPostgresSaver(pool)))

    async def close(self) -> None:
        """Give up what is done beside the turns."""
        await self.summaries.close()

    async def answer(self, turn: Turn) -> Answer:
        """Answer one turn; the lane's state is stored before this returns."""
        seen = await self.roster.seen_by(turn.user)
        around = Around(
            turn=turn,
            registry=seen,
            models=self._models,
            database=self._database,
            everybody=self.registry,
            redact=self._redactor.text,
            recall=functools.partial(self.summaries.put_in, turn.lane.key),
        )
        graph = await self._free.get()
        try:
            given: Any = {"rest": ""}  # a whole LaneState would put its defaults over what is remembered
            result = await graph.ainvoke(given, _config(turn.lane), context=around, durability="exit")
        finally:
            self._free.put_nowait(graph)
        if turn.id % PRUNE_EVERY == 0:
            await self._prune(turn)
        state = LaneState.model_validate(result)
        self.summaries.begin(turn, state)
        return Answer(
            agent=state.answered,
            replies=tuple(Reply.model_validate(reply) for reply in state.replies),
            broke=state.broke,
            raised=state.raised,
        )

    def _is_gone(self, agent: str) -> bool:
        return self.registry.find(agent) is None

    async def _prune(self, turn: Turn) -> None:
        """Throw away the states that a lane was in before: each holds its whole history, and nobody goes back there."""
        saver = AsyncPostgresSaver(await self._database.graph_pool())
        try:
            await saver.aprune([turn.lane.key])
        except psycopg.OperationalError as error:  # something else wrote there at the same moment; next time then
            log.info("the earlier states of a lane stay for now", error_type=type(error).__name__)

    async def forget(self, turn: Turn) -> None:
        """Begin a lane anew: Master answers, and nothing that was said is remembered."""
        await AsyncPostgresSaver(await self._database.graph_pool()).adelete_thread(turn.lane.key)

    async def agent_of(self, turn: Turn) -> str:
        """Name of the agent that a lane talks to."""
        return _holder(await (await self._own_graph()).aget_state(_config(turn.lane)))

    @contextlib.asynccontextmanager
    async def leaving(self, lane: Lane) -> AsyncIterator[str | None]:
        """Give a lane whose agent is not there any more to Master, once the block has said so.

        Yields:
            The name of that agent; None where the lane's agent is there.
        """
        graph = await self._own_graph()
        holder = _holder(await graph.aget_state(_config(lane)))
        if not self._is_gone(holder):
            yield None
            return
        yield holder
        await graph.aupdate_state(_config(lane), {"agent": MASTER}, as_node="answer")

    async def _own_graph(self) -> CompiledStateGraph[LaneState, Around, LaneState, LaneState]:
        """A graph that waits for no turn: /status must answer while agents hold all the others."""
        return _builder().compile(checkpointer=AsyncPostgresSaver(await self._database.graph_pool()))

    async def seen_by(self, user: User) -> Registry:
        """The agents that somebody may speak to."""
        return await self.roster.seen_by(user)


def _holder(snapshot: StateSnapshot) -> str:
    """The agent that a lane talks to."""
    return str(snapshot.values.get("agent", MASTER)) if snapshot.values else MASTER


def _config(lane: Lane) -> RunnableConfig:
    return {"configurable": {"thread_id": lane.key}}
