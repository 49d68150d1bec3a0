"""What a process has used of the processors, as the system counts it."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Seconds of processor time of one process, all its threads together; 0 where the system does not tell."""
    file = Path(f"/proc/{pid}/stat")
    if not file.exists():
        return 0.0
    fields = file.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def of_database(name: str) -> float:
    """Seconds of processor time of the server's processes that serve one database now."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").split()
            if words[:1] == ["postgres:"] and name in words:
                total += seconds(int(folder.name))
        except (OSError, ValueError):
            continue  # it has ended meanwhile
    return total
