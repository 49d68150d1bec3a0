"""Serving HTTP inside a process that has its own signals, to callers who may hang up in the middle of a word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

GONE = 499  # the status that proxies note for a caller who hung up; nobody is there to read it


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: whoever runs the process decides what ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """The application of some routes; a caller who hangs up while speaking is no error of ours, and leaves no trace."""
    return Starlette(routes=list(routes), exception_handlers={ClientDisconnect: _gone})


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=GONE)
