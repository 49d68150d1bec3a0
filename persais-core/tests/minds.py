"""A model server for tests: the offline model, unless a test puts other words into its mouth."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from persais_core import sockets
from persais_core.emulators.model import brain

Answer = str | int | dict[str, Any] | asyncio.Event | Callable[[list[dict[str, Any]]], str]


@dataclass
class Mind:
    """What the model says next.

    Attributes:
        url: of the server, up to and including /v1.
        planner: answers to the next plans; a str is said, an int is an HTTP status, a dict is a whole message (see
            `tool_call`), a function gets the messages, and an event is waited for before the offline model answers.
        coder: the same for the coder.
        talk: the same for everybody else: agents, Master and the router.
        calls: (kind, messages) of every call.
    """

    url: str = ""
    planner: list[Answer] = field(default_factory=list)
    coder: list[Answer] = field(default_factory=list)
    talk: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    def forget(self) -> None:
        """Say again what the offline model says."""
        self.planner.clear()
        self.coder.clear()
        self.talk.clear()
        self.calls.clear()

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = json.loads(await request.body())
        messages = body["messages"]
        first = str(messages[0].get("content", ""))
        kind = "plan" if "planner of Persais" in first else "code" if "SEARCH/REPLACE" in str(messages) else "talk"
        self.calls.append((kind, messages))
        queued = {"plan": self.planner, "code": self.coder, "talk": self.talk}[kind]
        answer: Answer = queued.pop(0) if queued else _offline(messages)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = _offline(messages)
        if isinstance(answer, int):
            return JSONResponse({"error": {"message": "no", "type": "x", "code": answer}}, answer)
        if isinstance(answer, dict):
            message = answer
        else:
            message = {"role": "assistant", "content": answer if isinstance(answer, str) else answer(messages)}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cost": 0.001}
        reason = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return JSONResponse(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "test", "choices": [choice], "usage": usage}
        )


def _offline(messages: list[dict[str, Any]]) -> str:
    return brain.answer([(m["role"], _text(m.get("content"))) for m in messages])


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content or "")


def tool_call(name: str, /, **arguments: Any) -> dict[str, Any]:
    """A message that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call-{name}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def search_replace(path: str, search: str, replace: str) -> str:
    """An edit in aider's own format."""
    return f"{path}\n```python\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n"


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Mind]:
    """Serve a mind on a free loopback port."""
    mind = Mind()
    listener = sockets.listen("127.0.0.1", 0)
    mind.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    app = Starlette(routes=[Route("/v1/chat/completions", mind.complete, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield mind
    finally:
        server.should_exit = True
        await task
