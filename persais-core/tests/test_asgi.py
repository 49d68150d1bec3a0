"""Callers who hang up, on a real socket."""

from __future__ import annotations

import asyncio
import logging

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from persais_core import asgi, sockets


async def test_a_caller_who_hangs_up_while_speaking_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    came, ended = asyncio.Event(), asyncio.Event()

    async def listen(request: Request) -> Response:
        came.set()
        try:
            return JSONResponse(await request.json())
        finally:
            ended.set()

    listener = sockets.listen("127.0.0.1", 0)
    application = asgi.application([Route("/", listen, methods=["POST"])])
    server = asgi.Server(uvicorn.Config(application, log_config=None, lifespan="off"))
    with caplog.at_level(logging.DEBUG):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(head + b"2\r\n\r\n{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        came.clear()
        ended.clear()
        writer.close()
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(head + b"100\r\n\r\n{")
        await came.wait()
        writer.close()
        await ended.wait()
        server.should_exit = True
        await serving
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
