"""Drivers of a few lines in the place of ours, run by a plain Python between the real walls.

A driver's code may use `job()`, `lay_out(job)`, `tell(**result)` and `ask(job, body, **other)`, which calls the model
as the job says and returns status and text.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from persais_core.coders.aider import AiderCoder, environment
from persais_core.security.sandbox import Sandbox

HEAD = """
import http.client, json, os, pathlib, socket, subprocess, sys, threading, time

door = socket.socket(fileno=int(os.environ["PERSAIS_DOOR"]))
lines = door.makefile("rb")
open("ready", "w").close()  # this script has been read

gateway = socket.socket(fileno=int(os.environ["PERSAIS_GATEWAY"]))
line = http.client.HTTPConnection("gateway")
line.sock = gateway

def job():
    line = lines.readline()
    return json.loads(line) if line else sys.exit(0)

def lay_out(job):
    for path, text in job["files"].items():
        place = pathlib.Path(job["root"], path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return pathlib.Path(job["root"])

def tell(status="edited", **values):
    door.sendall(json.dumps({"status": status, **values}).encode() + b"\\n")

def ask(job, body=None, *, method="POST", path="/v1/chat/completions", token=None):
    content = json.dumps(body or {"model": job["model"], "messages": [{"role": "user", "content": "?"}]})
    line.request(method, path, content, {"Authorization": "Bearer " + (token or job["token"])})
    answer = line.getresponse()
    return answer.status, answer.read().decode()

"""


class StandIn:
    """A coder whose driver is this test's.

    Args:
        folder: for the driver and its environment, which is this Python's without any package.
        box: puts up the walls.
    """

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.driver, self.venv, self.box = folder / "driver" / "stand_in.py", folder / "venv", box
        self.driver.parent.mkdir(parents=True)
        real = Path(sys.executable).resolve()
        python = environment.python_of(self.venv)
        python.parent.mkdir(parents=True)
        python.symlink_to(real)
        (self.venv / "pyvenv.cfg").write_text(f"home = {real.parent}\n")
        stamp = hashlib.sha256(environment.requirements((3, 12)).encode()).hexdigest()
        (self.venv / environment.STAMP).write_text(stamp)

    def does(self, code: str) -> None:
        """What the next process does."""
        self.driver.write_text(HEAD + textwrap.dedent(code))

    def coder(self, code: str = "", **options: float) -> AiderCoder:
        """A coder whose processes do this."""
        self.does(code)
        return AiderCoder(self.venv, self.box, driver=self.driver, **options)

    def alive(self) -> list[int]:
        """The processes that run now, and what they started, as far as it was told the driver's path."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.driver).encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue  # it has just ended
        return found

    async def waits(self) -> int:
        """The one process that runs, once it does."""
        await until(lambda: any(Path(f"/proc/{pid}/cwd/ready").exists() for pid in self.alive()))
        [pid] = self.alive()
        return pid


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
