"""The loop on Fly.io: merged at GitHub, deployed by the platform, followed by the bot across its own replacement."""

from __future__ import annotations

from pathlib import Path

from changes import ask, git
from whole_bots import run_persais

import minds
from fly_standin import FlyStandIn
from github_standin import TOKEN as GITHUB_TOKEN
from github_standin import GitHubStandIn
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.serving import served

TOKEN, KEY, WITHIN = "77:FLYING-BOT", "client-key", 120.0
PERSON = 42


async def test_a_change_is_deployed_by_the_platform_and_one_that_never_gets_healthy_is_taken_back(
    tmp_path: Path, aider_venv: Path, mind: minds.Mind, empty_url: str
) -> None:
    run_persais("new", str(tmp_path / "project"))
    async with (
        GitHubStandIn.serving(tmp_path / "hub") as hub,
        served(TelegramEmulator(token=TOKEN, client_key=KEY, state=None)) as telegram,
    ):
        git(tmp_path / "project", "push", "-q", str(hub.path), "HEAD:main")
        settings = {
            "DATABASE_URL": empty_url,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": telegram,
            "TELEGRAM_WEBHOOK_SECRET": "a-webhook-secret-of-thirty-two-bytes",
            "ADMIN_USER_IDS": str(PERSON),
            "LLM_BASE_URL": mind.url,
            "DEFAULT_MODEL": "test-model",
            "AIDER_VENV": str(aider_venv),
            "GIT_REMOTE_URL": hub.git_url,
            "GITHUB_TOKEN": GITHUB_TOKEN,
            "GITHUB_API_URL": hub.url,
            "BATCH_DEBOUNCE": "0",
        }
        async with (
            FlyStandIn.running(hub, tmp_path / "fly", **settings) as fly,
            ChatClient(telegram, KEY, user=PERSON, name="Ann", language="en") as person,
        ):
            await person.send("/mechanic")
            card = await ask(person, 'Create an agent "Echo" that repeats messages')
            assert "PR is ready" in card.text, card.text
            first = fly.machine
            await person.press(card, "Deploy")
            await person.wait_for(lambda m: "Fly.io" in m.text, timeout=WITHIN)
            await person.wait_for(lambda m: m.id > card.id and m.text.startswith("🚀"), timeout=WITHIN)
            assert fly.machine is not None and fly.machine is not first
            await person.send("/echo Hello")
            await person.wait_for(lambda m: m.text == "Echo: Hello", timeout=WITHIN)

            fly.breaks = 1
            good = fly.machine.commit
            await person.send("/mechanic")
            card = await ask(person, 'Create an agent "Shout" that answers in upper case')
            await person.press(card, "Deploy")
            await person.wait_for(lambda m: m.id >= card.id and "ended with failure" in m.text, timeout=WITHIN)
            await person.send("/echo And now?")
            await person.wait_for(lambda m: m.text == "Echo: And now?", timeout=WITHIN)
            reverted = hub.main
            assert git(hub.path, "diff", "--stat", good, reverted) == ""
    assert GITHUB_TOKEN not in fly.log.read_text()
