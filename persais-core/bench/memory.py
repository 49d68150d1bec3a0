"""What a process holds in memory."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Megabytes (10**6 bytes).

    Args:
        rss: resident, shared pages counted in full.
        pss: resident, shared pages counted by their share; None where the system does not tell.
    """

    rss: float
    pss: float | None


def of(pid: int) -> Memory:
    """The memory of one process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if rollup.exists():
        fields = {line.split()[0]: int(line.split()[1]) for line in rollup.read_text().splitlines()[1:]}
        return Memory(fields["Rss:"] * 1024 / 1e6, fields["Pss:"] * 1024 / 1e6)
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return Memory(int(done.stdout) * 1024 / 1e6, None)


def child(pid: int, word: str) -> int | None:
    """The first child process of a process with a word in its command line."""
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        number, parent, *arguments = line.split()
        if int(parent) == pid and word in arguments:
            return int(number)
    return None
