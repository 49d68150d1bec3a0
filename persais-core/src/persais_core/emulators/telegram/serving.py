"""Serve an emulator on a free port of loopback, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn

from persais_core import asgi
from persais_core.emulators.telegram.server import TelegramEmulator


@contextlib.asynccontextmanager
async def served(emulator: TelegramEmulator, *, port: int = 0) -> AsyncIterator[str]:
    """Serve an emulator while the block runs, then close it.

    Args:
        port: 0 takes a free one; another number is for a restart at the same address.

    Yields:
        The base URL, such as `http://127.0.0.1:40123`.
    """
    # Naming the protocol matters: asyncio sends small answers without delay only on sockets that say they are TCP, and
    # each call would wait 40 ms otherwise.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        app = asgi.application(emulator.routes)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5)
        server = asgi.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # No need to wait for the server: the socket is open, so early callers queue.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            try:
                await emulator.aclose()
            finally:
                await task
