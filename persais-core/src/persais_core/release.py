"""The life of one serving process: open, wait to be active, serve, and stop without losing what was begun.

Told to stop, it takes no more updates (the webhook answers 503, and the chat service comes again), ends what it has
begun within `queue.jobs.GRACE`, and hands the rest back to the queue. Platforms must give it somewhat longer than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from persais_core import app as app_module
from persais_core import asgi, errors, logs, reports, settings, sockets
from persais_core.db import core_migrations
from persais_core.queue import activity
from persais_core.security.redact import Redactor

log = structlog.get_logger(__name__)


GARBAGE = 10_000  # objects that are made until the youngest are looked through; a message makes some thousands


def run(
    root: Path,
    *,
    commit: str | None = None,
    workspace: Path | None = None,
    broken: str | None = None,
    probe: socket.socket | None = None,
    public: socket.socket | None = None,
    leash: int | None = None,
    role: app_module.Role = "all",
) -> None:
    """Serve the bot of a folder until told to stop.

    Args:
        root: folder that holds `bot/`.
        commit: what lies there; found out from git where not given.
        workspace: the repository that evolves; the root where not given.
        broken: why it is served in safe mode, without the project's own agents.
        probe: given by a supervisor, with `public`; see `serve`.
        leash: a descriptor that ends when the supervisor does.
        public: where the world comes in; PORT on every address where not given.
        role: what this process does of it; others do the rest.

    Raises:
        PersaisError: it cannot serve.
    """
    config = settings.load()
    redactor = Redactor(config.secrets)
    logs.configure(redactor, human=sys.stdout.isatty())
    if probe is None:  # else whoever supervises has said it
        for stranger in settings.strangers():
            log.warning(str(stranger))
    folder = root.resolve()
    place = app_module.Place(
        root=folder,
        commit=commit or commit_of(folder),
        workspace=(workspace or (config.persais_home / "workspace" if config.git_remote_url else root)).resolve(),
        is_supervised=probe is not None,
        broken=broken,
    )
    if config.sentry_dsn is not None:
        reports.begin(config.sentry_dsn.get_secret_value(), redactor, release=place.commit)
    listener = public or sockets.listen("0.0.0.0", config.port)
    try:
        asyncio.run(serve(app_module.App(config, place, role), probe=probe, public=listener, leash=leash))
    finally:
        # The interpreter would look through every object there is for cycles, for a second, before the next release
        # may count this one as gone. All that has an end of its own has ended; the rest is memory.
        gc.freeze()


async def serve(
    app: app_module.App, *, probe: socket.socket | None, public: socket.socket, leash: int | None = None
) -> None:
    """Serve a release until SIGTERM or SIGINT.

    Args:
        app: the release.
        probe: under a supervisor, the socket on which it is asked for its health; None: nobody supervises, so the
            release prepares the database itself and becomes active.
        public: where the world comes in.
        leash: a descriptor at whose end it stops as well: its supervisor was killed.

    Raises:
        PersaisError: it cannot serve; under a supervisor it stays and says so on /health instead.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if leash is not None:
        loop.add_reader(leash, stop.set)
    url = None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(app.close)
        if probe is not None:
            await stack.enter_async_context(_listening(app.probe, probe))
        else:
            await stack.enter_async_context(_listening(app.asgi, public))
            url = app.settings.database_direct_url or app.settings.database_url
            if url is not None:
                await asyncio.to_thread(core_migrations.prepare, url.get_secret_value())
        try:
            try:
                await app.open()
            except errors.AgentError as error:
                # A supervisor would start another version; alone, one that answers /rollback beats one that ends. Not
                # while another version serves: then this one is a candidate, and was found wanting.
                if url is None or await activity.named(url.get_secret_value()) not in (None, app.place.commit):
                    raise
                log.error("the project's agents cannot be loaded, so they are left out", cause=str(error))
                app.leave_out_agents(str(error))
                await app.open()
            if probe is None and url is not None:
                await activity.activate(url.get_secret_value(), app.place.commit)
        except errors.PersaisError as error:
            log.error("this release cannot serve", cause=str(error))
            if probe is None:
                raise
            await stop.wait()
            return
        # What is there now stays: no use looking through it for garbage again and again while messages are answered.
        gc.freeze()
        gc.set_threshold(GARBAGE)
        running = asyncio.create_task(
            app.run(
                while_active=lambda: _listening(app.asgi, public) if probe is not None else contextlib.nullcontext()
            )
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        # Whoever posts an update from now on keeps it and comes again; what is being stored at the moment ends well.
        app.is_stopping = True
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@contextlib.asynccontextmanager
async def _listening(application: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Answer HTTP on a socket while the block lasts; the socket itself stays open for the next release."""
    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    server = asgi.Server(config)
    # uvicorn closes the socket it is given, and the connections waiting in the original's queue would be lost.
    task = asyncio.create_task(server.serve(sockets=[listener.dup()]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def commit_of(root: Path) -> str:
    """The commit that a folder has checked out, or `unversioned`."""
    import pygit2

    try:
        return str(pygit2.Repository(str(root / ".git")).head.target)
    except pygit2.GitError:
        return "unversioned"
