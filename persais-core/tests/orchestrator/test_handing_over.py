"""Who answers is decided with few, small and typed questions, and may be handed on."""

from __future__ import annotations

import pytest
from starlette.responses import JSONResponse

from persais_core.agents.base import Agent
from persais_core.domain.chats import Message, Reply
from persais_core.orchestrator.classify import PROMPT_BYTES
from persais_core.tools.base import Context
from scripted_openai import Answer as Said
from scripted_openai import ScriptedOpenAI, calls, says
from talks import Begin, Echo, Poet, Talk, routes

KEEPS = says('{"decision": "keep"}')


class Clerk(Agent):
    """Files what it is told."""

    name = "clerk"
    title = {"en": "Clerk"}  # noqa: RUF012

    async def reply(self, message: Message, context: Context) -> Reply:
        match message.text:
            case "bye":
                return Reply(text="Filed and closed.", done=True)
            case "what is love?":
                return Reply(text="", done=True)
        return Reply(text="filed")


@pytest.fixture
async def talk(begin: Begin) -> Talk:
    return await begin(Echo(), Poet(), Clerk())


def systems(server: ScriptedOpenAI) -> list[str]:
    return [body["messages"][0]["content"] for body in server.bodies]


def tools(body: dict) -> list[str]:  # type: ignore[type-arg]
    return [tool["function"]["name"] for tool in body.get("tools", [])]


async def test_while_an_agent_holds_the_lane_nobody_else_is_asked(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    await talk.say("/clerk")
    assert await talk.say("anything at all") == ["filed"]
    assert openai_server.bodies == []


async def test_a_keyword_of_another_agent_makes_one_small_question_of_it(
    talk: Talk, openai_server: ScriptedOpenAI
) -> None:
    await talk.say("/clerk")
    openai_server.script(KEEPS)
    assert await talk.say("file this: a parrot") == ["filed"]
    assert [body["model"] for body in openai_server.bodies] == ["small"]
    assert '"current": "clerk"' in openai_server.bodies[0]["messages"][1]["content"]
    openai_server.script(routes("echo"))
    assert await talk.say("parrot, say hello") == ["🔁 Echo mode activated", "you said: parrot, say hello"]
    openai_server.script(routes("clerk"))
    assert await talk.say("one more parrot") == ["you said: one more parrot"]  # its own word asks nobody
    assert openai_server.bodies == []


@pytest.mark.parametrize("answer", [routes(None), routes("poet"), says("no idea")], ids=["unsure", "third", "words"])
async def test_whatever_but_a_clear_call_leaves_the_lane_as_it_is(
    talk: Talk, openai_server: ScriptedOpenAI, answer: Said
) -> None:
    await talk.say("/clerk")
    openai_server.script(answer)
    assert await talk.say("a parrot came by") == ["filed"]
    assert await talk.agent() == "clerk"


async def test_an_answer_that_is_no_decision_is_asked_for_once_more(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("I think echo"), routes("echo"))
    assert await talk.say("repeat after me") == ["🔁 Echo mode activated", "you said: repeat after me"]
    repair = openai_server.bodies[1]["messages"]
    assert [m["role"] for m in repair] == ["system", "user", "assistant", "user"]


async def test_the_routers_question_stays_small_however_many_agents_there_are(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    many = [
        type(f"Agent{n}", (Echo,), {"name": f"agent_number_{n}", "__doc__": "Много слов о деле. " * 20, "keywords": ()})
        for n in range(60)
    ]
    openai_server.script(routes("agent_number_59"))
    talk: Talk = await begin(*(agent() for agent in many))
    await talk.say("длинное сообщение " * 300)
    [body] = openai_server.bodies
    assert sum(len(m["content"].encode()) for m in body["messages"]) <= PROMPT_BYTES
    assert await talk.agent() == "agent_number_59"


async def test_master_hands_over_with_a_summary_and_the_agent_answers_in_the_same_turn(
    talk: Talk, openai_server: ScriptedOpenAI
) -> None:
    openai_server.script(
        routes(None), calls("hand_over", agent="poet", summary="Ann wants an ode to tea."), says("O tea!"), says("O!")
    )
    assert await talk.say("something nice about tea") == ["🤖 Poet mode activated", "O tea!"]
    assert (talk.last.agent, await talk.agent()) == ("poet", "poet")
    assert len(openai_server.bodies) == 3
    assert "Ann wants an ode to tea." in systems(openai_server)[2]
    await talk.say("another line")
    assert "Ann wants an ode to tea." in systems(openai_server)[3]


async def test_without_a_small_model_master_decides_in_the_call_in_which_it_answers(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Echo(), Poet(), classifier_model=None)
    openai_server.script(says("Good day."), calls("hand_over", agent="echo", summary="Ann wants to be repeated."))
    assert await talk.say("hello") == ["Good day."]
    assert "- poet (Poet): Answers in verse." in systems(openai_server)[0]
    [tool] = openai_server.bodies[0]["tools"]
    assert tool["function"]["parameters"]["properties"]["agent"]["enum"] == ["echo", "poet"]
    assert await talk.say("repeat after me") == ["🔁 Echo mode activated", "you said: repeat after me"]
    assert len(openai_server.bodies) == 2


async def test_where_it_can_call_no_tool_it_is_asked_as_the_router(begin: Begin, openai_server: ScriptedOpenAI) -> None:
    refusal = {"error": {"message": "this model does not support tools", "type": "x", "code": 400}}
    talk: Talk = await begin(Echo(), Poet(), classifier_model=None)
    openai_server.script(lambda _: JSONResponse(refusal, 400), says("Good day."), routes("echo"))
    assert await talk.say("hello") == ["Good day."]
    assert await talk.say("repeat after me") == ["🔁 Echo mode activated", "you said: repeat after me"]


async def test_master_is_told_of_an_agent_that_is_not_there(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(routes(None), calls("hand_over", agent="mechanic", summary="x"), says("I stay."))
    assert await talk.say("something") == ["I stay."]
    assert "there is no agent mechanic" in openai_server.bodies[2]["messages"][-1]["content"]
    assert await talk.agent() == "master"


async def test_a_prompt_agent_gives_back_what_is_not_for_it(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    await talk.say("/poet")
    openai_server.script(calls("hand_over", summary="Ann asks about taxes."), says("Ask a lawyer."))
    assert await talk.say("how do I pay taxes?") == ["🧭 Master mode activated", "Ask a lawyer."]
    assert "Ann asks about taxes." in systems(openai_server)[1]
    assert (talk.last.agent, await talk.agent()) == ("master", "master")


async def test_a_turn_is_not_handed_round_for_ever(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    await talk.say("/poet")
    to_master, to_poet = calls("hand_over", summary="x"), calls("hand_over", agent="poet", summary="y")
    openai_server.script(to_master, to_poet, to_master, says("Enough."))
    assert (await talk.say("hot potato"))[-1] == "Enough."
    assert tools(openai_server.bodies[-1]) == []


async def test_a_code_agent_that_is_done_leaves_the_lane_to_master(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    await talk.say("/clerk")
    assert await talk.say("bye") == ["Filed and closed."]
    assert (talk.last.agent, await talk.agent()) == ("clerk", "master")
    assert openai_server.bodies == []


async def test_what_a_code_agent_says_is_not_for_it_is_answered_by_master_at_once(
    talk: Talk, openai_server: ScriptedOpenAI
) -> None:
    await talk.say("/clerk")
    openai_server.script(says("Love is a word."))
    assert await talk.say("what is love?") == ["🧭 Master mode activated", "Love is a word."]


async def test_a_model_that_calls_no_tools_is_asked_without_them(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    refusal = {"error": {"message": "No endpoints found that support tool use", "type": "x", "code": 404}}
    await talk.say("/poet")
    openai_server.script(lambda _: JSONResponse(refusal, 404), says("one"), says("two"))
    assert await talk.say("first") == ["one"]
    assert await talk.say("second") == ["two"]
    assert [tools(body) for body in openai_server.bodies] == [["hand_over"], [], []]
