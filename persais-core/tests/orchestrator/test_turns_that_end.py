"""What an agent has of a turn ends with the turn, and its name gives it no more than others have."""

from __future__ import annotations

import asyncio

from persais_core.agents.base import Agent
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
    """Leaves tasks behind: one of its own, one of a task of its own, and one of a tool."""

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
        both = await asyncio.gather(context.ask("one", tools=[linger]), asyncio.sleep(0, "two"))
        return " ".join(map(str, both))


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
    assert len(agent.begun) == 3
    async with asyncio.timeout(10):
        await asyncio.wait(agent.begun)
    assert all(task.cancelled() for task in agent.begun)


async def test_an_agent_with_the_name_of_one_of_ours_gets_what_agents_get(begin: Begin) -> None:
    talk = await begin(Posing())
    assert (await talk.say("/mechanic hello"))[-1] == "a turn's own context: False"
