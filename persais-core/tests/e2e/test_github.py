"""From local to real: a bot that has lived with stand-ins gets a token, a key and a repository at GitHub."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from changes import WITHIN, ask, deploy, git
from whole_bots import PROJECT, run_persais, said

import minds
from github_standin import TOKEN, GitHubStandIn
from persais_core import errors
from persais_core.domain.chats import LOCAL_PERSON
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.serving import served
from persais_core.testing import live

BOT_TOKEN = "88:ANOTHER-BOT"


async def make(person: ChatClient, request: str) -> None:
    """Ask the Mechanic for an agent and deploy it."""
    await person.send("/mechanic")
    card = await ask(person, request)
    assert "PR is ready" in card.text, card.text
    await deploy(person, card)


async def test_a_bot_gets_a_token_a_key_and_a_repository_and_keeps_its_agents_and_chats(
    tmp_path: Path, aider_venv: Path, mind: minds.Mind
) -> None:
    home = tmp_path / "home"
    async with live.running(PROJECT, home, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        await make(person, 'Create an agent "Echo" that repeats messages')
        await said(person, "/echo", "🎭 Echo")
    async with (
        GitHubStandIn.serving(tmp_path / "hub") as hub,
        served(TelegramEmulator(token=BOT_TOKEN, client_key="key", state=None)) as telegram,
    ):
        settings = {
            "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
            "TELEGRAM_API_URL": telegram,
            "ADMIN_USER_IDS": str(LOCAL_PERSON),
            "LLM_BASE_URL": mind.url,
            "LLM_API_KEY": "a-key-of-mine",
            "DEFAULT_MODEL": "test-model",
            "AIDER_VENV": str(aider_venv),
            "GIT_REMOTE_URL": hub.git_url,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_API_URL": hub.url,
        }
        async with live.running(PROJECT, home, **settings) as bot, ChatClient(telegram, "key") as person:
            # The chat is where it was left: with Echo.
            await person.send("Still here?")
            await person.wait_for(lambda m: m.text == "Echo: Still here?")
            await make(person, 'Create an agent "Shout" that answers in upper case')
            await person.send("/shout hello")
            await person.wait_for(lambda m: m.text == "HELLO")
            [pull] = hub.pulls.values()
            assert pull["merged"] and "upper case" in pull["body"]
            assert {f"persais/{name}" for name in ("paths", "tests", "examples")} <= {s[1] for s in hub.statuses}
            async with asyncio.timeout(WITHIN):
                while hub.branches != ["main"]:  # cleared away after the news
                    await asyncio.sleep(0.1)
            await said(person, "/rollback", "↩️ Rolled back:", timeout=WITHIN)
            assert any("Rolled back" in text for _, text in hub.comments)
            assert TOKEN not in bot.log()
            log = bot.log()
    for file in home.rglob("*"):
        if file.is_file() and not file.is_symlink() and "pg" not in file.relative_to(home).parts:
            assert TOKEN.encode() not in file.read_bytes(), file
    assert "Traceback" not in log


async def test_a_remote_that_has_gone_another_way_is_left_alone(tmp_path: Path) -> None:
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        other = tmp_path / "other"
        run_persais("new", str(other))
        git(other, "push", "-q", str(hub.path), "HEAD:main")
        before = hub.main
        with pytest.raises(errors.ProjectError, match="different ways"):
            async with live.running(
                PROJECT, tmp_path / "home", GIT_REMOTE_URL=hub.git_url, GITHUB_TOKEN=TOKEN, GITHUB_API_URL=hub.url
            ):
                pass
        assert hub.main == before
