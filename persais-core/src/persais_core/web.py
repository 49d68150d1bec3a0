"""The HTTP door: health, the webhooks of channels, which are joined here to the inbox, and the local forge's pages.

Whoever supervises a release asks on a door of its own, and hears there what concerns nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from persais_core import asgi
from persais_core.forges import pages

log = structlog.get_logger(__name__)

MAX_BODY = 1024 * 1024  # bytes; Telegram's updates are far smaller
STORE_WITHIN = 8.0  # seconds; then the update is asked for again, which is recognised if it was stored after all

PUBLIC = ("status", "version", "commit", "active")  # of a release's health
SAID = frozenset({"ok", "starting", "stopping", "down"})  # of one check in public; all else is "failing"

Health = Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
Accept = Callable[[Any], Awaitable[None]]


def application(
    *, health: Health, accept: Accept, page: pages.Page, webhook_secret: str | None, more: Sequence[Route] = ()
) -> Starlette:
    """The routes of one release.

    Args:
        health: (whether all is well, the document that says so); the world is told the public part of it.
        accept: stores one raw Telegram update; raises when it could not.
        page: a pull request of the local forge, for whoever holds its link.
        webhook_secret: what Telegram sends along; None: there is no webhook, and the route is not there.
        more: pages of other rooms, such as the figures.
    """

    async def get_live(request: Request) -> Response:
        # Says that this process answers, and nothing about what it depends on: restarting it would not mend that.
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def post_update(request: Request) -> Response:
        # Secret first, and on bytes: a header may hold what str comparison refuses.
        given = request.headers.get("x-telegram-bot-api-secret-token", "").encode("latin-1", "replace")
        if webhook_secret is None or not hmac.compare_digest(given, webhook_secret.encode()):
            return Response(status_code=403)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            return Response(status_code=415)  # Telegram compresses nothing, and a small body could become a huge one
        if _length(request) > MAX_BODY:
            return Response(status_code=413)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return Response(status_code=413)
        try:
            update = json.loads(bytes(body))
        except (ValueError, RecursionError):
            # Refused, it would come again for a day; it will never become better.
            log.warning("an update that is no JSON was dropped", size=len(body))
            return Response(status_code=200)
        try:
            async with asyncio.timeout(STORE_WITHIN):
                await accept(update)
        except Exception as error:  # whatever kept us from storing it: Telegram keeps it and comes again
            log.error("an update could not be stored", error_type=type(error).__name__)
            return Response(status_code=503, headers={"Retry-After": "5"})
        return Response(status_code=200)  # an empty body: Telegram would execute a method named in it

    routes = [
        _health(health, public),
        Route("/health/live", get_live, methods=["GET"]),
        *more,
        *pages.routes(page),
    ]
    if webhook_secret is not None:
        routes.append(Route("/telegram/webhook", post_update, methods=["POST"]))
    return asgi.application(routes)


def probe(health: Health) -> Starlette:
    """The one route of the door that only a supervisor knows: /health with all that there is to say.

    Args:
        health: as for `application`.
    """
    return asgi.application([_health(health, lambda document: document)])


def public(document: dict[str, Any]) -> dict[str, Any]:
    """The part of a release's health that anybody may know: no agent's name, and no cause of anything."""
    checks = {name: said if said in SAID else "failing" for name, said in document.get("checks", {}).items()}
    return {name: document[name] for name in PUBLIC if name in document} | {"checks": checks}


def _health(health: Health, told: Callable[[dict[str, Any]], dict[str, Any]]) -> Route:
    async def get_health(request: Request) -> Response:
        well, document = await health()
        return JSONResponse(told(document), status_code=200 if well else 503, headers={"Cache-Control": "no-store"})

    return Route("/health", get_health, methods=["GET"])


def _length(request: Request) -> int:
    """How long the body says that it is; 0 where it does not."""
    given = request.headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else 0
