"""The offline model as an OpenAI-compatible server, and its router and small talk."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from persais_core.domain.plans import Plan
from persais_core.emulators.model import OfflineModel, brain, router

KEY = "local-key-1"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=OfflineModel(key=KEY).routes)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://offline/v1", headers={"Authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


def chat(text: str, system: str = "", **more: Any) -> dict[str, Any]:
    said = [{"role": "system", "content": system}] if system else []
    return {"model": "whatever", "messages": [*said, {"role": "user", "content": text}], **more}


async def test_it_answers_with_usage_and_the_same_every_time(client: httpx.AsyncClient) -> None:
    first, second = [(await client.post("/chat/completions", json=chat("Hello"))).json() for _ in range(2)]
    assert first["choices"] == second["choices"] and first["id"] == second["id"]
    assert first["model"] == "offline"
    assert first["choices"][0]["finish_reason"] == "stop"
    usage = first["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["cost"] == 0
    assert (await client.get("/models")).json()["data"][0]["id"] == "offline"


async def test_a_stream_says_the_same_as_one_answer(client: httpx.AsyncClient) -> None:
    whole = (await client.post("/chat/completions", json=chat("Привет"))).json()
    body = chat("Привет", stream=True, stream_options={"include_usage": True})
    reply = await client.post("/chat/completions", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    text = "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("header", ["Bearer wrong", "", KEY, "Bearer ключ"])
async def test_another_key_is_refused(client: httpx.AsyncClient, header: str) -> None:
    for reply in (
        await client.post("/chat/completions", json=chat("Hello"), headers={b"Authorization": header.encode("utf-8")}),
        await client.get("/models", headers={b"Authorization": header.encode("utf-8")}),
    ):
        assert reply.status_code == 401
        assert reply.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"junk",
        b"[]",
        b"\xff",
        b'{"messages": []}',
        b'{"messages": "hi"}',
        b'{"messages": [1]}',
        b'{"messages": [{"role": "king", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": 7}]}',
        json.dumps(chat("no JSON", "You are the planner of Persais.")).encode(),
        json.dumps(chat("[1]", "You are the router of Persais.")).encode(),
        b"[" * 100_000,
    ],
)
async def test_junk_is_a_bad_request(client: httpx.AsyncClient, raw: bytes) -> None:
    reply = await client.post("/chat/completions", content=raw)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("not a usable request")


async def test_an_endless_request_is_cut_off(client: httpx.AsyncClient) -> None:
    assert (await client.post("/chat/completions", content=b" " * 5_000_000)).status_code == 413


async def test_the_planner_and_the_router_are_told_by_their_first_line(client: httpx.AsyncClient) -> None:
    question = json.dumps({"request": 'Create an agent "Echo" that repeats', "language": "en", "project": {}})
    reply = await client.post(
        "/chat/completions", json=chat(question, "You are the planner of Persais.\nAnswer with JSON.")
    )
    assert Plan.model_validate_json(reply.json()["choices"][0]["message"]["content"]).create[0].name == "echo"
    agents = [{"name": "echo", "title": "Echo", "keywords": ["echo", "эхо"], "purpose": "Repeats."}]
    question = json.dumps({"message": "Эхо, ты тут?", "agents": agents, "current": "master"})
    reply = await client.post("/chat/completions", json=chat(question, "You are the router of Persais."))
    assert json.loads(reply.json()["choices"][0]["message"]["content"]) == {
        "decision": "switch",
        "agent": "echo",
    }


def test_a_request_to_repair_an_answer_is_about_the_question_before_it() -> None:
    question = json.dumps({"request": "I want an echo agent", "language": "en", "project": {}})
    said = [("system", brain.PLANNER), ("user", question)]
    answer = brain.answer(said)
    assert brain.answer([*said, ("assistant", "rubbish"), ("user", "That was no JSON; try again.")]) == answer


@pytest.mark.parametrize(
    ("message", "current", "agent"),
    [
        ("switch to echo please", "master", "echo"),
        ("what a day", "master", None),
        ("weather and rain in Oslo", "master", "weather"),
        ("echo weather", "weather", "weather"),
        ("echo weather", "master", None),
        ("echoes in the mountains", "master", None),
        ("погода на завтра?", "master", "weather"),
        ("open bot/agents/echo.py please", "master", None),
        ("what about `echo`?", "master", None),
    ],
)
def test_a_message_goes_to_the_agent_whose_words_it_has(message: str, current: str, agent: str | None) -> None:
    decided: dict[str, str] = {"decision": "switch", "agent": agent} if agent else {"decision": "uncertain"}
    if agent == current:
        decided = {"decision": "keep"}
    agents = [
        {"name": "echo", "title": "Echo", "keywords": ["echo"], "purpose": ""},
        {"name": "weather", "title": {"en": "Weather", "ru": "Погода"}, "keywords": ["rain"], "purpose": ""},
    ]
    assert router.route(json.dumps({"message": message, "agents": agents, "current": current})) == decided


@pytest.mark.parametrize("message", ["Hi!", "thanks", "who are you?", "Solve x+1=2", "", "42"])
def test_small_talk_never_hides_what_it_is(message: str) -> None:
    text = brain.answer([("system", "You are the master of Persais."), ("user", message)])
    for word in ("offline model", "OPENROUTER_API_KEY", "LLM_BASE_URL", "/mechanic"):
        assert word in text


@pytest.mark.parametrize("message", ["Привет!", "спасибо", "кто ты?", "Реши x+1=2"])
def test_small_talk_is_in_the_language_of_the_message(message: str) -> None:
    text = brain.answer([("user", message)])
    for word in ("офлайн-модель", "OPENROUTER_API_KEY", "LLM_BASE_URL", "/mechanic"):
        assert word in text


async def test_as_master_it_hands_over_to_the_agent_that_is_named(client: httpx.AsyncClient) -> None:
    system = "You are the master of Persais.\n\nThe agents there are now:\n- weather (Погода): Tells the weather."
    tool = {"type": "function", "function": {"name": "hand_over", "parameters": {}}}
    reply = await client.post("/chat/completions", json=chat("какая погода завтра?", system) | {"tools": [tool]})
    [call] = reply.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"agent": "weather", "summary": "какая погода завтра?"}
    for body in (chat("how are you?", system) | {"tools": [tool]}, chat("какая погода завтра?", system)):
        assert "tool_calls" not in (await client.post("/chat/completions", json=body)).json()["choices"][0]["message"]


@pytest.mark.parametrize(
    "said", ["открой echo.py", "open bot/agents/echo.py please", "what about `echo`?", "mail echo@example.org"]
)
async def test_as_master_it_hands_nothing_over_for_a_name_in_a_path_or_in_code(
    client: httpx.AsyncClient, said: str
) -> None:
    system = "You are the master of Persais.\n\nThe agents there are now:\n- echo (Echo): Repeats each message."
    tool = {"type": "function", "function": {"name": "hand_over", "parameters": {}}}
    for text, is_called in ((said, False), ("let echo answer", True)):
        reply = await client.post("/chat/completions", json=chat(text, system) | {"tools": [tool]})
        assert ("tool_calls" in reply.json()["choices"][0]["message"]) is is_called
