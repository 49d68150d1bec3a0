"""A change made, taken back and read about from the terminal, and what is left when the bot is stopped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from changes import abort
from whole_bots import PROJECT, persais, said

from persais_core.coders.aider import coder
from persais_core.testing import live


def drivers(home: Path) -> list[int]:
    """The coder's processes that belong to a release of this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(coder.DRIVER).encode() in (folder / "cmdline").read_bytes():
                watcher = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                parent = Path(f"/proc/{watcher}/stat").read_text().rpartition(")")[2].split()[1]
                if str(home).encode() in Path(f"/proc/{parent}/cmdline").read_bytes():
                    found.append(int(folder.name))
        except OSError:
            continue  # it has just ended
    return found


async def test_made_taken_back_and_read_about_and_no_waiting_coder_outlives_the_bot(
    tmp_path: Path, aider_venv: Path
) -> None:
    home = {"PERSAIS_HOME": str(tmp_path)}
    async with live.running(PROJECT, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        nothing = await persais("rollback", "--yes", **home)
        assert (nothing.returncode, "no deployed change" in nothing.stderr) == (1, True)
        await person.send("/start")
        made = await persais("evolve", "--deploy", 'Create an agent "Shout" that answers in upper case', **home)
        assert made.returncode == 0, made.stdout + made.stderr
        assert (await said(person, "/shout hello", "HELLO")).text == "HELLO"
        done = await persais("rollback", "1", "--yes", **home)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Change 1 (feat/" in done.stdout and "change 1 is not in the bot any more" in done.stdout
        await said(person, "/shout hello", "no command /shout")
        shown = await persais("audit", "--json", "--limit", "100", **home)
        acts = [json.loads(line)["action"] for line in shown.stdout.splitlines()]
        assert [act for act in acts if act in ("change requested", "merged", "deployed", "rolled back")] == [
            "change requested", "merged", "deployed", "rolled back",
        ]  # fmt: skip
        asked = await persais("evolve", 'Create an agent "Loud" that answers in upper case', **home)
        assert asked.returncode == 1, "nobody answers its question"
        assert "nothing is decided: change 2 waits" in asked.stdout and "Aborted" not in asked.stdout + asked.stderr
        card = await person.wait_for(lambda m: "PR is ready" in m.text and bool(m.buttons), timeout=60)
        waiting = drivers(tmp_path)
        assert len(waiting) == 1, "one waits for the next round"
        await abort(person, card)
    assert (await persais("audit", **home)).returncode == 1, "its database is stopped"
    async with asyncio.timeout(20):
        while any(Path(f"/proc/{pid}").exists() for pid in waiting):
            await asyncio.sleep(0.05)
