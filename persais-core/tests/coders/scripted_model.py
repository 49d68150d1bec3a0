"""An OpenAI-compatible server that answers from a script."""

import threading
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "sk-scripted-0123456789"
Answer = Callable[[dict[str, Any]], Response]


def says(text: str, *, finish: str = "stop", **usage: float) -> Answer:
    """A completion with this text."""

    def answer(body: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": text}
        counted = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **usage}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return JSONResponse(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
                "usage": counted,
            }
        )

    return answer


def fails(code: int, text: str = "scripted failure") -> Answer:
    """An error in OpenAI's shape."""
    return lambda body: JSONResponse({"error": {"message": text, "type": "x", "code": str(code)}}, code)


def block(path: str, search: str, replacement: str) -> str:
    """One SEARCH/REPLACE block."""
    return f"{path}\n```python\n<<<<<<< SEARCH\n{search}=======\n{replacement}>>>>>>> REPLACE\n```\n"


class ScriptedServer:
    """Answers calls from a list, the last entry for ever, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.released = threading.Event()
        self.url = ""

    def script(self, *answers: Answer) -> None:
        self.answers, self.bodies, self.keys = list(answers), [], []

    def hangs(self) -> Answer:
        def answer(body: dict[str, Any]) -> Response:
            self.released.wait(120)
            return Response("late", 500)

        return answer

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await to_thread.run_sync(answer, body, abandon_on_cancel=True)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
