"""A Telegram that only takes, a model that answers at once, and somebody who posts updates as Telegram does.

They stand beside every bot alike and cost as little as they can, so that what is measured is the bot. The order of
events is all that is noted: when an update was posted, when the bot said that it has it, when the model was asked, and
when the answer reached the chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from persais_core import asgi, sockets

ANSWER = "Of course. That is what an instant model has to say about it."
CONNECTIONS = 40  # on which updates are posted at once; as many as Telegram takes where nobody says otherwise


@dataclass
class Passage:
    """What became of one message; moments are seconds of time.time(), so that Postgres's can stand between them.

    Args:
        asked: when the model was, and `told` when it had answered.
    """

    posted: float
    acknowledged: float = 0.0
    asked: float = 0.0
    told: float = 0.0
    arrived: float = 0.0


@dataclass
class Surroundings:
    """Bot API and model of one bot, and the one who posts to it.

    Attributes:
        url: base address of both.
        said: texts that reached each chat, in their order.
        model_calls: how often the model was asked; `prompt_bytes` is the longest question, its tools included.
    """

    url: str = ""
    token: str = field(default_factory=lambda: f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)[:35]}")
    secret: str = field(default_factory=lambda: secrets.token_hex(20))
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    said: dict[int, list[str]] = field(default_factory=dict)
    model_calls: int = 0
    prompt_bytes: int = 0
    _updates: int = 0
    _waiting: dict[int, list[Passage]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        came, body = time.time(), b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        path = str(scope["path"])
        is_model = path == "/v1/chat/completions"
        answer = self._complete(json.loads(body), came) if is_model else self._api(path, body, came)
        content = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _api(self, path: str, body: bytes, came: float) -> dict[str, Any]:
        method, result = path.rpartition("/")[2], True
        if method == "getMe":
            number = int(self.token.partition(":")[0])
            return _ok({"id": number, "is_bot": True, "first_name": "Bot", "username": "bench_bot"})
        if method == "getWebhookInfo":
            return _ok({"url": "", "has_custom_certificate": False, "pending_update_count": 0})
        if method == "sendMessage":
            fields = dict(parse_qsl(body.decode()))
            chat = int(fields["chat_id"])
            said = self.said.setdefault(chat, [])
            said.append(fields["text"])
            passages = self._waiting.get(chat, [])
            if len(said) <= len(passages):
                passages[len(said) - 1].arrived = came
            self._news.set()
            return _ok({"message_id": len(said), "date": 1, "chat": {"id": chat, "type": "private"}, "text": "x"})
        return _ok(result)

    def _complete(self, question: dict[str, Any], came: float) -> dict[str, Any]:
        self.model_calls += 1
        shown = {name: question[name] for name in ("messages", "tools") if name in question}
        self.prompt_bytes = max(self.prompt_bytes, len(json.dumps(shown, ensure_ascii=False).encode()))
        chat = str(question["messages"][-1]["content"]).rpartition(" ")[2]
        waiting = self._waiting.get(int(chat), []) if chat.isdecimal() else []
        passage = next((one for one in waiting if not one.asked), None)
        if passage is not None:
            passage.asked, passage.told = came, time.time()
        return {
            "id": f"instant-{self.model_calls}",
            "object": "chat.completion",
            "created": int(came),
            "model": question["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 16, "total_tokens": 56, "cost": 0.0},
        }

    async def burst(self, port: int, chats: range, messages: int) -> list[Passage]:
        """Post messages of several chats at once, each chat's in their order; returns when all are answered.

        Args:
            port: of the bot, which takes its webhook there.
            chats: their numbers.
            messages: in all of them together, each its share.

        Raises:
            TimeoutError: not all were answered.
        """
        self.said, self._waiting = {}, {}
        passages: list[Passage] = []
        free = asyncio.Semaphore(CONNECTIONS)
        doors: list[_Door] = []

        async def speak(chat: int) -> None:
            for number in range(chats.index(chat), messages, len(chats)):
                async with free:
                    door = doors.pop() if doors else await _Door.opened(port)
                    passage = Passage(posted=time.time())
                    passages.append(passage)
                    self._waiting.setdefault(chat, []).append(passage)
                    await door.post("/telegram/webhook", self._update(chat, number), self.secret)
                    passage.acknowledged = time.time()
                    doors.append(door)

        async with asyncio.timeout(60):
            await asyncio.gather(*map(speak, chats))
            while not all(passage.arrived for passage in passages):
                self._news.clear()
                await self._news.wait()
        for door in doors:
            door.close()
        return passages

    def _update(self, chat: int, number: int) -> bytes:
        self._updates += 1
        person = {"id": chat, "is_bot": False, "first_name": "Anna", "language_code": "en"}
        message = {
            "message_id": self._updates,
            "date": int(time.time()),
            "chat": {"id": chat, "type": "private", "first_name": "Anna"},
            "from": person,
            "text": f"message {number} of a conversation about nothing much in {chat}",
        }
        return json.dumps({"update_id": self._updates, "message": message}).encode()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Surroundings]:
        """Answer on a free port of loopback while the block lasts."""
        listener = sockets.listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=60)
        server = asgi.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            await task


@dataclass(frozen=True)
class _Door:
    """A connection on which updates are posted one after the other; a client library would be measured along."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, port: int) -> _Door:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, content: bytes, secret: str) -> None:
        """Post and wait for a 200.

        Raises:
            ConnectionError: another answer.
        """
        head = (
            f"POST {path} HTTP/1.1\r\nHost: bench.test\r\nContent-Type: application/json\r\n"
            f"X-Telegram-Bot-Api-Secret-Token: {secret}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self.writer.write(head.encode() + content)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.partition("content-length:")[2].split("\r\n")[0] or 0)
        await self.reader.readexactly(length)
        if " 200 " not in answer.split("\r\n")[0]:
            raise ConnectionError(f"an update was answered with {answer.splitlines()[0]}")

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


def _ok(result: Any) -> dict[str, Any]:
    return {"ok": True, "result": result}
