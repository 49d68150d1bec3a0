"""The whole loop in a real browser: corrected, tried, read, deployed, explained, and taken back again."""

from __future__ import annotations

import json
from pathlib import Path

from changes import git, remote, rows
from whole_bots import PROJECT

import browser
from persais_core.testing import live

pytestmark = browser.marks()


def says(*texts: str) -> str:
    """JavaScript: whether some message of the bot holds all these texts."""
    every = f"{json.dumps(texts)}.every(wanted => m.textContent.includes(wanted))"
    return f"[...document.querySelectorAll('[data-from=bot]')].some(m => {every})"


async def test_corrected_tried_read_deployed_explained_and_rolled_back(tmp_path: Path, aider_venv: Path) -> None:
    async with (
        live.running(PROJECT, tmp_path, AIDER_VENV=str(aider_venv)) as bot,
        browser.started() as chromium,
    ):
        before = git(remote(bot), "ls-tree", "-r", "main")
        tables = rows(bot, "select table_schema, table_name from information_schema.tables order by 1, 2")
        page = await chromium.open(bot.page, width=760, height=1000, locale="en-US")

        async def say(text: str) -> None:
            await page.click("[data-testid=composer]")
            await page.type(text)
            await page.key("Enter")

        await say("/mechanic")
        await page.wait_for(says("🔧 Mechanic mode activated"))
        await say('Create an agent "Echo" that answers in upper case')
        await page.wait_for(says("answers with the message in upper case"), timeout=60)
        await say("no, it repeats the message")
        await page.wait_for(says("I take that as a correction"), timeout=60)
        await page.wait_for(says("✅ PR is ready!", "Files: 2 changed"), timeout=120)
        await page.screenshot(tmp_path / "card.png")
        await page.click("button", "Try")
        await page.wait_for(says("👁", "Echo"), timeout=60)
        await say("Hello World")
        await page.wait_for(says("preview", "Echo: Hello World"), timeout=60)
        await page.screenshot(tmp_path / "preview.png")
        await say("/echo")
        await page.wait_for(says("There is no agent echo yet"))
        await page.click("button", "Stop")
        await page.click("button", "Diff")
        await page.wait_for(says("bot/agents/echo.py", "+class Echo(Agent)"), timeout=30)
        await page.screenshot(tmp_path / "diff.png")
        await page.click("button", "Deploy")
        await page.wait_for(says("🚀 Deployed!"), timeout=120)
        await say("/echo")
        await page.wait_for(says("🎭 Echo mode activated"))
        await say("Hi")
        await page.wait_for(says("Echo: Hi"))
        await say("/why echo")
        await page.wait_for(says("First asked for", "Corrected: no, it repeats the message", "Approved by: "))
        await say("/rollback")
        await page.wait_for(says("is not in the bot any more"), timeout=120)
        await page.screenshot(tmp_path / "rolled-back.png")
        await say("/echo again")
        await page.wait_for(
            "[...document.querySelectorAll('[data-from=bot]')].at(-1).textContent.includes('no command /echo')"
        )
        assert git(remote(bot), "ls-tree", "-r", "main") == before
        assert rows(bot, "select table_schema, table_name from information_schema.tables order by 1, 2") == tables
        assert page.problems == []
