"""Whose a port is that is taken, as `persais doctor` and `persais dev` say it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from persais_core import settings, sockets
from persais_core.cli import ports
from persais_core.cli.examinations import Patient, machine
from persais_core.supervisor import desk, home

COMMIT = "abc123abc123" + "0" * 28


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok", "commit": COMMIT})


@pytest.fixture
async def other() -> AsyncIterator[int]:
    """The port of somebody else's bot."""
    listener = sockets.listen("127.0.0.1", 0)
    stand_in = desk.Desk(
        url="", key="", model_key="", token="", routes=[Route("/health", _health)], aclose=lambda: asyncio.sleep(0)
    )
    async with desk.served(stand_in, listener):
        yield listener.getsockname()[1]


def told(config: settings.Settings, folder: Path) -> list[str]:
    found = asyncio.run(machine.examine(Patient(folder, config)))
    return [f"{finding.verdict}: {finding.says}; {finding.do}" for finding in found if finding.what == "Port"]


async def test_another_folders_bot_is_named_by_doctor_and_dev_with_where_the_number_comes_from(
    other: int, tmp_path: Path
) -> None:
    project = tmp_path / "my-bot"
    (project / "bot").mkdir(parents=True)
    (project / "pyproject.toml").write_text('[project]\nname = "my-bot"\n')
    (project / ".env").write_text(f"PORT={other}\nPERSAIS_HOME={tmp_path / 'home'}\n")
    config = settings.load(project, port=other, persais_home=tmp_path / "home")
    [first] = await asyncio.to_thread(told, config, project)
    words = f"port {other} is taken by the bot of another folder, which serves the commit abc123abc123"
    assert first.startswith(f"look: {words}; stop that one, or set another PORT: {other} stands in {project / '.env'}")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "persais_core", "dev"],
        cwd=project, env={"PATH": os.environ["PATH"], "PORT": str(other)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = f"persais: {words}; stop that one, or set another PORT: {other} stands in the environment\n"
    assert (done.returncode, done.stderr) == (1, expected)


async def test_this_places_own_bot_is_known(other: int, tmp_path: Path) -> None:
    config = settings.load(tmp_path, port=other, persais_home=tmp_path / "home")
    assert not ports.is_own(config)
    with home.alone(tmp_path / "home"):
        (tmp_path / "home" / "desk.json").write_text(json.dumps({"url": f"http://127.0.0.1:{other + 1}"}))
        assert await asyncio.to_thread(told, config, tmp_path) == [f"well: this bot is running on port {other}; "]
    assert not ports.is_own(config)


def test_the_highest_port_has_no_next_one(tmp_path: Path) -> None:
    config = settings.load(tmp_path, port=65535, persais_home=tmp_path / "home")
    assert "look: port 65536 cannot be used: 65535 is the highest; choose another with PORT=<number>" in told(
        config, tmp_path
    )
