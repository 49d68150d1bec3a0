"""A scripted model on loopback, aider's environment, and a small tree to work on."""

import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from scripted_model import KEY, ScriptedServer

from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob


@pytest.fixture(scope="session")
def model_server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    scripted.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    server = uvicorn.Server(uvicorn.Config(scripted.app(), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield scripted
    scripted.released.set()
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture(scope="session")
async def aider() -> AsyncIterator[AiderCoder]:
    """The real thing: from PERSAIS_AIDER_VENV as it is, else made in the repository's `.persais`."""
    given = os.environ.get("PERSAIS_AIDER_VENV")
    coder = AiderCoder(Path(given) if given else Path(__file__).parents[3] / ".persais" / "aider-venv")
    if not given:
        await coder.prepare(print)
    yield coder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project."""
    root = tmp_path / "tree"
    (root / "bot" / "agents").mkdir(parents=True)
    (root / "bot" / "agents" / "echo.py").write_text("def answer(text):\n    return text\n")
    (root / "bot" / "agents" / "other.py").write_text("OTHER = 1\n")
    (root / ".git").write_text("gitdir: elsewhere\n")
    # Aider's own settings in the tree would run a command; the driver must not look at them.
    (root / ".aider.conf.yml").write_text("test-cmd: touch never\nauto-test: true\n")
    (root / ".env").write_text("OPENAI_API_BASE=http://127.0.0.1:9/v1\n")
    return root


@pytest.fixture
def job(tree: Path, tmp_path: Path, model_server: ScriptedServer) -> Callable[..., CodeJob]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def make(**changes: Any) -> CodeJob:
        values: dict[str, Any] = {
            "root": tree,
            "edit": ("bot/agents/echo.py",),
            "create": ("tests/agents/test_*.py",),
            "read": ("bot/agents/other.py",),
            "message": "Task: make it loud",
            "model": "vendor/scripted-1",
            "base_url": model_server.url,
            "api_key": KEY,
            "timeout_seconds": 60.0,
            "scratch": scratch,
        }
        return CodeJob(**{**values, **changes})

    return make
