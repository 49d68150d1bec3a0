"""A trial in the sandbox, and the report that leaves it on a descriptor of its own.

`trial` is the program that is run there. Its report is no file in the folder of the run, as the code on trial can write
those; it comes through a pipe that only the outer process of the trial holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persais_core import processes
from persais_core.security import sandbox

PROGRAM = Path(__file__).with_name("trial.py")
MAX_BYTES = 16 << 20  # of a report


@dataclass(frozen=True)
class Report:
    """How a trial went.

    Args:
        outcome: of the program in the sandbox.
        exit_code: of the process that was on trial; None when nothing is known of it.
        said: what it said, in order; None when it ended before its end, or what it said is not its own.
    """

    outcome: sandbox.Outcome
    exit_code: int | None
    said: tuple[dict[str, Any], ...] | None


async def of_trial(
    box: sandbox.Sandbox,
    arguments: tuple[str, ...],
    *,
    folder: Path,
    env: dict[str, str],
    limits: sandbox.Limits,
    timeout_seconds: float,
    readable: tuple[Path, ...] = (),
    stdin: bytes = b"",
) -> Report:
    """Run a trial and take its report.

    Args:
        box: where it is run.
        arguments: `tests` and pytest's arguments, or `program`, a module and the file that it leaves.
        folder: a copy of the project; made for this.
        env: of the trial.
        limits: what it may use.
        timeout_seconds: wall clock.
        readable: further folders to read.
        stdin: what a program gets.

    Raises:
        SandboxError: the walls do not hold here, so nothing was run.
    """
    reading, writing = os.pipe()
    listening = asyncio.create_task(asyncio.to_thread(_read, reading))
    command = processes.Command(
        argv=(sys.executable, "-I", "-S", str(PROGRAM), str(writing), *arguments),
        cwd=folder,
        env=env,
        stdin=stdin,
        timeout_seconds=timeout_seconds,
        pass_fds=(writing,),
    )
    try:
        outcome = await box.run(command, folder=folder, limits=limits, readable=readable)
    finally:
        os.close(writing)  # now nobody holds the other end, and the reader comes back
        raw = await listening
    try:
        found = json.loads(raw)
        said = found["said"]
        return Report(outcome, int(found["exit"]), None if said is None else tuple(said))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Report(outcome, None, None)


def _read(reading: int) -> bytes:
    """Read to the end, keeping no more than a report may have."""
    kept = bytearray()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while chunk := pipe.read(65536):
            kept += chunk[: MAX_BYTES - len(kept)]
    return bytes(kept)
