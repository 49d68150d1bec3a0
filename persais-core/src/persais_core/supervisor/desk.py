"""What stands in for services nobody has set up: its keys, which outlive a restart, and its door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from persais_core import asgi


@dataclass(frozen=True)
class DeskKeys:
    """What opens each stand-in: the chat page is the owner's, the model's key is told to the coder too."""

    chat: str
    model: str
    token: str


@dataclass(frozen=True)
class Desk:
    """What stands in for services nobody has set up: where it is, and the keys to it."""

    url: str
    key: str
    model_key: str
    token: str
    routes: Sequence[BaseRoute]
    aclose: Callable[[], Any]


def keys_of(home: Path, url: str) -> DeskKeys:
    """The same keys as last time, so that open pages and chats go on; noted in the home with where the stand-ins are.

    Args:
        home: PERSAIS_HOME.
        url: of the stand-ins, this time.
    """
    file = home / "desk.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text())
    key = known.get("key") or secrets.token_urlsafe(24)
    model_key = known.get("model_key") or secrets.token_urlsafe(24)
    token = known.get("token") or f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}"
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({"url": url, "key": key, "model_key": model_key, "token": token}))
    fresh.rename(file)
    return DeskKeys(key, model_key, token)


@contextlib.asynccontextmanager
async def served(desk: Desk, listener: socket.socket) -> AsyncIterator[None]:
    """Answer for the stand-ins on a socket while the block lasts; they get a word before the server waits for them."""
    config = uvicorn.Config(
        asgi.application(desk.routes),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    server = asgi.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await desk.aclose()
        await task
