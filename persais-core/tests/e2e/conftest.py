"""Whole bots: each is `persais dev` in a process of its own, spoken to over the Bot API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from whole_bots import ROOT, a_project

import minds
from persais_core.coders.aider import AiderCoder
from persais_core.emulators.telegram import ChatClient
from persais_core.testing import live


@pytest.fixture(scope="session")
async def aider_venv() -> Path:
    """aider's environment, shared by all bots of these tests and by `make run`."""
    given = os.environ.get("PERSAIS_AIDER_VENV")
    place = Path(given) if given else ROOT / ".persais" / "aider-venv"
    if not given:
        await AiderCoder(place).prepare(print)
    return place


@pytest.fixture(scope="session")
async def mind() -> AsyncIterator[minds.Mind]:
    """The model of the bots here: the offline one, unless a test makes it say something else."""
    async with minds.serving() as mind:
        yield mind


@pytest.fixture(scope="session")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    """One bot for all tests that do not mind what others made in it. It has a schema and an agent from the start."""
    folder = tmp_path_factory.mktemp("bot")
    characters = ("feature", "characters", "name:str", "role:str?", "age:int?")
    project = a_project(folder / "project", characters, ("agent", "parrot"))
    async with live.running(
        project,
        folder / "home",
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        LLM_API_KEY="none",
        DEFAULT_MODEL="test-model",
    ) as running:
        yield running


@pytest.fixture
async def person(bot: live.Live, mind: minds.Mind) -> AsyncIterator[ChatClient]:
    """Somebody who speaks with the Mechanic; the model says what it always says, before and after."""
    mind.forget()
    async with bot.person() as somebody:
        await somebody.send("/mechanic")
        await somebody.wait_for(lambda m: m.text == "🔧 Mechanic mode activated")
        yield somebody
    mind.forget()
