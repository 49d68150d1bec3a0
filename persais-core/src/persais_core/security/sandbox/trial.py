"""Sends the trial program (`canary`) in, to see whether the walls hold on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from persais_core import processes
from persais_core.security.sandbox import leftovers
from persais_core.security.sandbox.copies import read_report
from persais_core.security.sandbox.launch import WallError, Walls, launch
from persais_core.security.sandbox.profiles import Identity, Limits

CANARY = Path(__file__).with_name("canary.py")


async def send(identity: Identity, readable: Sequence[str]) -> list[str]:
    """Run the trial program.

    Args:
        identity: who it runs as.
        readable: places that every program of this sandbox may read.

    Returns:
        The names of the ways by which it got out.

    Raises:
        WallError: a wall could not be put up, or the program could not do honest work.
    """
    prefix = await asyncio.to_thread(leftovers.prefix, "canary")
    with tempfile.TemporaryDirectory(prefix=prefix) as outside, contextlib.ExitStack() as stack:
        # The folder is open to strangers so that a uid of its own is given the chance to leak through file modes.
        base = Path(outside).resolve()
        base.chmod(0o755)
        secret = base / "secret"
        secret.write_text("canary")
        secret.chmod(0o644)
        (base / "drop").mkdir()
        (base / "drop").chmod(0o777)
        folder = base / "work"
        folder.mkdir(mode=0o700)
        tcp, udp = stack.enter_context(socket.socket()), stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        for door in (tcp, udp):
            door.bind(("127.0.0.1", 0))
        unix.bind(str(base / "drop" / "door"))
        (base / "drop" / "door").chmod(0o777)
        tcp.listen()
        unix.listen()
        task = {
            "secret": str(secret),
            "drop": str(base / "drop"),
            "bot": os.getpid(),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
        }
        command = processes.Command(
            argv=(sys.executable, "-I", "-S", str(CANARY), json.dumps(task)), cwd=folder, timeout_seconds=20
        )
        walls = Walls(identity, Limits(), readable=(str(CANARY), *readable))
        outcome = await launch(command, folder, walls)
        raw = read_report(folder, "report.json")
        if not outcome or raw is None:
            last = (outcome.stderr.strip().splitlines() or [outcome.stopped or f"exit code {outcome.exit_code}"])[-1]
            raise WallError(f"the trial program could not run: {last[:200]}")
        return [str(name) for name in json.loads(raw)]
