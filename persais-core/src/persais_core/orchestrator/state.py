"""What is remembered of a lane, and what the steps of one turn work with.

The state lives in Postgres; of each lane the last one counts, and earlier ones are pruned now and then. It must stay
readable by newer code, so fields are added and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from persais_core.agents.base import Agent
from persais_core.agents.registry import MASTER, Registry
from persais_core.db.engine import Database
from persais_core.domain.chats import Reply, Turn, Value
from persais_core.llm.models import Models, Said

HISTORY = 20  # messages between a person and one agent, after which the older half is summed up
HISTORY_CHARACTERS = 2000  # of each
MOST_MESSAGES = 2 * HISTORY  # with one agent; if there is no summary by then, the oldest are dropped
MOST_IN_LANE = 6 * HISTORY  # of all agents together
DROPPED = "Earlier messages of this conversation are not known any more."


class LaneState(BaseModel):
    """The state of one lane.

    Attributes:
        agent: who answers in this lane from now on.
        answered: who answered this turn.
        history: (agent, role, text), oldest first; an agent sees its own part alone.
        summaries: what was said before that, by agent.
        wanted: the agent this turn asks for, if any.
        rest: the message without a command that chose the agent.
        switched: whether this turn changed the agent.
        back: who gets the lane again after this turn, where another agent only answers it once more.
        passes: how often this turn was handed from one agent to another.
        passing: whether it is on its way to another agent now.
        handed: what the agent that handed it over wants the next one to know.
        replies: what is to be said, as dumped `Reply` values.
        broke: whether the agent's own code raised instead of answering.
        raised: what it raised then; see `raised`.
        asked: whether the agent asked a model, and so may again and want to know what was said.
        turn: number of the last turn that was answered.
        repeated: whether this turn was answered before, by a worker that died before it could say so.
    """

    agent: str = MASTER
    answered: str = MASTER
    broke: bool = False
    raised: str = ""
    asked: bool = False
    turn: int = 0
    repeated: bool = False
    history: list[tuple[str, str, str]] = Field(default_factory=list)
    summaries: dict[str, str] = Field(default_factory=dict)
    wanted: str | None = None
    rest: str = ""
    switched: bool = False
    back: str | None = None
    passes: int = 0
    passing: bool = False
    handed: str = ""
    replies: list[dict[str, Any]] = Field(default_factory=list)


class Answer(Value):
    """What became of a turn.

    Args:
        agent: name of the one that answered.
        broke: whether its own code raised instead.
        raised: what it raised then, without secrets, for whoever mends it.
    """

    agent: str
    replies: tuple[Reply, ...] = ()
    broke: bool = False
    raised: str = ""


@dataclass(frozen=True)
class Around:
    """What the steps work with, besides the state.

    Args:
        registry: the agents that the person who speaks may see.
        everybody: all agents that there are.
        redact: takes secrets out of a text.
        recall: puts what was summed up since the lane's last turn into its state; None where there is nothing.
    """

    turn: Turn
    registry: Registry
    models: Models
    database: Database
    everybody: Registry
    redact: Callable[[str], str]
    recall: Callable[[LaneState], LaneState | None]

    def switched_off(self, word: str) -> Agent | None:
        """The agent of a name or title that nobody can speak to, as far as the person who speaks may know of it."""
        agent = self.everybody.called(word) if self.turn.user.is_admin else None
        return agent if agent is not None and not self.registry.config(agent.name).enabled else None


def seen_by(agent: str, history: Sequence[Sequence[str]]) -> list[Said]:
    """What was said between the user and one agent, oldest first."""
    said: list[Said] = []
    for who, role, text in history:
        if who == agent:
            said.append(("assistant" if role == "assistant" else "user", text))
    return said


def without_oldest(agent: str, count: int, history: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A history without the oldest messages of one agent."""
    kept: list[tuple[str, str, str]] = []
    for entry in history:
        if entry[0] == agent and count > 0:
            count -= 1
        else:
            kept.append(entry)
    return kept


def bounded(
    agent: str, history: list[tuple[str, str, str]], summaries: dict[str, str], *, most: int
) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """A history that stays within its limits, whatever became of the summaries; what is dropped is noted there.

    Args:
        agent: who has just answered.
        most: messages of that agent that are kept.
    """
    summaries = dict(summaries)
    if (over := len(seen_by(agent, history)) - most) > 0:
        history = without_oldest(agent, over, history)
        summaries[agent] = _noted(summaries.get(agent, ""))
    for other, _, _ in history[:-MOST_IN_LANE]:
        summaries[other] = _noted(summaries.get(other, ""))
    return history[-MOST_IN_LANE:], summaries


def _noted(summary: str) -> str:
    return summary if DROPPED in summary else f"{summary} {DROPPED}".strip()
