"""The first evolution by hand: a real browser on the chat page, typing and tapping as a newcomer would.

One picture for each message of the story goes to a temporary folder, or, with PERSAIS_PICTURES set, into the
documentation.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from whole_bots import PROJECT, ROOT

import browser
from persais_core.testing import live

pytestmark = browser.marks()


@pytest.fixture(scope="module")
async def fresh(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path) -> AsyncIterator[live.Live]:
    async with live.running(PROJECT, tmp_path_factory.mktemp("fresh"), AIDER_VENV=str(aider_venv)) as bot:
        yield bot


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return ROOT / "docs" / "pages" / "pictures" if os.environ.get("PERSAIS_PICTURES") else tmp_path


def says(*texts: str) -> str:
    """JavaScript: whether the bot's last message holds all these texts."""
    last = "[...document.querySelectorAll('[data-from=bot]')].at(-1)?.textContent ?? ''"
    return f"(text => {json.dumps(texts)}.every(wanted => text.includes(wanted)))({last})"


async def test_from_the_first_message_to_echo_hello_world(fresh: live.Live, pictures: Path) -> None:
    async with browser.started() as chromium:
        page = await chromium.open(fresh.page, width=760, height=900, locale="ru-RU")
        await page.wait_for("document.querySelectorAll('[data-testid=chip]').length > 0")
        await page.screenshot(pictures / "step-0.png")

        async def say(text: str) -> None:
            await page.click("[data-testid=composer]")
            await page.type(text)
            await page.key("Enter")

        await say("/mechanic")
        await page.wait_for(says("🔧 Режим Механика активирован"))
        await page.screenshot(pictures / "step-1.png")
        await say('Создай агента "Echo", который повторяет сообщения пользователя')
        await page.wait_for(says("Понял задачу", "bot/agents/echo.py", "⏳ Работаю..."))
        await page.screenshot(pictures / "step-2.png")
        await page.wait_for(says("✅ PR готов!", "Branch: feat/add-echo-agent-v1", "Files: 2 changed"), timeout=180)
        await page.screenshot(pictures / "step-3.png")
        link = await page.evaluate(
            "[...document.querySelectorAll('a')].find(a => a.textContent.includes('View PR')).href"
        )
        pull = await chromium.open(link, width=900, height=800)
        await pull.wait_for("document.querySelectorAll('tr.added').length > 10")
        await pull.screenshot(pictures / "pull-request.png")
        await pull.close()
        await page.click("button", "Deploy")
        await page.wait_for(says("🚀 Deployed!"), timeout=120)
        await page.screenshot(pictures / "step-4.png")
        await say("/echo")
        await page.wait_for(says("🎭 Режим Echo активирован"))
        await page.screenshot(pictures / "step-5.png")
        await say("Hello World")
        await page.wait_for(says("Echo: Hello World"))
        await page.screenshot(pictures / "step-6.png")
        await page.screenshot(pictures / "chat.png")
        assert page.problems == []


async def test_a_pull_request_is_shown_to_nobody_without_its_key(fresh: live.Live) -> None:
    async with browser.started() as chromium:
        page = await chromium.open(f"http://127.0.0.1:{fresh.public_port}/pulls/1?key=guess", width=400, height=300)
        assert "Not found" in await page.evaluate("document.body.textContent")
