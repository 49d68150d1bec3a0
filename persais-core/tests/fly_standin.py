"""Fly.io on this computer: what is pushed to main becomes a real process beside the old one, takes its place when it is
healthy, and is reached through one address all the time. The image is a folder with the commit's files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from github_standin import GitHubStandIn
from persais_core import processes, settings

HEALTHY_WITHIN = 60.0  # seconds


@dataclass
class Machine:
    """One running version."""

    commit: str
    port: int
    process: asyncio.subprocess.Process


@dataclass
class FlyStandIn:
    """One app.

    Attributes:
        url: its public address.
        breaks: how many of the next versions never get healthy.
        log: of all machines together.
    """

    url: str
    hub: GitHubStandIn
    folder: Path
    environment: dict[str, str]
    breaks: int = 0
    machine: Machine | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "machines.log"

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, hub: GitHubStandIn, folder: Path, **environment: str) -> AsyncIterator[FlyStandIn]:
        """Deploy what main is, and whatever it becomes while the block runs."""
        folder.mkdir()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            made = cls(f"http://127.0.0.1:{listening.getsockname()[1]}", hub, folder, environment)
            proxy = Starlette(routes=[Route("/{path:path}", made._pass_on, methods=["GET", "POST"])])
            config = uvicorn.Config(proxy, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve(sockets=[listening]))
            await made._deploy(hub.main)
            following = asyncio.create_task(made._follow())
            try:
                yield made
            finally:
                following.cancel()
                await asyncio.wait([following])
                await made._stop(made.machine)
                server.should_exit = True
                await serving

    async def _pass_on(self, request: Request) -> Response:
        if self.machine is None:
            return Response(status_code=502)
        address = f"http://127.0.0.1:{self.machine.port}{request.url.path}"
        try:
            async with httpx.AsyncClient(timeout=30) as client:
                kept = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
                answer = await client.request(
                    request.method, address, content=await request.body(), headers=kept, params=request.query_params
                )
        except httpx.HTTPError:
            return Response(status_code=502)
        return Response(answer.content, answer.status_code)

    async def _follow(self) -> None:
        """What the workflow does on each push to main, one after the other."""
        done = self.hub.main
        while True:
            if (main := self.hub.main) != done:
                done = main
                ended = "success" if await self._deploy(main) else "failure"
                run = {"head_sha": main, "status": "completed", "conclusion": ended, "name": "Deploy"}
                self.hub.runs.append(run | {"html_url": f"{self.hub.url}/runs/{main[:7]}"})
            await asyncio.sleep(0.1)

    async def _deploy(self, commit: str) -> bool:
        """Start a version beside the one that serves; it takes over when it is healthy, or is thrown away."""
        image = self.folder / commit[:12]
        if not image.exists():
            await processes.run(
                processes.Command(
                    (
                        "sh",
                        "-c",
                        f"mkdir -p {image} && git --git-dir {self.hub.path} archive {commit} | tar x -C {image}",
                    ),
                    cwd=self.folder,
                    env={"PATH": os.environ["PATH"]},
                )
            )
        fresh = await self._start(commit, image)
        try:
            async with asyncio.timeout(HEALTHY_WITHIN):
                while not await self._is_healthy(fresh):
                    if fresh.process.returncode is not None:
                        return False
                    await asyncio.sleep(0.1)
        except TimeoutError:
            await self._stop(fresh)
            return False
        except asyncio.CancelledError:
            fresh.process.kill()
            raise
        old, self.machine = self.machine, fresh
        await self._stop(old)
        return True

    async def _start(self, commit: str, image: Path) -> Machine:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        values = self.environment | {
            "PORT": str(port),
            "PERSAIS_COMMIT": commit,
            "PERSAIS_HOME": str(self.folder / f"home-{commit[:12]}"),
            "FLY_APP_NAME": "my-bot",
            "APP_BASE_URL": self.url,
        }
        if self.breaks:
            self.breaks -= 1
            values["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
        log = self.log.open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "persais_core", "serve",
            cwd=image, env=settings.child_environment(**values),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        return Machine(commit, port, process)

    async def _is_healthy(self, machine: Machine) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=5) as client:
                return (await client.get(f"http://127.0.0.1:{machine.port}/health")).status_code == 200
        return False

    async def _stop(self, machine: Machine | None) -> None:
        if machine is None or machine.process.returncode is not None:
            return
        machine.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(machine.process.wait(), 60)
        except TimeoutError:
            machine.process.kill()
            await machine.process.wait()
