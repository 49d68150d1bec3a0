"""Long conversations are summed up beside the turns, so that no reply waits for it.

When a person and an agent have exchanged more than `HISTORY` messages, the small model sums up the older half after
the reply is on its way. The next turn of the lane then carries the summary instead of those messages. Should the model
be away, the conversation goes on growing to twice that length, and only then its oldest messages are dropped, with a
note. A summary that is lost with its process is simply made again after the next turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import structlog

from persais_core import errors
from persais_core.domain.chats import Turn
from persais_core.llm.models import Booking, Models, Said
from persais_core.orchestrator.state import HISTORY, LaneState, seen_by, without_oldest

log = structlog.get_logger(__name__)

SUMMARY_CHARACTERS = 2000
WITHIN = 60.0  # seconds
MOST_WAITING = 1000  # summaries of lanes that never came back; the oldest are forgotten


@dataclass(frozen=True)
class _Ready:
    """A summary, and which messages it stands for."""

    count: int
    digest: str
    text: str


class Summaries:
    """Makes summaries and puts them in."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._ready: dict[tuple[str, str], _Ready] = {}

    def put_in(self, lane: str, state: LaneState) -> LaneState | None:
        """The state with the summaries that were made meanwhile; None where there are none.

        One counts only if the messages it stands for are still the oldest ones: the lane may have been begun anew.
        """
        changed = None
        for key in [key for key in self._ready if key[0] == lane]:
            ready, agent = self._ready.pop(key), key[1]
            current = changed or state
            if _digest(seen_by(agent, current.history)[: ready.count]) != ready.digest:
                continue
            history = without_oldest(agent, ready.count, current.history)
            changed = current.model_copy(
                update={"history": history, "summaries": current.summaries | {agent: ready.text}}
            )
        return changed

    def begin(self, turn: Turn, state: LaneState) -> None:
        """Start to sum up what the agent that has just answered can no longer keep whole; returns at once."""
        agent = state.answered
        own, key = seen_by(agent, state.history), (turn.lane.key, agent)
        if not state.asked or len(own) <= HISTORY or key in self._tasks or key in self._ready:
            return
        covered = own[: len(own) - HISTORY // 2]
        making = self._make(key, turn, covered, state.summaries.get(agent, ""))
        task = asyncio.create_task(making, name=f"summary {turn.lane.key}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def settle(self) -> None:
        """Return when no summary is being made."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            await asyncio.sleep(0)  # the callbacks that take them off the list

    async def close(self) -> None:
        """Give up what is being made."""
        for task in self._tasks.values():
            task.cancel()
        await self.settle()

    async def _make(self, key: tuple[str, str], turn: Turn, covered: list[Said], before: str) -> None:
        system = (resources.files("persais_core.orchestrator") / "summary.md").read_text("utf-8")
        said = [{"role": role, "text": text} for role, text in covered]
        asked = json.dumps({"earlier": before, "messages": said}, ensure_ascii=False)
        booking = Booking(purpose="summary", user_id=turn.user.id, turn_id=turn.id, agent=key[1])
        messages: list[Said] = [("system", system), ("user", asked)]
        try:
            text = await self._models.ask(messages, booking, model=self._models.classifier, timeout_seconds=WITHIN)
        except errors.PersaisError as error:
            log.info("a conversation could not be summed up; it is tried again after the next turn", cause=str(error))
            return
        except Exception as error:  # nobody waits for this task, so nobody else would hear of it
            log.exception("summing up broke", error_type=type(error).__name__)
            return
        self._ready[key] = _Ready(len(covered), _digest(covered), text.strip()[:SUMMARY_CHARACTERS])
        while len(self._ready) > MOST_WAITING:
            del self._ready[next(iter(self._ready))]


def _digest(said: Sequence[Said]) -> str:
    return hashlib.sha256(json.dumps(list(said)).encode()).hexdigest()
