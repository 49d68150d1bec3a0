"""The door to the language model, against a scripted server."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

import httpx
import openai
import psycopg
import pytest
from pydantic import Field

from persais_core import errors, texts
from persais_core.db.engine import Database
from persais_core.db.records import Record
from persais_core.llm import failures, thoughts
from persais_core.llm.models import LAST_ROUND, MAX_TOOL_ROUNDS, Booking, Models, Said, as_data
from persais_core.llm.tools import bind
from persais_core.settings import Settings
from scripted_openai import KEY, ScriptedOpenAI, calls, fails, junk, says

HELLO: list[Said] = [("system", "Be kind."), ("user", "Hello")]
BOOKING = Booking(purpose="test", user_id=5, turn_id=6, change_id=7)


def settings(url: str, **changes: Any) -> Settings:
    return Settings(_env_file=None, llm_base_url=url, llm_api_key=KEY, **changes)


@pytest.fixture
def models(openai_server: ScriptedOpenAI, database: Database) -> Models:
    return Models(settings(openai_server.url, default_model="vendor/big-1"), database)


async def booked(sql: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
    query = (
        "select purpose, user_id, turn_id, change_id, model, tokens_in, tokens_out, cost from persais.model_calls "
        "order by id"
    )
    return await (await sql.execute(query)).fetchall()


async def add(context: str, left: int, right: int = 2) -> int:
    """Add two numbers."""
    assert context == "the context"
    return left + right


async def refuse(context: str, name: str) -> str:
    """Always in vain."""
    raise errors.AgentError(f"no {name} here")


async def test_the_text_of_the_answer_comes_back(models: Models, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("Good day!"))
    assert await models.ask(HELLO, BOOKING) == "Good day!"
    [body] = openai_server.bodies
    assert body["model"] == "vendor/big-1"
    assert [(m["role"], m["content"]) for m in body["messages"]] == [("system", "Be kind."), ("user", "Hello")]
    assert openai_server.keys == [f"Bearer {KEY}"]


async def test_another_model_is_asked_by_its_name(models: Models, openai_server: ScriptedOpenAI) -> None:
    await models.ask(HELLO, BOOKING, model="vendor/small-codex")
    assert openai_server.bodies[0]["model"] == "vendor/small-codex"


def test_a_model_that_is_not_named_is_the_default_one(database: Database) -> None:
    models = Models(settings("http://127.0.0.1:1/v1", default_model="big", coder_model="code"), database)
    assert (models.default, models.classifier, models.coder) == ("big", "big", "code")


async def test_tokens_and_cost_are_booked_to_whom_the_call_was_for(
    models: Models, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection
) -> None:
    openai_server.script(says("Hi", prompt_tokens=120, completion_tokens=30, cost=0.0125))
    await models.ask(HELLO, BOOKING)
    assert await booked(sql) == [("test", 5, 6, 7, "vendor/big-1", 120, 30, 0.0125)]


async def test_an_answer_without_usage_costs_nothing_known(
    models: Models, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection
) -> None:
    message = {"role": "assistant", "content": "Hi"}
    bare = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "model": "m"}
    openai_server.script(junk(json.dumps(bare).encode()))
    assert await models.ask(HELLO, BOOKING) == "Hi"
    assert [row[5:] for row in await booked(sql)] == [(0, 0, 0.0)]


@pytest.mark.parametrize("cost", ["free", -1000.0, float("nan"), float("inf"), 1e300])
async def test_a_cost_that_cannot_be_one_is_not_booked_since_it_would_lift_the_caps(
    models: Models, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection, cost: object
) -> None:
    message = {"role": "assistant", "content": "Hi"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": cost}
    odd = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": usage}
    openai_server.script(junk(json.dumps(odd).encode()))
    assert await models.ask(HELLO, BOOKING) == "Hi"
    assert [row[5:] for row in await booked(sql)] == [(1, 2, 0.0)]


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_silence_is_told_as_such_and_booked(
    models: Models, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection, text: str
) -> None:
    openai_server.script(says(text))
    with pytest.raises(errors.ModelError, match="nothing at all"):
        await models.ask(HELLO, BOOKING)
    assert len(await booked(sql)) == 1


async def test_a_tool_is_called_and_its_result_told_to_the_model(
    models: Models, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection
) -> None:
    openai_server.script(calls("add", left=40), says("It is 42."))
    assert await models.ask(HELLO, BOOKING, tools=[bind(add, "the context")]) == "It is 42."
    first, second = openai_server.bodies
    [tool] = first["tools"]
    assert (tool["function"]["name"], tool["function"]["description"]) == ("add", "Add two numbers.")
    assert set(tool["function"]["parameters"]["properties"]) == {"left", "right"}
    assert tool["function"]["parameters"]["required"] == ["left"]
    assert second["messages"][-1] == {"role": "tool", "content": as_data("42"), "tool_call_id": "call-1"}
    assert len(await booked(sql)) == 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (calls("add", left="many"), "valid integer"),
        (calls("add"), "left"),
        (calls("no_such_tool", x=1), "there is no tool no_such_tool"),
        (calls("refuse", name="dog"), "no dog here"),
    ],
    ids=["wrong type", "missing", "unknown", "refuses"],
)
async def test_a_tool_that_fails_is_told_to_the_model_and_not_raised(
    models: Models, openai_server: ScriptedOpenAI, call: Any, told: str
) -> None:
    openai_server.script(call, says("Sorry."))
    tools = [bind(add, "the context"), bind(refuse, "the context")]
    assert await models.ask(HELLO, BOOKING, tools=tools) == "Sorry."
    assert told in openai_server.bodies[1]["messages"][-1]["content"]


def broken_call(*others: dict[str, Any]) -> Any:
    """A completion with a call whose arguments were cut short, beside others."""
    broken = {"id": "cut", "type": "function", "function": {"name": "add", "arguments": '{"left": 4'}}
    message = {"role": "assistant", "content": None, "tool_calls": [broken, *others]}
    made = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "model": "m"}
    return junk(json.dumps(made).encode())


async def test_a_call_that_cannot_be_read_is_answered_too_and_the_conversation_goes_on(
    models: Models, openai_server: ScriptedOpenAI
) -> None:
    good = {"id": "good", "type": "function", "function": {"name": "add", "arguments": '{"left": 40}'}}
    openai_server.script(broken_call(), broken_call(good), says("It is 42."))
    assert await models.ask(HELLO, BOOKING, tools=[bind(add, "the context")]) == "It is 42."
    _, second, third = openai_server.bodies
    assert second["messages"][-1]["tool_call_id"] == "cut"
    assert 'the arguments are no JSON: {"left": 4' in second["messages"][-1]["content"]
    said = third["messages"]
    calls_made = [call for message in said for call in message.get("tool_calls", ())]
    assert [json.loads(call["function"]["arguments"]) for call in calls_made] == [{}, {"left": 40}, {}]
    assert [m["tool_call_id"] for m in said if m["role"] == "tool"] == ["cut", "good", "cut"]
    assert said[-2]["content"] == as_data("42")


class Book(Record):
    """A schema as a project has it, without its table."""

    title: str
    due: date | None = None


async def shelf(context: str, size: Annotated[int, Field(le=3)] = 1) -> list[Book]:
    """Show the shelf.

    Args:
        context: of the turn,
            which the model does not give.
        size: how many at most.
    """
    return [Book(id=9, title="Ода", due=date(2026, 5, 1), created_by=77)] * size


async def test_a_tool_is_described_without_its_context_and_its_records_are_read_as_json(
    models: Models, openai_server: ScriptedOpenAI
) -> None:
    openai_server.script(calls("shelf"), says("One book."))
    await models.ask(HELLO, BOOKING, tools=[bind(shelf, "the context")])
    first, second = openai_server.bodies
    [tool] = first["tools"]
    assert tool["function"]["description"] == "Show the shelf.\n\nArgs:\n    size: how many at most."
    assert tool["function"]["parameters"]["properties"]["size"]["maximum"] == 3
    told = as_data('[{"id": 9, "title": "Ода", "due": "2026-05-01"}]')
    assert second["messages"][-1]["content"] == told


async def test_a_model_that_only_calls_tools_is_stopped(models: Models, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(calls("add", left=1))
    with pytest.raises(errors.ModelError, match="never answered"):
        await models.ask(HELLO, BOOKING, tools=[bind(add, "the context")])
    assert len(openai_server.bodies) == MAX_TOOL_ROUNDS + 1


@pytest.mark.parametrize("refuses", [False, True], ids=["it is taken", "no model takes that wish"])
async def test_after_the_last_round_the_model_is_told_to_answer_and_may_call_nothing(
    models: Models, openai_server: ScriptedOpenAI, refuses: bool
) -> None:
    rounds = [calls("add", left=1)] * MAX_TOOL_ROUNDS
    refused = [fails(404, "no endpoint supports the tool_choice value")] if refuses else []
    openai_server.script(*rounds, *refused, says("Three."))
    assert await models.ask(HELLO, BOOKING, optional_tools=[bind(add, "the context")]) == "Three."
    *called, last = openai_server.bodies[: MAX_TOOL_ROUNDS + 1]
    assert all(LAST_ROUND not in body["messages"][-1]["content"] and "tool_choice" not in body for body in called)
    assert (last["messages"][-1]["content"], last["tool_choice"]) == (f"{as_data('3')}\n\n{LAST_ROUND}", "none")
    if refuses:
        assert not {"tools", "tool_choice"} & openai_server.bodies[-1].keys()
    assert models.calls_tools("vendor/big-1")


@pytest.mark.parametrize(
    "said",
    [
        "<think>He says hello. {}</think>\n\nGood day!",
        "\n<Thinking>\nhm\n</thinking>\n<think></think>Good day!",
        "He says\nhello.\n</think>\n\nGood day!",
    ],
)
async def test_what_a_model_thinks_aloud_is_no_part_of_its_answer(
    models: Models, openai_server: ScriptedOpenAI, said: str
) -> None:
    openai_server.script(says(said))
    assert await models.ask(HELLO, BOOKING) == "Good day!"


@pytest.mark.parametrize(
    "said", ["Write <think>so</think>.", "Write <think>\nso\n</think>\nthen", "a </think> b", "<b>"]
)
def test_an_answer_that_is_about_thoughts_is_left_as_it_is(said: str) -> None:
    assert thoughts.without(said) == said


async def test_a_model_that_only_thinks_is_silent(models: Models, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("<think>I have no room left for"))
    with pytest.raises(errors.ModelError, match="nothing at all"):
        await models.ask(HELLO, BOOKING)


@pytest.mark.parametrize(
    ("answer", "told", "calls_made"),
    [
        (fails(401), "refuses the key; check LLM_API_KEY", 1),
        (fails(403), "status 403", 1),
        (fails(402), "status 402", 1),
        (fails(404), "no model vendor/big-1; check DEFAULT_MODEL", 1),
        (fails(400), "status 400", 1),
        (fails(429), "too often", 3),
        (fails(500), "status 500", 3),
        (fails(503), "status 503", 3),
    ],
)
async def test_each_refusal_of_the_server_names_what_to_check_and_never_the_key(
    models: Models, openai_server: ScriptedOpenAI, answer: Any, told: str, calls_made: int
) -> None:
    openai_server.script(answer)
    with pytest.raises(errors.ModelUnavailableError) as caught:
        await models.ask(HELLO, BOOKING)
    assert told in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(openai_server.bodies) == calls_made


async def test_a_failure_that_passes_is_not_noticed(models: Models, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(fails(503), fails(429), says("Here I am."))
    assert await models.ask(HELLO, BOOKING) == "Here I am."


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Please log in</html>", b"", b"{", b"null", b"[]", b'"text"', b"{}", b'{"choices": []}',
        b'{"choices": 5}', b'{"choices": null}', b'{"choices": [{}]}', b'{"error": {"message": "no"}}',
        b'{"choices": [{"index": 0, "message": null}]}',
        b'{"choices": [{"index": 0, "message": {"role": "assistant"}}], "usage": "much"}',
    ],
)  # fmt: skip
async def test_junk_with_status_200_is_unavailable_and_nothing_worse(
    models: Models, openai_server: ScriptedOpenAI, content: bytes
) -> None:
    openai_server.script(junk(content))
    with pytest.raises(errors.ModelUnavailableError, match="no answer"):
        await models.ask(HELLO, BOOKING)


async def test_a_web_page_instead_of_the_server_is_unavailable(models: Models, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(junk(b"<html>Please log in</html>", "text/html"))
    with pytest.raises(errors.ModelUnavailableError):
        await models.ask(HELLO, BOOKING)


async def test_an_answer_that_is_too_late_is_told_with_its_limit(
    openai_server: ScriptedOpenAI, database: Database
) -> None:
    openai_server.script(None)
    models = Models(settings(openai_server.url), database, timeout_seconds=2.0)
    # What is told is what was left of the limit when the question went out.
    with pytest.raises(errors.ModelUnavailableError, match=r"did not answer within (0\.\d|1\.\d|1|2) s"):
        await models.ask(HELLO, BOOKING)


async def test_a_server_that_is_not_there_names_what_to_check(database: Database) -> None:
    models = Models(settings("http://127.0.0.1:1/v1"), database)
    with pytest.raises(errors.ModelUnavailableError, match="check the network and LLM_BASE_URL"):
        await models.ask(HELLO, BOOKING)


def test_only_what_is_set_is_to_be_checked() -> None:
    usual = Settings(_env_file=None, openrouter_api_key=KEY, llm_base_url=None, llm_api_key=None)
    unasked: Any = httpx.Request("POST", "https://model.example")
    refused: Any = httpx.Response(401, request=unasked)
    for error, told, russian in (
        (openai.APIConnectionError(request=unasked), "the network and a proxy or firewall", "файрвол"),
        (openai.AuthenticationError("no", response=refused, body=None), "OPENROUTER_API_KEY", "OPENROUTER_API_KEY"),
    ):
        with pytest.raises(errors.ModelUnavailableError, match=told) as caught, failures.translated("m", 1.0, usual):
            raise error
        both = texts.explain("en", caught.value), texts.explain("ru", caught.value)
        assert told in both[0] and russian in both[1]
        assert "LLM_" not in str(caught.value) + both[0] + both[1]


async def test_what_the_coder_spent_is_booked_too(database: Database, sql: psycopg.AsyncConnection) -> None:
    models = Models(settings("http://127.0.0.1:1/v1"), database)
    await models.book("vendor/code", Booking(purpose="code", change_id=3), 10, 20, 0.5)
    assert await booked(sql) == [("code", None, None, 3, "vendor/code", 10, 20, 0.5)]


async def test_warming_up_needs_no_server(database: Database) -> None:
    await Models(settings("http://127.0.0.1:1/v1"), database).warm()


async def test_nobody_is_asked_once_a_cap_is_reached(
    openai_server: ScriptedOpenAI, database: Database, sql: psycopg.AsyncConnection
) -> None:
    capped = Models(settings(openai_server.url, max_cost_per_change=1.0, max_cost_per_day=2.0), database)
    mine, change = Booking(purpose="test", user_id=5), Booking(purpose="code", change_id=7)
    assert await capped.check_budget(Booking(purpose="test")) == float("inf")
    assert (await capped.check_budget(mine), await capped.check_budget(change)) == (2.0, 1.0)
    await capped.book("m", BOOKING, 1, 1, 0.75)
    await capped.book("m", Booking(purpose="test", user_id=6, change_id=8), 1, 1, 50.0)
    assert (await capped.check_budget(mine), await capped.check_budget(change)) == (1.25, 0.25)
    await capped.book("m", change, 1, 1, 0.25)
    with pytest.raises(errors.BudgetError, match="MAX_COST_PER_CHANGE"):
        await capped.ask(HELLO, change)
    await capped.book("m", mine, 1, 1, 1.25)
    with pytest.raises(errors.BudgetError, match="MAX_COST_PER_DAY"):
        await capped.ask(HELLO, mine)
    assert openai_server.bodies == []
    await sql.execute("update persais.model_calls set at = at - interval '25 hours'")
    assert await capped.ask(HELLO, mine) == "Hello!"
    with pytest.raises(errors.BudgetError, match="MAX_COST_PER_CHANGE"):
        await capped.ask(HELLO, change)
