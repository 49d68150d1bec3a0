"""How long the gates take: reading a change of ten files, and running a program in the sandbox instead of beside it."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import bots
from persais_core import checks, processes
from persais_core.checks import base
from persais_core.security.sandbox import Sandbox

FILES = 10
ROUNDS = 5
RUNS = 11
HONEST = bots.CORE / "tests" / "hostile" / "honest" / "bot"
GUARDS = ("paths", "imports", "secrets")


@dataclass(frozen=True)
class Gates:
    """Medians, in seconds.

    Args:
        static: the three gates that read, on a change of `FILES` files.
        bare: a program that does nothing.
        walled: the same program in the sandbox.
    """

    static: float
    bare: float
    walled: float

    @property
    def overhead(self) -> float:
        """What the walls cost."""
        return self.walled - self.bare


async def measure(folder: Path, tell: Callable[[str], None]) -> Gates:
    """Measure both."""
    box = Sandbox(secrets_present=False)
    tell((await box.probe()).state)
    subject = _change(folder / "gates", box)
    static = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        verdicts = await checks.verify(subject, names=GUARDS)
        static.append(time.perf_counter() - began)
        assert all(verdict.passed for verdict in verdicts), verdicts
    with tempfile.TemporaryDirectory(prefix="persais-bench-") as work:
        place = Path(work)
        place.chmod(0o755)
        command = processes.Command(argv=("true",), cwd=place)
        bare, walled = [], []
        for _ in range(RUNS):
            began = time.perf_counter()
            await asyncio.to_thread(subprocess.run, ["true"], check=True)
            bare.append(time.perf_counter() - began)
            began = time.perf_counter()
            await box.run(command, folder=place)
            walled.append(time.perf_counter() - began)
    return Gates(statistics.median(static), statistics.median(bare), statistics.median(walled))


def _change(root: Path, box: Sandbox) -> base.Subject:
    """A change of honest files, with all that they import beside them."""
    paths = []
    for sample in sorted(HONEST.rglob("*.py.txt")):
        path = root / "bot" / sample.relative_to(HONEST).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.read_bytes())
        paths.append(path.relative_to(root).as_posix())
    chosen = paths[:: len(paths) // FILES][:FILES]
    changed = tuple(base.ChangedFile(path, 0o100644, "added", (root / path).stat().st_size) for path in chosen)
    return base.Subject(root, "0" * 40, tuple(chosen), changed, box, root.parent / "gates-scratch")
