"""An OpenAI-compatible server on loopback that answers from a script."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Answer = Callable[[dict[str, Any]], Response]

KEY = "sk-scripted-9f8e7d6c5b4a"


def says(text: str, **usage: float) -> Answer:
    """A completion with this text."""
    return _completion({"role": "assistant", "content": text}, usage)


def calls(tool: str, **arguments: Any) -> Answer:
    """A completion that calls one tool."""
    function = {"name": tool, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
    }
    return _completion(message, {})


def fails(status: int, message: str = f"scripted failure of {KEY}") -> Answer:
    """An error in OpenAI's shape that may be tried again at once."""
    body = {"error": {"message": message, "type": "scripted", "code": str(status)}}
    return lambda _: JSONResponse(body, status, headers={"retry-after-ms": "1"})


def junk(content: bytes, media_type: str = "application/json") -> Answer:
    """Status 200, and something that is no completion."""
    return lambda _: Response(content, media_type=media_type)


def _completion(message: dict[str, Any], usage: dict[str, float]) -> Answer:
    counted = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **usage}

    def answer(body: dict[str, Any]) -> Response:
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        made = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
        return JSONResponse({**made, "choices": [choice], "usage": counted})

    return answer


class ScriptedOpenAI:
    """Answers calls from a list, the last entry for ever, and keeps what it was asked.

    Attributes:
        url: base URL, up to and including /v1.
        bodies: of the requests, oldest first.
        keys: their Authorization headers.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._answers: list[Answer | None] = [says("Hello!")]
        self._closing = asyncio.Event()

    def script(self, *answers: Answer | None) -> None:
        """Answer so from now on, and forget what was asked before; None: no answer at all."""
        self._answers = list(answers)
        self.bodies.clear()
        self.keys.clear()

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls) -> AsyncIterator[ScriptedOpenAI]:
        """Serve on a free port while the block runs."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            made = cls(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
            app = Starlette(routes=[Route("/v1/chat/completions", made._complete, methods=["POST"])])
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
            task = asyncio.create_task(server._serve(sockets=[listening]))
            try:
                yield made
            finally:
                made._closing.set()
                server.should_exit = True
                await task

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            await self._closing.wait()
            return Response(status_code=503)
        return answer(body)
