"""Who may come in.

The emulator listens on loopback, but every web page open in the owner's browser can send requests there too, under any
name it can make resolve to this machine. So a request must address us by a local name and our own port, must not come
from another page, and on the human side must carry the client key: as a header, or as the cookie the chat page got for
the key in its address.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "persais_chat"
KEY_HEADER = "X-Chat-Key"
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Door:
    """ASGI middleware that lets in only requests meant for this address, and marks answers as not for embedding."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 in plain text, or pass the request on."""
        problem = _problem(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = PlainTextResponse(problem, 403) if problem else self._app
        await app(scope, receive, send_guarded)


def has_key(request: Request, key: str) -> bool:
    """Whether a request carries the client key."""
    given = request.headers.get(KEY_HEADER) or request.cookies.get(COOKIE) or ""
    return is_key(given, key)


def is_key(given: str, key: str) -> bool:
    """Whether a string is the client key, compared in constant time."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), key.encode())


def _problem(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    server = scope.get("server")
    port = server[1] if server else None
    allowed = {f"{name}:{port}" for name in LOCAL_NAMES} | (set(LOCAL_NAMES) if port == 80 else set())
    host = headers.get("host", "").lower()
    if host not in allowed:
        return "This address is not served here; use the one the terminal printed."
    if headers.get("origin", f"http://{host}").lower() != f"http://{host}":
        return "Other pages may not talk to this chat."
    # A page at another port of this machine counts as the same site for cookies, so they alone do not keep it out.
    if (
        headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        and headers.get("sec-fetch-mode") != "navigate"
    ):
        return "Other pages may not talk to this chat."
    return None
