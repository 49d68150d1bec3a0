"""A long conversation is bounded: its older half becomes a summary, made beside the turns."""

from __future__ import annotations

import json
from typing import Any

from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Message, Turn
from persais_core.orchestrator.graph import PRUNE_EVERY
from persais_core.orchestrator.state import DROPPED, HISTORY, HISTORY_CHARACTERS, MOST_MESSAGES
from scripted_openai import ScriptedOpenAI, fails, says
from talks import ANN, Begin, Echo, Poet, Talk

PAIRS = HISTORY // 2


async def exchange(talk: Talk, count: int) -> None:
    for number in range(count):
        await talk.say(f"line {talk.number} {number}")


def seen(body: dict[str, Any]) -> tuple[str, list[str]]:
    """What the model was told by the system, and what was said."""
    return body["messages"][0]["content"], [m["content"] for m in body["messages"][1:]]


async def test_the_older_half_is_summed_up_after_the_reply_and_carried_from_then_on(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Poet())
    openai_server.script(says("verse"))
    await talk.say("/poet my name is Ann")
    await exchange(talk, PAIRS - 1)
    await talk.orchestrator.summaries.settle()
    assert {body["model"] for body in openai_server.bodies} == {"anthropic/claude-sonnet-4.5"}
    openai_server.script(says("verse"), says("She is called Ann."), says("verse"))
    await talk.say("one more " + "x" * 5000)
    await talk.orchestrator.summaries.settle()
    answer, summary = openai_server.bodies
    assert (summary["model"], answer["model"]) == ("small", "anthropic/claude-sonnet-4.5")
    said = json.loads(summary["messages"][1]["content"])
    assert said["messages"][0] == {"role": "user", "text": "my name is Ann"}
    await talk.say("what am I called?")
    system, words = seen(openai_server.bodies[-1])
    assert "She is called Ann." in system
    assert len(words) == HISTORY // 2 + 1
    assert "my name is Ann" not in words
    assert max(map(len, words)) <= HISTORY_CHARACTERS
    await talk.say("and still?")
    assert "She is called Ann." in seen(openai_server.bodies[-1])[0]


async def test_without_a_model_for_it_the_oldest_messages_are_dropped_with_a_note(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return (fails(401) if body["model"] == "small" else says("verse"))(body)

    talk: Talk = await begin(Poet())
    openai_server.script(answer)
    await talk.say("/poet")
    await exchange(talk, MOST_MESSAGES // 2)
    await talk.orchestrator.summaries.settle()
    assert DROPPED not in seen(openai_server.bodies[-2])[0]
    await exchange(talk, 2)
    await talk.orchestrator.summaries.settle()
    told = [seen(body) for body in openai_server.bodies if body["model"] != "small"][-1]
    assert DROPPED in told[0]
    assert len(told[1]) == MOST_MESSAGES + 1


async def test_a_summary_of_a_conversation_that_was_forgotten_is_forgotten_too(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Poet())
    openai_server.script(says("verse"))
    await talk.say("/poet a secret")
    await exchange(talk, PAIRS)
    await talk.orchestrator.summaries.settle()
    await talk.orchestrator.forget(Turn(id=0, lane=talk.lane, user=ANN, messages=(Message(text="/reset"),)))
    openai_server.script(says("verse"))
    await talk.say("/poet again")
    assert seen(openai_server.bodies[-1]) == ("You are a poet.", ["again"])


async def test_what_a_lane_was_before_is_not_kept_for_ever(
    begin: Begin, database: Database, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Poet())
    openai_server.script(says("verse"))
    await talk.say("/poet hello", number=PRUNE_EVERY - 1)
    other = Talk(talk.orchestrator, Lane(chat_id=5))
    await other.say("/poet hello", number=1)
    count = "select thread_id, count(*) as number from checkpoints group by thread_id order by thread_id"
    for number in range(PRUNE_EVERY - 3, PRUNE_EVERY + 1):
        await talk.say("more", number=number)
    assert await database.run(count, {}) == [
        {"thread_id": talk.lane.key, "number": 1},
        {"thread_id": other.lane.key, "number": 1},
    ]
    await talk.say("and now", number=PRUNE_EVERY + 1)
    assert seen(openai_server.bodies[-1])[1] == ["hello", "verse", *["more", "verse"] * 4, "and now"]


async def test_that_an_agent_could_not_answer_is_not_shown_to_its_model_as_its_own_words(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Poet())
    openai_server.script(says("verse"))
    await talk.say("/poet hello")
    openai_server.script(fails(401))
    assert "refuses the key" in (await talk.say("lost"))[-1]
    openai_server.script(says("verse"))
    await talk.say("again")
    assert seen(openai_server.bodies[-1])[1] == ["hello", "verse", "again"]


async def test_an_agent_that_asks_no_model_costs_no_summary(begin: Begin, openai_server: ScriptedOpenAI) -> None:
    talk: Talk = await begin(Echo(), Poet())
    await talk.say("/echo")
    await exchange(talk, HISTORY)
    await talk.orchestrator.summaries.settle()
    assert openai_server.bodies == []
