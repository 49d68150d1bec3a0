"""The owner's examples through the chat: kept with an agent, held at every later change, replaced only on request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import WITHIN, abort, ask, deploy, git, remote
from whole_bots import run_persais, said

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live

AGENT, TEST, KEPT = "bot/agents/echo.py", "tests/agents/test_echo.py", "tests/examples/echo.yaml"
HELLO = "agent: echo\nexamples:\n  - say: Hello World\n    expect: 'Echo: Hello World'\n"
IMPORT = "from persais_core import Agent, Context, Message\n"
RETURN = '        return "Echo: " + message.text\n'
ASSERT = '    assert reply == "Echo: Hello World"\n'


@pytest.fixture(scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    """A bot nine hours east of Greenwich, which the sandbox is not, with an Echo that was made in the chat."""
    folder = tmp_path_factory.mktemp("kept")
    run_persais("new", str(folder / "project"))
    mind.forget()
    async with live.running(
        folder / "project",
        folder / "home",
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        LLM_API_KEY="none",
        DEFAULT_MODEL="test-model",
        TZ="EAST-9",
    ) as running:
        async with running.person() as owner:
            await said(owner, "/mechanic")
            card = await ask(owner, 'Create an agent "Echo" that repeats the user\'s messages')
            assert "Files: 2 changed" in card.text
            assert "Examples: 1 saved" in card.text
            await deploy(owner, card)
        yield running


def a_plan(**fields: object) -> str:
    """A planner's answer that changes Echo, with some fields different."""
    plan = {"understood": "Change Echo", "slug": "change-echo", "edit": [AGENT, TEST], "steps": ["Do it."]}
    return json.dumps(plan | fields)


def on_main(bot: live.Live, path: str) -> str:
    return git(remote(bot), "show", f"main:{path}")


async def test_an_agent_made_in_the_chat_keeps_its_example(bot: live.Live) -> None:
    assert on_main(bot, KEPT) == HELLO


async def test_a_later_change_that_breaks_it_is_blocked_and_names_it(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    louder = '        return "ECHO: " + message.text\n'
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [
        minds.search_replace(AGENT, RETURN, louder)
        + minds.search_replace(TEST, ASSERT, '    assert reply == "ECHO: Hello World"\n'),
        minds.search_replace(AGENT, louder, f"        # As the owner asked.\n{louder}"),
    ]
    answer = await ask(person, "Change Echo")
    assert (
        "❌ Examples: echo: when told 'Hello World' it must answer 'Echo: Hello World', "
        "but it answered 'ECHO: Hello World'" in answer.text
    )
    assert "✅ Tests" in answer.text
    second = json.dumps([messages for kind, messages in mind.calls if kind == "code"][1])
    assert "[examples] 1 of 1 broken" in second
    question = json.loads(next(messages for kind, messages in mind.calls if kind == "plan")[1]["content"])
    assert question["project"]["examples"] == {"echo": [{"say": "Hello World", "expect": "Echo: Hello World"}]}
    assert on_main(bot, AGENT).count(RETURN) == 1
    await abort(person, answer)


async def test_a_change_of_behaviour_that_is_asked_for_replaces_it(bot: live.Live, person: ChatClient) -> None:
    card = await ask(person, "Change the agent Echo so that it answers in upper case")
    assert "Examples: 1 replaced, as you asked for another answer" in card.text
    branch = card.text.split("Branch: ")[1].splitlines()[0]
    diff = git(remote(bot), "diff", f"main...{branch}", "--", KEPT)
    assert [line for line in diff.splitlines() if line.startswith(("-  ", "+  "))] == [
        "-    expect: 'Echo: Hello World'",
        "+    expect: HELLO WORLD",
    ]
    await abort(person, card)


async def test_a_release_whose_agent_fails_at_its_example_does_not_take_over(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    fragile = '        if datetime.now().astimezone().utcoffset():\n            raise ValueError("too far east")\n'
    mind.planner[:] = [a_plan(edit=[AGENT])]
    mind.coder[:] = [
        minds.search_replace(AGENT, RETURN, fragile + RETURN)
        + minds.search_replace(AGENT, IMPORT, f"from datetime import datetime\n\n{IMPORT}")
    ]
    card = await ask(person, "Change Echo")
    assert "PR is ready" in card.text, card.text
    await person.press(card, "Deploy")
    told = await person.wait_for(lambda m: m.text.startswith("❌ The new version"), timeout=WITHIN)
    assert "echo: when told 'Hello World' it must answer 'Echo: Hello World'" in told.text
    assert "but it raised ValueError: too far east" in told.text
    assert fragile not in on_main(bot, AGENT)
    await said(person, "/echo", "Echo mode activated")
    await person.send("Hello World")
    await person.wait_for(lambda m: m.text == "Echo: Hello World")
