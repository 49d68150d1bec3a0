"""The owner's examples, tried: what each agent answers now to what it was once asked to answer.

It is done twice, by this one module. Before a change is offered, `checks.examples` runs the module as a program in the
sandbox: it reads a task on standard input and leaves a report, which is judged outside. Before a new release takes
over, `rehearse` does the same within that release, where time zone, packages and Python are those of the real bot.

Each example meets a fresh agent with nothing stored and no language model, as a test would; what an example leaves
behind in an agent is gone with it. An agent that is a prompt for the model is only loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from persais_core import errors
from persais_core.agents import loader, registry
from persais_core.agents.base import Agent
from persais_core.db import memory
from persais_core.db.records import Record
from persais_core.domain import examples
from persais_core.domain.chats import Language, Message, Reply, User
from persais_core.tools.base import Tool
from persais_core.tools.context import StoreContext

R = TypeVar("R", bound=Record)
T = TypeVar("T")

EACH_SECONDS = 5.0
ALL_SECONDS = 20.0  # of a release that is about to take over
MAX_ANSWER = 5000  # characters that are looked at
REPORT = ".examples.json"


class _NoModelError(errors.ModelError):
    """There is no language model at a rehearsal."""


class _Stage(StoreContext):
    """A context of somebody with nothing stored, and nobody to ask."""

    def __init__(self, language: Language) -> None:
        super().__init__(User(id=1, name="Somebody", language=language), memory.MemoryStore())
        self.was_asked = False

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        self.was_asked = True
        raise _NoModelError("there is no language model at a rehearsal")


async def play(
    agents: Sequence[Agent],
    kept: Sequence[examples.Examples],
    *,
    begin: Callable[[str, examples.Example], None] | None = None,
) -> tuple[examples.Take, ...]:
    """Try every example.

    Args:
        agents: of the project, as they were loaded.
        kept: the examples of each agent.
        begin: called before each example with the agent's name.

    Returns:
        One take for each example, in their order; what an agent raises is a take too.
    """
    by_name = {agent.name: type(agent) for agent in agents}
    takes = []
    for owner in kept:
        for example in owner.examples:
            if begin:
                begin(owner.agent, example)
            outcome, text = await _play_one(by_name.get(owner.agent), example)
            takes.append(
                examples.Take(agent=owner.agent, say=example.say, outcome=outcome, text=_readable(text[:MAX_ANSWER]))
            )
    return tuple(takes)


Outcome = Literal["answered", "raised", "late", "asked", "prompt", "missing"]


async def _play_one(kind: type[Agent] | None, example: examples.Example) -> tuple[Outcome, str]:
    if kind is None:
        return "missing", ""
    if kind.reply is Agent.reply:
        return "prompt", ""
    stage = _Stage(example.language)
    clock = asyncio.timeout(EACH_SECONDS)
    try:
        async with clock:
            said = await kind().reply(Message(text=example.say), stage)
    except Exception as error:  # generated code may raise anything; that is what is to be found out
        if clock.expired():
            return "late", f"{EACH_SECONDS:g}"
        if not stage.was_asked:
            return "raised", f"{type(error).__name__}: {error}"
        said = ""
    if stage.was_asked:
        return "asked", ""  # also where the agent made something of there being no model
    return "answered", said.text if isinstance(said, Reply) else str(said)


def _readable(text: str) -> str:
    """Text that can be written down: half of a character pair is no character."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def rehearse(root: Path, agents: Sequence[Agent], *, seconds: float = ALL_SECONDS) -> str | None:
    """Try the examples of a release that is about to take over.

    It is done in a thread that nothing waits for in the end, so that an agent which never comes back keeps neither this
    release from saying so nor its process from ending.

    Args:
        root: absolute folder that holds `bot/` and `tests/examples`.
        agents: what was loaded from there.
        seconds: for all examples together.

    Returns:
        None, or what does not hold, naming agent and example.

    Raises:
        ExamplesError: a file of examples cannot be used.
    """
    kept = await asyncio.to_thread(examples.read_all, root)
    if not kept:
        return None
    last = ""

    def begin(agent: str, example: examples.Example) -> None:
        nonlocal last
        last = f"{agent} at {examples.shown(example.say)}"

    try:
        takes = await asyncio.wait_for(_apart(play(agents, kept, begin=begin)), seconds)
    except TimeoutError:
        return f"trying the examples took more than {seconds:g} s; the last was {last}"
    wanted = [example for owner in kept for example in owner.examples]
    complaints = (examples.complaint(example, take) for example, take in zip(wanted, takes, strict=True))
    return next((complaint for complaint in complaints if complaint), None)


async def _apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own in a thread that dies with the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = asyncio.run(work)
        except BaseException as error:  # an agent that ends the program ends only this
            failure = errors.AgentError(f"an agent ended its rehearsal by {type(error).__name__}: {error}")
        with contextlib.suppress(RuntimeError):  # the release has given up, and its loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="rehearsal", daemon=True).start()
    return await done


def main() -> None:
    """Try the examples of the task on standard input, and leave a report in the project's folder.

    The task is JSON: `root` and `examples`. The report is JSON: `takes`, or `cause` where the agents cannot be loaded.
    """
    task = json.load(sys.stdin)
    root = Path(task["root"])
    kept = [examples.Examples.model_validate(owner) for owner in task["examples"]]
    try:
        agents = tuple(registry.Registry(loader.load(root)))
        takes = asyncio.run(play(agents, kept, begin=_announce))
        report: dict[str, Any] = {"takes": [take.model_dump() for take in takes]}
    except errors.AgentError as error:
        report = {"cause": _readable(str(error))}
    (root / REPORT).write_text(json.dumps(report), "utf-8")


def _announce(agent: str, example: examples.Example) -> None:
    """Leave a trace of which example a program was at when it was ended."""
    sys.stdout.write(f"\n{agent}: {examples.shown(example.say)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
