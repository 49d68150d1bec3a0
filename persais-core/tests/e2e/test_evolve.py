"""`persais evolve`: the same loop from the terminal."""

from __future__ import annotations

from pathlib import Path

from whole_bots import PROJECT, persais, said

from persais_core.testing import live


async def test_evolve_shows_progress_and_ends_with_the_agent_in_the_chat(tmp_path: Path, aider_venv: Path) -> None:
    async with live.running(PROJECT, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        home = {"PERSAIS_HOME": str(tmp_path)}
        early = await persais("evolve", "Tell me the weather", **home)
        assert early.returncode == 1
        assert "/start first" in early.stderr
        await person.send("/start")
        done = await persais("evolve", "--deploy", 'Create an agent "Shout" that answers in upper case', **home)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in ("I will create:", "bot/agents/shout.py", "✅ Tests", "✅ PR is ready!", "🚀 Deployed"):
            assert line in done.stdout
        assert (await said(person, "/shout hello", "HELLO")).text == "HELLO"
        declined = await persais("evolve", "Tell me the weather", **home)
        assert declined.returncode == 1
        assert "offline model" in declined.stdout
        assert (await persais("evolve", "  ", **home)).returncode == 1


async def test_evolve_without_a_bot_says_how_to_start_one(tmp_path: Path) -> None:
    done = await persais("evolve", "x", PERSAIS_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "persais dev" in done.stderr
    assert "Traceback" not in done.stderr
