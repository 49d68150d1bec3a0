"""Folders in the system's place for temporary ones: whoever is killed leaves theirs there, and no other removes them.

So each bears the number of its process, and whoever makes one of the same kind removes those of processes that are
gone.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path


def prefix(kind: str) -> str:
    """How the name of a folder of this process begins, after those that were left behind are removed. Blocks.

    Args:
        kind: what the folder is for; one word.
    """
    begins = f"persais-{kind}-"
    left = [folder for folder in Path(tempfile.gettempdir()).glob(f"{begins}*") if _is_left(folder, begins)]
    if left:  # Python's own rmtree breaks at a tree that is deeper than its stack
        subprocess.run(["rm", "-rf", "--", *left], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    return f"{begins}{os.getpid()}-"


def _is_left(folder: Path, begins: str) -> bool:
    owner = folder.name.removeprefix(begins).partition("-")[0]
    return owner.isdecimal() and not _lives(int(owner))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
