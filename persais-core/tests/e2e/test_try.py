"""[Try]: talking to a candidate in the chat, while production does not know it."""

from __future__ import annotations

import json
from pathlib import Path

from changes import WITHIN, abort, ask
from whole_bots import run_persais, said

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.testing import live

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
    card = await ask(person, f"/mechanic {request}")
    assert "PR is ready" in card.text, card.text
    return card


async def tried(person: ChatClient, card: ChatMessage) -> ChatMessage:
    """Begin a preview; the messages that others began with lose their button when those end."""
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
        await said(person, "/master")
        began = await tried(person, card)
        assert began.text.startswith("👁 Preview of Echo: write to it; production does not know it yet\nStop, or /stop,")
        assert (await said(person, "Hello")).text == "👁 preview · Echo\nEcho: Hello"
        assert (await said(person, "/echo")).text.startswith("There is no agent echo yet: change 1 makes it")
        assert "Agent: Master" in (await said(person, "/status")).text
        await person.press(began, "Stop")
        await person.wait_for(lambda m: m.text == "👁 Preview ended")
        assert "preview" not in (await said(person, "Hello again")).text
        await tried(person, card)
        assert (await said(person, "/stop", "👁 Preview ended")).text == "👁 Preview ended"
        await tried(person, card)
    async with live.running(project, tmp_path / "home", **settings) as bot, bot.person() as person:
        assert "not running any more" in (await said(person, "Still there?")).text
        card = next(m for m in await person.history() if m.id == card.id)
        await tried(person, card)
        assert (await said(person, "Hello")).text == "👁 preview · Echo\nEcho: Hello"
        await person.press(card, "Deploy")
        await person.wait_for(lambda m: m.text == "👁 Preview ended, as the change was decided on.")
        await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
        await said(person, "/echo", "Echo mode activated")
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
        assert (await said(person, "Who are you?")).text.startswith("👁 preview · Visitor\n")
        assert [m["content"] for m in mind.calls[0][1]] == ["You are a guest.", "Who are you?"]
        await person.send("hang")
        await person.press(began, "Stop")
        await person.wait_for(lambda m: m.text == "👁 Preview ended")
        await tried(person, card)
        assert "more than 512 MB of memory" in (await said(person, "eat")).text
        await abort(person, card)
