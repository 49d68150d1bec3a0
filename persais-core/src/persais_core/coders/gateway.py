"""The one way from a coder to its model: an HTTP server for one connection, which is open for one run.

The coder's process inherits its end of a pair of joined sockets and speaks HTTP over it. There is no port: nobody else
can reach the gateway, and the coder, which can make no socket, can reach nobody else. (A port of loopback was the other
way. But where the kernel can hold a program to a port at all, it holds it to that port of any machine.)

The coder shows a token that is good for this run; the key of the real server stays here. Each call is judged before it
goes out: the token, the size, that it is a completion of text by the model of the job, that no secret of the bot
stands in it, and that there is money left; only `FIELDS` of it go on. What it cost is read from the answer, so the
books are true whatever becomes of the process. The real key is taken out of the answers too, as some servers repeat it
in their errors.

The gateway may be opened before there is a job; until `admit` it lets nothing through. One call is made at a time, as
the money left is not known while another one is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import math
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.server import ServerState

from persais_core.coders.base import CodeJob

MAX_REQUEST = 4 << 20  # bytes of one call
MAX_ANSWER = 8 << 20  # bytes
MOST_CALLS = 40  # of one run: an honest one makes four, each tried four times
CONNECT_WITHIN = 20.0  # seconds
# What goes out of a call; the rest is left behind: servers take plugins, tools and other models to fall back on, by
# which a call would reach somebody else, or cost more than the model of the job.
FIELDS = frozenset({
    "model", "messages", "n", "stop", "seed", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k",
    "min_p", "frequency_penalty", "presence_penalty", "reasoning", "reasoning_effort", "include_reasoning", "thinking",
})  # fmt: skip
LONGEST_REST = 86_400  # seconds between two calls; a coder that waits for its job makes none
SHORTEST_SECRET = 8  # characters; a shorter one (such as the placeholder "none") is found in honest text
Refusal = Literal["", "cost", "secret", "calls"]

_REFUSALS: Mapping[Refusal, str] = {
    "cost": "the cost limit of this run is reached",
    "secret": "a secret of the bot stands in the request",
    "calls": "this run has made too many calls",
}


@dataclass
class Books:
    """What went through one door.

    Args:
        requests: calls that went out, failed ones too.
        tokens_in: tokens sent, as the server counted them.
        tokens_out: tokens received.
        cost: US dollars, as the server names them, else by the job's prices.
        refusal: why a call was not let out; the first reason counts.
        unreachable: what was wrong when the last call got no answer from the server, else empty.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    refusal: Refusal = ""
    unreachable: str = ""


class Gateway:
    """A gateway that is open for as long as the block lasts.

    Attributes:
        token: what the coder shows instead of a key.
        books: what went through so far.
        far_end: the coder's end of the connection.
    """

    far_end: socket.socket

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.books = Books()
        self._turn = asyncio.Lock()
        self._job: CodeJob | None = None
        self._client: httpx.AsyncClient | None = None
        self._state = ServerState()
        self._config = uvicorn.Config(
            Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])]),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_keep_alive=LONGEST_REST,
        )

    async def __aenter__(self) -> Gateway:
        """Open it; nothing is let through yet."""
        # Not `uvicorn.Server`: it takes the bot's signals, wants a port, and needs two tenths of a second to end.
        self._config.load()

        def protocol() -> asyncio.Protocol:
            make: Any = self._config.http_protocol_class
            made: asyncio.Protocol = make(config=self._config, server_state=self._state, app_state={})
            return made

        ours, self.far_end = socket.socketpair()
        await asyncio.get_running_loop().connect_accepted_socket(protocol, ours)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close it; a call under way is called off."""
        self._job = None
        self.far_end.close()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._client is not None:
            await self._client.aclose()

    def admit(self, job: CodeJob) -> None:
        """Let the calls of one job through, and of no other."""
        assert self._job is None
        self._job = job
        here = _is_loopback(job.base_url)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(job.timeout_seconds, connect=CONNECT_WITHIN),
            verify=urlsplit(job.base_url).scheme == "https",  # to load certificates takes longer than many a call
            trust_env=not here,  # a server on this machine is behind no proxy
        )

    async def _complete(self, request: Request) -> Response:
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {self.token}".encode()):
            return _error(401, "this token is not for this run")
        if self._job is None:
            return _error(403, "this run has not begun")
        try:
            asked = json.loads(await _read(request), parse_constant=_no_number)
        except ClientDisconnect:
            return _error(400, "the request was not finished")
        except (ValueError, RecursionError):
            return _error(400, "the request is not usable JSON, or too long")
        if complaint := _complaint(asked, self._job):
            return _error(400, complaint)
        asked = {name: value for name, value in asked.items() if name in FIELDS}
        async with self._turn:
            if refusal := self._refusal(asked, self._job):
                self.books.refusal = self.books.refusal or refusal
                return _error(403, _REFUSALS[refusal])
            return await self._forward(asked, self._job)

    def _refusal(self, asked: dict[str, Any], job: CodeJob) -> Refusal:
        """Why a call may not go out although it is well made."""
        if job.max_cost is not None and self.books.cost >= job.max_cost:
            return "cost"
        if self.books.requests >= MOST_CALLS:
            return "calls"
        known = [job.api_key.get_secret_value(), *(value.get_secret_value() for value in job.secrets)]
        known = [value for value in known if len(value) >= SHORTEST_SECRET]
        return "secret" if any(value in text for text in _texts(asked) for value in known) else ""

    async def _forward(self, asked: dict[str, Any], job: CodeJob) -> Response:
        assert self._client is not None
        key = job.api_key.get_secret_value()
        self.books.requests += 1
        self.books.unreachable = ""
        try:
            async with self._client.stream(
                "POST",
                f"{job.base_url.rstrip('/')}/chat/completions",
                content=json.dumps(asked).encode(),  # ASCII, so that half a surrogate pair is no trouble
                headers={
                    "Authorization": f"Bearer {key}",
                    "Content-Type": "application/json",
                    "X-Title": "Persais",
                },
            ) as answer:
                content = bytearray()
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER:
                        return _error(502, "the model's server answered too much")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.books.unreachable = type(error).__name__
            return _error(502, "the model's server could not be reached")
        self._book(bytes(content), job)
        text = bytes(content).replace(key.encode(), b"***") if len(key) >= SHORTEST_SECRET else bytes(content)
        headers = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
        status = answer.status_code if answer.status_code == 200 or answer.status_code >= 400 else 502
        return Response(text, status, headers, media_type=answer.headers.get("content-type"))

    def _book(self, content: bytes, job: CodeJob) -> None:
        """Note what a call cost, trusting nothing about the answer."""
        try:
            usage = json.loads(content)["usage"]
            sent, received = _amount(usage.get("prompt_tokens")), _amount(usage.get("completion_tokens"))
            named = usage.get("cost")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        self.books.tokens_in += int(sent)
        self.books.tokens_out += int(received)
        if isinstance(named, (int, float)):
            self.books.cost += _amount(named)
        elif job.prices is not None:
            self.books.cost += sent * job.prices[0] + received * job.prices[1]


def _complaint(asked: object, job: CodeJob) -> str:
    """What is wrong with a call, or an empty string."""
    if not isinstance(asked, dict):
        return "the request is no object"
    if asked.get("stream"):
        return "answers are not streamed"
    if asked.get("model") != job.model:
        return f"the model of this run is {job.model}"
    if not _is_text(asked.get("messages")):
        return "a message is a text, or parts that are texts"
    return "one answer is given at a time" if asked.get("n", 1) != 1 else ""


def _is_text(messages: object) -> bool:
    """Whether messages hold text alone: a picture is an address, which the server would fetch for whoever wrote it."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return False
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return all(content is None or isinstance(content, (str, list)) for content in contents) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in parts
    )


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


async def _read(request: Request) -> bytes:
    """The body.

    Raises:
        ValueError: it is too long.
    """
    body, is_long = bytearray(), False
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST:
            is_long = True
            body.clear()  # read on, as there is no other connection
    if is_long:
        raise ValueError("too long")
    return bytes(body)


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value, names included."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one


def _amount(value: object) -> float:
    """A number that a server named, or 0 where it is none that can be counted with."""
    with contextlib.suppress(OverflowError):
        if isinstance(value, (int, float)) and 0 <= value < 1e12 and math.isfinite(value):
            return float(value)
    return 0.0


def _error(status: int, text: str) -> Response:
    """A failure in OpenAI's shape."""
    return JSONResponse({"error": {"message": text, "type": "persais", "code": str(status)}}, status)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
