"""A scripted model on loopback, aider's environment, and a small tree to work on."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from scripted_model import KEY, ScriptedServer
from stand_in_driver import StandIn

from persais_core import sockets
from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob
from persais_core.security.sandbox import Sandbox


@pytest.fixture(scope="session")
def model_server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    listening = sockets.listen("127.0.0.1", 0)
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
async def aider(box: Sandbox) -> AsyncIterator[AiderCoder]:
    """The real thing: from PERSAIS_AIDER_VENV as it is, else made in the repository's `.persais`."""
    given = os.environ.get("PERSAIS_AIDER_VENV")
    venv = Path(given) if given else Path(__file__).parents[3] / ".persais" / "aider-venv"
    coder = AiderCoder(venv, box)
    if not given:
        await coder.prepare(print)
    yield coder


@pytest.fixture(scope="session")
def box() -> Sandbox:
    """Walls where there are any; nothing here is secret."""
    return Sandbox(secrets_present=False)


@pytest.fixture
def stand_in(tmp_path: Path, box: Sandbox) -> StandIn:
    """A coder without aider."""
    return StandIn(tmp_path / "stand-in", box)


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
