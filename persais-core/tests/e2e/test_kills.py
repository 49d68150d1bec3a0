"""kill -9 in every state of a change: it goes on, to the same end, with nothing done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import STATES, WITHIN, git, kill_release, newest, reached, ready, remote, rows

import minds
from conftest import PROJECT
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live


@pytest.fixture(scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    async with live.running(
        PROJECT,
        tmp_path_factory.mktemp("kills"),
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        DEFAULT_MODEL="test-model",
    ) as running:
        yield running


@pytest.mark.parametrize("state", STATES)
async def test_a_change_killed_in_a_state_reaches_the_same_end(bot: live.Live, mind: minds.Mind, state: str) -> None:
    mind.forget()
    name = "K" + state.replace("_", "")
    earlier = newest(bot)
    async with bot.person() as person:
        await person.send(f'/mechanic Create an agent "{name}" that answers in upper case')
        card = None
        if state in ("awaiting_approval", "deploying"):
            card = await ready(person)
        if state == "deploying" and card is not None:
            await person.press(card, "Deploy")
        change = await reached(bot, state, after=earlier)
        kill_release(bot)
        if card is None:
            card = await ready(person)
            assert "PR is ready" in card.text
        if state != "deploying":
            await person.press(card, "Deploy")
        await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN * 2)
        await answers(person, name.lower())
        texts = [m.text for m in await person.history() if m.from_bot and m.id > card.id - 3]
    assert texts.count("🚀 Deployed!") == 1
    branch = f"feat/add-{name.lower()}-agent-v1"
    assert git(remote(bot), "log", "--format=%s", "main").count(f"New agent {name}:") == 2  # the commit and its merge
    assert rows(bot, f"select count(*) from persais.pull_requests where branch = '{branch}'") == [(1,)]
    assert rows(bot, f"select state from persais.changes where id = {change}") == [("deployed",)]


async def answers(person: ChatClient, name: str) -> None:
    await person.send(f"/{name} hello")
    await person.wait_for(lambda m: m.text == "HELLO", timeout=WITHIN)
