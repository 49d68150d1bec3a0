"""What each bot talks to: a Bot API emulator of its own and a model that answers at once, with a stopwatch between.

Both bots get the same implementations, on a port of loopback each, in the process that measures. A message's time runs
from before the person's request is made until the bot's `sendMessage` has been answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from persais_core import asgi, sockets
from persais_core.emulators.telegram import ChatClient, TelegramEmulator

ANSWER = "Of course. That is what an instant model has to say about it."


class StandIns:
    """One bot's surroundings.

    Attributes:
        url: base address of the Bot API, the chat and the model.
        token: of the bot.
        key: of the chat and of the model.
        answer: what the model says to everything.
        model_calls: how often the model was asked.
        polled: set at the bot's first getUpdates since `expect_start`; `polled_at` says when (perf_counter).
    """

    def __init__(self) -> None:
        self.url = ""
        self.token = f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}"
        self.key = secrets.token_urlsafe(24)
        self.answer = ANSWER
        self.model_calls = 0
        self.polled = asyncio.Event()
        self.polled_at = 0.0
        self._sent: asyncio.Queue[float] = asyncio.Queue()
        self.emulator = TelegramEmulator(token=self.token, client_key=self.key, state=None)
        model = Route("/v1/chat/completions", self._complete, methods=["POST"])
        self._app = Starlette(routes=[*self.emulator.routes, model])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: the emulator and the model, timed."""
        method = str(scope.get("path", "")).rpartition("/")[2]
        if method == "getUpdates" and not self.polled.is_set():
            self.polled_at = time.perf_counter()
            self.polled.set()
        await self._app(scope, receive, send)
        if method == "sendMessage":
            self._sent.put_nowait(time.perf_counter())

    def expect_start(self) -> None:
        """Forget that the bot ever polled or sent anything."""
        self.polled.clear()
        self.forget()

    def forget(self) -> None:
        """Forget what the bot has sent so far."""
        while not self._sent.empty():
            self._sent.get_nowait()

    async def sent(self, *, within: float = 30.0) -> float:
        """When the bot's next message arrived (perf_counter).

        Raises:
            TimeoutError: none came.
        """
        return await asyncio.wait_for(self._sent.get(), within)

    def person(self) -> ChatClient:
        """The owner of the bot."""
        return ChatClient(self.url, self.key)

    async def _complete(self, request: Request) -> JSONResponse:
        asked = json.loads(await request.body())
        self.model_calls += 1
        message = {"role": "assistant", "content": self.answer}
        return JSONResponse(
            {
                "id": f"instant-{self.model_calls}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 40, "completion_tokens": 16, "total_tokens": 56, "cost": 0.0},
            }
        )


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[StandIns]:
    """Stand-ins on a free port while the block lasts."""
    made = StandIns()
    listener = sockets.listen("127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(made, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    server = asgi.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield made
    finally:
        server.should_exit = True
        await made.emulator.aclose()
        await task
