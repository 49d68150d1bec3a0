"""How long the short commands take, and how much there is to be installed.

What is built and installed for it is what `make try-wheel` builds and installs.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import coding, table
from bench.bots import CORE, BotBrokenError
from persais_core.testing import live

ROUNDS = 5
HELP_AIM = 0.4  # seconds
IMAGE = "[evolve,github,obs,page]"
"""The extras that stand in the Dockerfile of a project."""


def commands(folder: Path) -> list[table.Row]:
    """`persais --help`, `persais new`, and `persais doctor` in the project it made.

    Args:
        folder: for the projects.
    """
    help_time = _median([["--help"]] * ROUNDS, folder)
    new = _median([["new", str(folder / f"new-{number}")] for number in range(ROUNDS)], folder)
    # It looks at a database and a model that are not there, and says so; that takes as long as anything else.
    doctor = _median([["doctor"]] * ROUNDS, folder / "new-0")
    return [
        table.seconds(f"persais --help, median of {ROUNDS}", help_time, most=HELP_AIM),
        table.seconds(f"persais new, median of {ROUNDS}", new),
        table.seconds(f"persais doctor in a new project, median of {ROUNDS}", doctor),
    ]


def _median(commands: Sequence[Sequence[str]], folder: Path) -> float:
    program, taken = str(Path(sys.executable).parent / "persais"), []
    surroundings: Mapping[str, str] = dict(os.environ) | dict.fromkeys(live.ALONE, "")
    for words in commands:
        began = time.perf_counter()
        subprocess.run([program, *words], cwd=folder, env=surroundings, capture_output=True, check=False)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def installed() -> list[table.Row]:
    """The wheel, what it brings along, and the layers of an image that only come from those.

    Raises:
        BotBrokenError: it could not be built or installed.
    """
    script = CORE.parent / "scripts" / "try_wheel.py"
    done = subprocess.run([sys.executable, script, "--sizes"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BotBrokenError(f"{script.name} failed: {done.stderr.strip()[-500:]}")
    found = [line.rpartition(": ") for line in done.stdout.splitlines()]
    rows = [table.Row(label, value) for label, _, value in found if re.fullmatch(r"[0-9]+ [kM]B", value)]
    aider = coding.venv()
    if aider.exists():
        size = sum(file.lstat().st_size for file in aider.rglob("*") if not file.is_symlink()) / 1e6
        rows.append(table.Row("aider in its environment", f"{size:.0f} MB"))
        [image] = [row for row in rows if IMAGE in row.label]
        layers = float(image.ours.split()[0]) + size
        rows.append(table.Row("image: our layers, before they are compressed", f"{layers:.0f} MB"))
    return rows
