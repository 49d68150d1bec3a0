"""`persais dev` in a terminal: what it says of the settings, of the chat, and when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from persais_core.cli import workplace
from persais_core.cli.new import commit_all
from persais_core.settings import child_environment
from persais_core.templates import projects

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my-bot"
    with projects.prepared(root) as fresh:
        projects.render(fresh, name="my-bot")
        commit_all(fresh, "Start")
    return root


async def test_misspelt_settings_the_chat_and_the_end_are_told(project: Path, own_url: str) -> None:
    (project / ".env").write_text("OPENROUTER_APIKEY=x\nNOTE=mine\n")
    venv = os.environ.get("PERSAIS_AIDER_VENV", str(ROOT / ".persais" / "aider-venv"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "persais_core", "dev",
        cwd=project, env=child_environment(DATABASE_URL=own_url, PORT="0", AIDER_VENV=venv),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(90):
            while "chat` in another terminal" not in said and (line := await process.stdout.readline()):
                said += line.decode()
            process.send_signal(signal.SIGINT)
            while "Stopping" not in said and (line := await process.stdout.readline()):
                said += line.decode()
            with contextlib.suppress(ProcessLookupError):  # somebody is impatient
                process.send_signal(signal.SIGINT)
            said += (await process.stdout.read()).decode()
            await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert "OPENROUTER_APIKEY in .env is no setting; did you mean OPENROUTER_API_KEY?" in said
    assert (process.returncode, said.count("Stopping"), said.count("Stopped")) == (0, 1, 1), said
    assert "Traceback" not in said and "NOTE" not in said


def test_the_program_is_named_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / ".venv" / "bin" / "persais"
    ours.parent.mkdir(parents=True)
    ours.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(ours)])
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.chdir(tmp_path)
    assert workplace.program() == ".venv/bin/persais"
    assert workplace.program(here=tmp_path / "elsewhere") == str(ours)
    monkeypatch.setenv("PATH", str(ours.parent))
    assert workplace.program() == "persais"
