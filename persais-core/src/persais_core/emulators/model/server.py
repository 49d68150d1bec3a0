"""The HTTP side: two endpoints in OpenAI's shape, with its errors.

The key is one that the supervisor makes up at every start; it keeps other local users and web pages away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from persais_core.emulators.model import brain, editor, master

NAME = "offline"
MAX_BODY = 4_000_000  # bytes of one request
CHUNK = 24  # characters per streamed piece
ROLES = {"system", "developer", "user", "assistant", "tool"}


class OfflineModel:
    """An OpenAI-compatible server without a model.

    Args:
        key: the bearer key it wants.

    Attributes:
        routes: `/v1/models` and `/v1/chat/completions`, to be mounted at the root of an application. Any model name is
            served, because it stands in for whichever is configured; the answers name `offline`.
    """

    def __init__(self, *, key: str) -> None:
        self._key = key
        self.routes: list[BaseRoute] = [
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
        ]

    async def _models(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        return JSONResponse(
            {"object": "list", "data": [{"id": NAME, "object": "model", "created": 0, "owned_by": "persais"}]}
        )

    async def _complete(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        raw = bytearray()
        async for piece in request.stream():
            raw += piece
            if len(raw) > MAX_BODY:
                return _error(413, f"the request is larger than {MAX_BODY} bytes")
        try:
            body = json.loads(bytes(raw))
            messages = _messages(body)
            text = brain.answer(messages)
        except (ValueError, RecursionError) as error:
            return _error(400, f"not a usable request: {error}")
        usage = _usage(messages, text)
        head = {"id": _id(messages, text), "created": int(time.time()), "model": NAME}
        if not body.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": text}
            call = master.hands_over(messages, body.get("tools"))
            if call is not None:
                message |= {"content": None, "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
            return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        options = body.get("stream_options")
        wants_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return StreamingResponse(_stream(head, text, usage if wants_usage else None), media_type="text/event-stream")

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").encode("latin-1")
        if hmac.compare_digest(given, f"Bearer {self._key}".encode()):
            return None
        return _error(401, "the key is not the one of this server")


def _messages(body: Any) -> list[editor.Said]:
    """Role and text of every message.

    Raises:
        ValueError: the body is not a chat request.
    """
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ValueError("it must be an object with a list of messages")
    said: list[editor.Said] = []
    for message in body["messages"]:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise ValueError("each message must have a role")
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
        if content is not None and not isinstance(content, str):
            raise ValueError("the content of a message must be text")
        said.append((message["role"], content or ""))
    return said


def _usage(messages: Sequence[editor.Said], text: str) -> dict[str, int | float]:
    """Tokens at four characters each; they cost nothing."""
    sent, received = (max(1, size // 4) for size in (sum(len(said) for _, said in messages), len(text)))
    return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received, "cost": 0.0}


def _id(messages: Sequence[editor.Said], text: str) -> str:
    return "offline-" + hashlib.sha256(repr((messages, text)).encode("utf-8", "replace")).hexdigest()[:16]


async def _stream(head: dict[str, Any], text: str, usage: dict[str, int | float] | None) -> AsyncIterator[bytes]:
    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return (
            f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n".encode()
        )

    yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for start in range(0, len(text), CHUNK):
        yield event([{"index": 0, "delta": {"content": text[start : start + CHUNK]}, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    if usage:
        yield event([], usage=usage)
    yield b"data: [DONE]\n\n"


def _error(status: int, message: str) -> Response:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": status}}, status)
