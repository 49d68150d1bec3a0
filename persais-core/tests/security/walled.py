"""What is seen from outside of who works between the walls."""

from __future__ import annotations

import asyncio
from pathlib import Path


def ours(folder: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(link.readlink()).startswith(str(folder)):
                found.append(link.parent.name)
        except OSError:
            continue
    return found


async def at_work(folder: Path) -> None:
    """Wait until somebody works in a folder."""
    async with asyncio.timeout(60):
        while not ours(folder):
            await asyncio.sleep(0.01)
