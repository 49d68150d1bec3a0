"""[Try]: talking to a candidate in the chat, while production does not know it."""

from __future__ import annotations

import json
from pathlib import Path

import minds
from conftest import run_persais
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

WITHIN = 120.0  # seconds for a change; far more than it takes
GUEST = """        if message.text == "Hello World":
            return message.text
        if message.text == "hang":
            while message.text:
                pass
        if message.text == "eat":
            eaten = []
            while message.text:
                eaten.append(str(len(eaten)) * 10_000)
        return await context.ask(message.text, system="You are a guest.")
"""


async def made(person: ChatClient, request: str) -> ChatMessage:
    """Ask the Mechanic for something and return the card."""
    await person.send(f"/mechanic {request}")
    return await person.wait_for(lambda m: "PR is ready" in m.text and bool(m.buttons), timeout=WITHIN)


async def said(person: ChatClient, text: str) -> str:
    """Say something and return what is answered."""
    asked = await person.send(text)
    # Messages from before may be changed still: the progress of the change, and what a preview began with.
    return (await person.wait_for(lambda m: m.id > asked.id)).text


async def tried(person: ChatClient, card: ChatMessage) -> ChatMessage:
    await person.press(card, "Try")
    return await person.wait_for(lambda m: m.text.startswith("👁 Preview of") and bool(m.buttons))


async def test_a_candidate_is_tried_across_a_restart_and_deployed(
    tmp_path: Path, aider_venv: Path, mind: minds.Mind
) -> None:
    mind.forget()
    project = tmp_path / "project"
    run_persais("new", str(project))
    settings = {"AIDER_VENV": str(aider_venv), "LLM_BASE_URL": mind.url, "LLM_API_KEY": "none"}
    async with live.running(project, tmp_path / "home", **settings) as bot, bot.person() as person:
        card = await made(person, 'Create an agent "Echo" that repeats the user\'s messages')
        assert [button.text for button in card.buttons[0]] == ["Deploy", "Abort", "View PR"]
        assert "Try" in [button.text for button in card.buttons[1]]
        await person.send("/master")
        await person.wait_for(lambda m: m.from_bot)
        began = await tried(person, card)
        assert began.text == "👁 Preview of Echo: write to it; production does not know it yet"
        assert await said(person, "Hello") == "👁 preview · Echo\nEcho: Hello"
        assert "no command /echo" in await said(person, "/echo")
        assert "Agent: Master" in await said(person, "/status")
        await person.press(began, "Stop")
        await person.wait_for(lambda m: m.text == "👁 Preview ended")
        assert "preview" not in await said(person, "Hello again")
        await tried(person, card)
        await person.send("/stop")
        await person.wait_for(lambda m: m.text == "👁 Preview ended")
        await tried(person, card)
    async with live.running(project, tmp_path / "home", **settings) as bot, bot.person() as person:
        assert "not running any more" in await said(person, "Still there?")
        card = next(m for m in await person.history() if m.id == card.id)
        await tried(person, card)
        assert await said(person, "Hello") == "👁 preview · Echo\nEcho: Hello"
        await person.press(card, "Deploy")
        await person.wait_for(lambda m: m.text == "👁 Preview ended, as the change was decided on.")
        await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
        await person.send("/echo")
        await person.wait_for(lambda m: "Echo mode activated" in m.text)
        await person.send("Hello")
        await person.wait_for(lambda m: m.text == "Echo: Hello")


async def test_a_candidate_asks_the_model_and_one_that_hangs_or_eats_can_be_ended(
    bot: live.Live, mind: minds.Mind
) -> None:
    mind.forget()
    part = {"kind": "agent", "name": "visitor", "title": "Visitor"}
    mind.planner[:] = [json.dumps({"understood": "A visitor", "slug": "visitor", "create": [part], "steps": ["Do."]})]
    mind.coder[:] = [minds.search_replace("bot/agents/visitor.py", "        return message.text\n", GUEST)]
    async with bot.person() as person:
        card = await made(person, "Make a visitor")
        began = await tried(person, card)
        mind.calls.clear()
        assert (await said(person, "Who are you?")).startswith("👁 preview · Visitor\n")
        assert [m["content"] for m in mind.calls[0][1]] == ["You are a guest.", "Who are you?"]
        await person.send("hang")
        await person.press(began, "Stop")
        await person.wait_for(lambda m: m.text == "👁 Preview ended")
        await tried(person, card)
        assert "more than 512 MB of memory" in await said(person, "eat")
        await person.press(card, "Abort")
        await person.wait_for(lambda m: m.text.startswith("🗑"), timeout=WITHIN)
