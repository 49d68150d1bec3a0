"""The chat page: plain HTML, CSS and JavaScript, served from the package.

The address printed in the terminal carries the client key once. It becomes a cookie no script can read, and the browser
is sent on to the clean address. The files themselves hold nothing secret; without the cookie the page shows how to get
in, because the calls it makes are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from persais_core.emulators.telegram import door

COOKIE_SECONDS = 90 * 24 * 3600

_KINDS = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_ASSETS = ("chat.css", "chat.js", "formatting.js", "icon.svg", "words.js")


def routes(client_key: str, guard: Sequence[Middleware]) -> list[Route]:
    """The page at `/` and its files under `/chat/assets/`.

    Args:
        client_key: what `/?key=` must bring.
        guard: middleware put around each route.
    """

    async def page(request: Request) -> Response:
        given = request.query_params.get("key")
        if given is None:
            return _asset("index.html")
        if not door.is_key(given, client_key):
            return PlainTextResponse("This link is no longer valid; use the one the terminal printed last.", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(door.COOKIE, client_key, max_age=COOKIE_SECONDS, httponly=True, samesite="strict")
        return answer

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        return _asset(name) if name in _ASSETS else PlainTextResponse("Not Found", 404)

    return [
        Route("/", page, methods=["GET"], middleware=guard),
        Route("/chat/assets/{name}", asset, methods=["GET"], middleware=guard),
    ]


def _asset(name: str) -> Response:
    content = (resources.files(__name__) / "assets" / name).read_bytes()
    return Response(content, media_type=_KINDS[name.rpartition(".")[2]])
