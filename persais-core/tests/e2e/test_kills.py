"""kill -9 in every state of a change: it goes on, to the same end, with nothing done twice.

A bot that dies six times within two minutes is started in safe mode, so the states are shared out between two bots.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import STATES, WITHIN, git, kill_release, reached, ready, remote, rows
from whole_bots import PROJECT

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live


@pytest.fixture
async def bot(tmp_path: Path, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    mind.forget()
    async with live.running(
        PROJECT,
        tmp_path,
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        DEFAULT_MODEL="test-model",
    ) as running:
        yield running


@pytest.mark.parametrize("states", [STATES[::2], STATES[1::2]], ids="-".join)
async def test_a_change_killed_in_its_states_reaches_the_same_end(bot: live.Live, states: tuple[str, ...]) -> None:
    async with bot.person() as person:
        asked = await person.send('/mechanic Create an agent "Killed" that answers in upper case')
        card = None
        for state in states:
            if state in ("awaiting_approval", "deploying"):
                card = await ready(person, after=asked)
            if state == "deploying" and card is not None:
                await person.press(card, "Deploy")
            change = await reached(bot, state, after=0)
            kill_release(bot)
        if card is None:
            card = await ready(person, after=asked)
        assert "PR is ready" in card.text
        if "deploying" not in states:
            await person.press(card, "Deploy")
        await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
        await answers(person, "killed")
        texts = [m.text for m in await person.history() if m.from_bot]
    assert texts.count("🚀 Deployed!") == 1
    assert sum("PR is ready" in text for text in texts) <= 1
    subjects = git(remote(bot), "log", "--format=%s", "main")
    assert subjects.count("New agent Killed:") == 2  # the commit and its merge
    branch = "feat/add-killed-agent-v1"
    assert rows(bot, f"select count(*) from persais.pull_requests where branch = '{branch}'") == [(1,)]
    assert rows(bot, "select id, state from persais.changes") == [(change, "deployed")]


async def answers(person: ChatClient, name: str) -> None:
    await person.send(f"/{name} hello")
    await person.wait_for(lambda m: m.text == "HELLO", timeout=WITHIN)
