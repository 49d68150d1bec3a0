"""What an agent has of a turn ends with the turn, and its name gives it no more than others have."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from persais_core.agents.base import Agent
from persais_core.agents.begun import Begun, aside
from persais_core.agents.context import TurnContext
from persais_core.db.records import Record
from persais_core.domain.chats import Message
from persais_core.tools.base import Context
from scripted_openai import ScriptedOpenAI, calls, says
from talks import Begin


class Note(Record):
    """Anything."""

    text: str


class Keeper(Agent):
    """Keeps the first context it is given."""

    name = "keeper"

    def __init__(self) -> None:
        self.kept: list[Context] = []

    async def reply(self, message: Message, context: Context) -> str:
        self.kept.append(context)
        first = self.kept[0]
        match message.text:
            case "ask":
                return await first.ask("again")
            case "user":
                return first.user.name
            case "records":
                return str(first.records(Note))
        return "kept"


class Restless(Agent):
    """Leaves tasks behind: one of its own, two of tasks of its own, and one of a tool."""

    name = "restless"

    def __init__(self) -> None:
        self.begun: list[asyncio.Task[None]] = []

    async def for_ever(self) -> None:
        await asyncio.Event().wait()

    async def begins_another(self) -> None:
        self.begun.append(asyncio.create_task(self.for_ever()))

    async def reply(self, message: Message, context: Context) -> str:
        async def linger(context: Context) -> str:
            """Begin something that goes on."""
            self.begun.append(asyncio.create_task(self.for_ever()))
            return "begun"

        self.begun.append(asyncio.create_task(self.for_ever()))
        await asyncio.create_task(self.begins_another())
        await asyncio.create_task(self.begins_another(), context=contextvars.Context())
        both = await asyncio.gather(context.ask("one", tools=[linger]), asyncio.sleep(0, "two"))
        return " ".join(map(str, both))


class Around:
    """Called the context of a task, and runs what it likes."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, call: Any, *given: Any) -> None:
        self.runs += 1
        call(*given)


class Evading(Agent):
    """Has a task run by an object of its own, or cancels itself."""

    name = "evading"

    def __init__(self) -> None:
        self.around: Any = Around()

    async def reply(self, message: Message, context: Context) -> str:
        if message.text == "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await asyncio.create_task(asyncio.sleep(0), context=self.around)
        return "done"


class EndsOthers(Exception):
    """Says in the bot's own tasks that they are cancelled, and begins one there."""

    asked = 0

    def __str__(self) -> str:
        self.asked += 1
        if self.asked > 1:
            raise asyncio.CancelledError
        return "no"


class RaisesAnother(Exception):
    """Says nothing, but raises what does in the bot's own tasks what it likes."""

    def __str__(self) -> str:
        raise CancelsWhoAsks


class CancelsWhoAsks(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


class Raising(Agent):
    """Raises what does more than to say what went wrong."""

    name = "raising"

    async def reply(self, message: Message, context: Context) -> str:
        async def fail(context: Context) -> str:
            """Fail."""
            raise EndsOthers

        if message.text == "tool":
            return await context.ask("one", tools=[fail])
        if message.text == "another":
            raise RaisesAnother
        try:
            raise KeyError("first")
        except KeyError as error:
            raise EndsOthers from error


class ByHand(Agent):
    """Resumes what it should await, and goes on in the middle of it."""

    name = "by_hand"

    def __init__(self) -> None:
        self.begun: list[asyncio.Task[None]] = []
        self.left: list[Any] = []

    async def for_ever(self) -> None:
        await asyncio.Event().wait()

    async def reply(self, message: Message, context: Context) -> str:
        asked: Any = context.ask("one")
        self.left.append(asked)
        asked.send(None)
        self.begun.append(asyncio.create_task(self.for_ever()))
        return "done"


class Calm:
    """Lets nothing through."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *given: object) -> bool:
        return True


class Posing(Agent):
    """Is called like one of the bot's own."""

    name = "mechanic"

    async def reply(self, message: Message, context: Context) -> str:
        return f"a turn's own context: {isinstance(context, TurnContext)}"


async def test_a_context_that_was_kept_is_of_no_use_in_a_later_turn(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    talk = await begin(Keeper())
    assert (await talk.say("/keeper keep"))[-1] == "kept"
    for word in ("ask", "user", "records"):
        [told] = await talk.say(word)
        assert "this turn is over" in told
    assert openai_server.bodies == []


async def test_tasks_that_an_agent_leaves_behind_are_cancelled_and_those_it_waits_for_are_not(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    agent = Restless()
    talk = await begin(agent)
    openai_server.script(calls("linger"), says("one"))
    assert (await talk.say("/restless go"))[-1] == "one two"
    assert len(agent.begun) == 4
    async with asyncio.timeout(60):
        await asyncio.wait(agent.begun)
    assert all(task.cancelled() for task in agent.begun)


async def test_an_agent_with_the_name_of_one_of_ours_gets_what_agents_get(begin: Begin) -> None:
    talk = await begin(Posing())
    assert (await talk.say("/mechanic hello"))[-1] == "a turn's own context: False"


async def test_a_task_runs_in_no_object_of_an_agents(begin: Begin) -> None:
    agent = Evading()
    talk = await begin(agent)
    await talk.say("/evading go")
    assert talk.last.broke
    assert "contextvars.Context" in talk.last.raised
    assert agent.around.runs == 0


async def test_an_agent_that_cancels_itself_has_broken_and_its_turn_is_answered(begin: Begin) -> None:
    agent = Evading()
    agent.around = None
    talk = await begin(agent)
    assert await talk.say("/evading cancel")
    assert talk.last.broke
    assert "cancelled itself" in talk.last.raised


async def test_an_agent_that_leaves_our_work_in_the_middle_has_its_tasks_noted_all_the_same(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    agent = ByHand()
    talk = await begin(agent)
    openai_server.script(says("one"))
    assert (await talk.say("/by_hand go"))[-1] == "done"
    async with asyncio.timeout(60):
        await asyncio.wait(agent.begun)
    assert agent.begun[0].cancelled()


async def test_our_work_goes_on_to_its_end_where_an_agent_leaves_it_in_the_middle() -> None:
    given_back = asyncio.Event()

    async def holds_a_connection() -> None:
        await asyncio.sleep(0)
        given_back.set()

    left: Any = aside(holds_a_connection())
    left.send(None)
    async with asyncio.timeout(60):
        await given_back.wait()
    left.close()


@pytest.mark.parametrize("way", ["reply", "tool", "another"])
async def test_an_error_is_asked_for_its_words_once_and_not_by_the_bot(
    begin: Begin, openai_server: ScriptedOpenAI, way: str
) -> None:
    talk = await begin(Raising())
    openai_server.script(calls("fail"), says("told"))
    [said] = (await talk.say(f"/raising {way}"))[-1:]
    if way == "tool":
        assert said == "told" or talk.last.broke
    elif way == "another":
        assert talk.last.broke
    else:
        assert talk.last.broke
        assert talk.last.raised.startswith(f"{__name__}.EndsOthers: no")


async def test_code_that_swallows_its_cancellation_is_not_waited_for_and_ends_all_the_same() -> None:
    stay: list[asyncio.Task[Any]] = []
    swallowed, is_free = 0, False

    async def stays() -> None:
        nonlocal swallowed
        task = asyncio.current_task()
        assert task is not None
        stay.append(task)
        while not is_free:
            async with Calm():
                await asyncio.Event().wait()
            swallowed += 1

    async def answers() -> None:
        both = asyncio.create_task(stays())
        await stays()
        await both

    begun = Begun(pause=0.01)
    try:
        with pytest.raises(TimeoutError):
            await begun.run(answers(), seconds=0.05)
        assert [task.done() for task in stay] == [False, False]
        begun.end()
        async with asyncio.timeout(60):
            await asyncio.wait(stay)
        assert swallowed > 2
    finally:
        is_free = True
