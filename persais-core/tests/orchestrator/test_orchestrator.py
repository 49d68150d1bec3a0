"""A turn finds its agent and gets its answer; the lane's state outlives the process."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Message, Reply, Turn
from persais_core.tools.base import Context
from scripted_openai import KEY, ScriptedOpenAI, fails, says
from scripted_openai import Answer as Said
from talks import ANN, Begin, Echo, Poet, Talk, routes


class Broken(Agent):
    """Raises whatever a message names."""

    name = "broken"
    title = {"en": "Broken"}  # noqa: RUF012

    async def reply(self, message: Message, context: Context) -> str | Reply:
        match message.text:
            case "expected":
                raise errors.AgentError("the list is empty")
            case "bug":
                raise ZeroDivisionError("secret detail")
            case "silent":
                return ""
            case "number":
                return 42  # type: ignore[return-value]
        return Reply(text="**fine**")


@pytest.fixture
async def talk(begin: Begin) -> Talk:
    return await begin(Echo(), Broken(), Poet())


async def test_a_command_chooses_its_agent_who_stays(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    assert await talk.say("/echo") == ["🔁 Echo mode activated"]
    assert await talk.say("hello") == ["you said: hello"]
    assert (talk.last.agent, talk.last.broke) == ("echo", False)
    assert await talk.say("a rhyme please") == ["you said: a rhyme please"]
    assert await talk.agent() == "echo"
    assert openai_server.bodies == []


async def test_a_command_with_words_is_answered_at_once(talk: Talk) -> None:
    assert await talk.say("/echo good day") == ["🔁 Echo mode activated", "you said: good day"]


@pytest.mark.parametrize("text", ["/echo", "/ECHO", "/Echo@persais_bot", "/echo\n"])
async def test_commands_are_found_in_every_spelling(talk: Talk, text: str) -> None:
    assert await talk.say(text) == ["🔁 Echo mode activated"]


async def test_the_title_is_told_in_the_persons_language(talk: Talk) -> None:
    [text] = await talk.say("/echo", language="ru")
    assert "Эхо" in text


async def test_a_command_leads_back_to_master(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    await talk.say("/echo")
    assert await talk.say("/master") == ["🧭 Master mode activated"]
    openai_server.script(routes(None), says("I am Master."))
    assert await talk.say("hello") == ["I am Master."]


async def test_a_keyword_chooses_an_agent_from_master_without_a_model(
    talk: Talk, openai_server: ScriptedOpenAI
) -> None:
    assert await talk.say("be a Parrot!") == ["🔁 Echo mode activated", "you said: be a Parrot!"]
    assert openai_server.bodies == []


async def test_keywords_are_whole_words_and_two_agents_are_no_choice(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(routes(None), says("A"), routes(None), says("B"))
    assert await talk.say("parrots everywhere") == ["A"]
    assert await talk.say("a parrot verse") == ["B"]
    assert await talk.agent() == "master"


@pytest.mark.parametrize(
    "text",
    [
        "parrot, hello", "Hello (parrot)!", "«Попугай», привет", "**parrot**", "parrot...please", "say it,\nparrot.",
        "it`s a parrot, isn`t it?", "Parrot: hello", "@parrot hello", "a.b parrot c/d",
    ],
)  # fmt: skip
def test_a_keyword_is_a_word_of_the_sentence_with_whatever_marks_around_it(text: str) -> None:
    found = Registry([Echo()]).by_keyword(text)
    assert found is not None and found.name == "echo"


@pytest.mark.parametrize(
    "text",
    [
        "what does bot/agents/parrot.py do?", "open parrot.py", "my_parrot", "what is `parrot`?",
        "see `the parrot` now",
        "```\nparrot\n```", "```parrot", "https://example.com/parrot", "parrot.example.com", "parrot@example.com",
        "me@parrot.com", "tests/parrot/", "what is /parrot", "C:\\parrot", ".parrot", "попугай.py", "feat/a-parrot-b",
    ],
)  # fmt: skip
def test_a_keyword_in_a_path_an_address_or_code_calls_nobody(text: str) -> None:
    assert Registry([Echo()]).by_keyword(text) is None


async def test_the_small_model_chooses_where_no_keyword_does(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(routes("echo"))
    assert await talk.say("repeat after me") == ["🔁 Echo mode activated", "you said: repeat after me"]
    [body] = openai_server.bodies
    assert body["model"] == "small"


@pytest.mark.parametrize(
    "answer",
    [routes("nobody"), routes("master"), says("no idea"), says("{"), says('["echo"]'), says('{"agent": 5}'), says("{}"),
     says('{"decision": "switch"}'), says('{"decision": "switch", "agent": ["echo"]}'), says('{"decision": "keep"}'),
     fails(401)],
    ids=["unknown", "master", "words", "open", "list", "number", "empty", "nobody", "list of names", "keep", "down"],
)  # fmt: skip
async def test_whatever_the_router_says_master_answers(talk: Talk, openai_server: ScriptedOpenAI, answer: Said) -> None:
    openai_server.script(answer, says("Master here."))
    assert await talk.say("hello") == ["Master here."]


async def test_an_unknown_command_is_told_and_changes_nothing(talk: Talk) -> None:
    await talk.say("/echo")
    [reply] = await talk.replies("/unknown thing")
    assert reply.text == "I know no command /unknown. /help shows what there is."
    assert reply.plain
    assert await talk.agent() == "echo"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("/ehco", "echo"), ("/эхо", "echo"), ("/попугай@persais_bot", "echo"), ("/poets", "poet"), ("/halp me", "help"),
        ("/помощь", "help"), ("/сброс", "reset"),
    ],
)  # fmt: skip
async def test_the_command_that_was_probably_meant_is_named(talk: Talk, said: str, meant: str) -> None:
    [text] = await talk.say(said)
    assert f"Did you mean /{meant}?" in text


@pytest.mark.parametrize("said", ["/rolback", "/mechanik", "/откат", "/échо"])
async def test_what_a_person_may_not_use_is_not_suggested(talk: Talk, said: str) -> None:
    [text] = await talk.say(said)
    assert "mean" not in text


async def test_an_attachment_without_words_is_told_and_one_with_words_is_answered(talk: Talk) -> None:
    await talk.say("/echo")
    [text] = await talk.say("", attachment="voice")
    assert "voice messages" in text
    assert await talk.say("look", attachment="photo") == ["you said: look"]


async def test_what_an_agent_says_as_text_is_shown_as_it_is_and_a_reply_is_markdown(talk: Talk) -> None:
    [plain] = (await talk.replies("/echo **x**"))[1:]
    assert (plain.text, plain.plain) == ("you said: **x**", True)
    [reply] = (await talk.replies("/broken fine"))[1:]
    assert (reply.text, reply.plain) == ("**fine**", False)


async def test_an_agent_that_raises_gets_its_person_an_answer_and_stays(talk: Talk) -> None:
    await talk.say("/broken")
    [expected] = await talk.say("expected")
    assert "the list is empty" in expected
    [bug] = await talk.say("bug")
    assert "Broken" in bug
    assert "secret detail" not in bug
    assert (talk.last.agent, talk.last.broke) == ("broken", True)
    assert await talk.say("silent") == []
    assert await talk.say("number") == ["42"]
    assert await talk.say("fine") == ["**fine**"]


async def test_a_model_that_is_away_is_told_with_the_cause(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(fails(401))
    [_, text] = await talk.say("/poet a line")
    assert "refuses the key" in text
    assert KEY not in text


async def test_a_prompt_agent_sees_the_conversation_so_far(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("one"), says("two"))
    await talk.say("/poet first")
    await talk.say("second")
    said = [(m["role"], m["content"]) for m in openai_server.bodies[-1]["messages"]]
    assert said == [("system", "You are a poet."), ("user", "first"), ("assistant", "one"), ("user", "second")]


async def test_calls_are_booked_to_person_turn_and_agent(
    talk: Talk, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection
) -> None:
    openai_server.script(routes("poet"), says("a line"))
    await talk.say("hello", number=31)
    query = "select purpose, agent, user_id, turn_id from persais.model_calls order by id"
    assert await (await sql.execute(query)).fetchall() == [
        ("route", "master", ANN.id, 31),
        ("answer", "poet", ANN.id, 31),
    ]


async def test_a_turn_that_comes_again_is_not_answered_twice(begin: Begin) -> None:
    echo = Echo()
    talk: Talk = await begin(echo)
    await talk.say("/echo")
    first = await talk.replies("hello", number=50)
    again = await talk.replies("hello", number=50)
    assert first == again
    assert echo.heard == ["hello"]
    assert await talk.say("next", number=51) == ["you said: next"]


async def test_the_lane_is_remembered_by_a_new_process_on_the_same_database(
    begin: Begin,
) -> None:
    before: Talk = await begin(Echo(), Poet())
    await before.say("/echo hello", number=1)
    after: Talk = await begin(Echo(), Poet())
    assert await after.agent() == "echo"
    assert await after.say("again", number=2) == ["you said: again"]


async def test_an_agent_that_was_taken_out_leaves_its_lanes_to_master(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    before: Talk = await begin(Echo(), Poet())
    await before.say("/echo", number=1)
    after: Talk = await begin(Poet())
    openai_server.script(routes(None), says("Master here."), routes(None), says("Still here."))
    gone = "Echo is not here any more; Master answers from here on."
    assert await after.say("hello", number=2) == [gone, "Master here."]
    assert await after.say("hello", number=3) == ["Still here."]
    assert await after.agent() == "master"


async def test_a_lane_that_was_told_that_its_agent_went_is_masters(begin: Begin, openai_server: ScriptedOpenAI) -> None:
    before: Talk = await begin(Echo(), Poet())
    await before.say("/echo", number=1)
    after: Talk = await begin(Poet())
    for gone in ("echo", None):
        async with after.orchestrator.leaving(after.lane) as name:
            assert name == gone
    openai_server.script(routes(None), says("Master here."))
    assert await after.say("hello", number=2) == ["Master here."]


@pytest.mark.parametrize(("group", "told"), [("private", False), ("gone", True)])
async def test_a_group_learns_nothing_of_an_agent_that_others_still_have(
    begin: Begin, openai_server: ScriptedOpenAI, database: Database, group: str, told: bool
) -> None:
    before: Talk = await begin(Echo())
    before.lane = Lane(chat_id=-5)
    await before.say("/echo", number=1)
    await database.run("insert into persais.agents (name, owner, visibility) values ('echo', 5, 'private')", {})
    after: Talk = await begin(*([Echo()] if group == "private" else []))
    after.lane = before.lane
    openai_server.script(says("Master here."))
    assert ("Echo is not here" in (await after.say("hello", number=2))[0]) == told


async def test_a_forgotten_lane_begins_anew_with_master(talk: Talk, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("one"))
    await talk.say("/poet first")
    turn = Turn(id=9, lane=talk.lane, user=ANN, messages=(Message(text="/reset"),))
    for _ in range(2):
        await talk.orchestrator.forget(turn)
    assert await talk.agent() == "master"
    await talk.say("/poet second", number=10)
    assert [m["content"] for m in openai_server.bodies[-1]["messages"]] == ["You are a poet.", "second"]


async def test_each_lane_has_its_own_agent(talk: Talk) -> None:
    topic = Talk(talk.orchestrator, Lane(chat_id=1000001, topic_id=7))
    await talk.say("/echo")
    assert await topic.agent() == "master"
    await topic.say("/broken", number=100)
    assert (await talk.agent(), await topic.agent()) == ("echo", "broken")


async def test_twenty_lanes_at_once_do_not_mix(talk: Talk) -> None:
    lanes = [Talk(talk.orchestrator, Lane(chat_id=chat)) for chat in range(1, 21)]
    answers = await asyncio.gather(*(lane.say(f"/echo {lane.lane.chat_id}") for lane in lanes))
    assert [texts[-1] for texts in answers] == [f"you said: {chat}" for chat in range(1, 21)]


@pytest.mark.parametrize(
    "text", ["/", "//", "/ 2", "/10", "/usr/bin is a path", "/ echo", "hello /echo", "", "   ", "\u202e/echo"]
)
async def test_what_only_looks_like_a_command_is_a_message(
    talk: Talk, openai_server: ScriptedOpenAI, text: str
) -> None:
    openai_server.script(routes(None), says("Master here."))
    if not text.strip():
        openai_server.script(says("Master here."))
    assert await talk.say(text) == ["Master here."]


def test_two_agents_of_one_name_are_refused() -> None:
    with pytest.raises(errors.AgentError, match="two agents are called echo"):
        Registry([Echo(), Echo()])
