"""What a coder that was started ahead saves: the same edit by a process that waits and by one started for the job.

The model answers at once, so all that is left of a cold run is aider's own start. Each warm round starts its process
`AHEAD` before the job, which is less than a real model takes for a plan.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from bench import stand_ins
from bench.bots import CORE, BotBrokenError
from persais_core import coders
from persais_core.coders.base import CodeJob, Coder
from persais_core.security.sandbox import Sandbox

ROUNDS = 3
AHEAD = 6.0  # seconds
FILE = "bot/agents/echo.py"
BEFORE, AFTER = "    return text\n", '    return f"Echo: {text}"\n'
EDIT = f"{FILE}\n```python\n<<<<<<< SEARCH\n{BEFORE}=======\n{AFTER}>>>>>>> REPLACE\n```\n"


@dataclass(frozen=True)
class Coded:
    """Median seconds from the job to its result."""

    cold: float
    warm: float


def venv() -> Path:
    """Where aider's environment is, or will be made."""
    return Path(os.environ.get("AIDER_VENV") or CORE.parent / ".persais" / "aider-venv")


async def measure(folder: Path, tell: Callable[[str], None]) -> Coded:
    """Edit one file again and again.

    Args:
        folder: for the tree and what the runs leave behind.
        tell: prints one line; called while aider is fetched.

    Raises:
        BotBrokenError: an edit did not come out as it should.
        CoderError: aider cannot be had.
    """
    coder = coders.load("aider")(venv=venv(), box=Sandbox(secrets_present=False))
    await coder.prepare(lambda line: tell(f"  {line}"))
    try:
        async with stand_ins.served() as around:
            around.answer = EDIT
            cold, warm = [], []
            for number in range(ROUNDS):
                cold.append(await _edit(coder, around, folder / f"cold-{number}"))
                await coder.warm()
                await asyncio.sleep(AHEAD)
                warm.append(await _edit(coder, around, folder / f"warm-{number}"))
    finally:
        await coder.close()
    return Coded(statistics.median(cold), statistics.median(warm))


async def _edit(coder: Coder, around: stand_ins.StandIns, folder: Path) -> float:
    file = folder / "tree" / FILE
    file.parent.mkdir(parents=True)
    file.write_text(f"def answer(text: str) -> str:\n{BEFORE}")
    job = CodeJob(
        root=folder / "tree",
        edit=(FILE,),
        message='Put "Echo: " in front.',
        model="bench/instant",
        base_url=f"{around.url}/v1",
        api_key=SecretStr(around.key),
        scratch=folder / "scratch",
    )
    began = time.perf_counter()
    result = await coder.run(job)
    taken = time.perf_counter() - began
    if result.status != "edited" or AFTER not in file.read_text():
        raise BotBrokenError(f"the coder ended as {result.status}: {result.detail}")
    return taken
