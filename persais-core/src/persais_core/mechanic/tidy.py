"""What a formatter can mend is mended before the checks, so that no round of the coder is spent on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from persais_core import processes

RULES = "I,F401,UP,W"  # order of imports, unused ones, newer spelling, white space
WITHIN = 20.0  # seconds


async def run(folder: Path, paths: Sequence[str]) -> None:
    """Let ruff put the named files in order; what it cannot read stays as it is, and the checks say why.

    Ruff reads the files and runs nothing in them; a configuration in the tree is not looked at.
    """
    there = [path for path in paths if path.endswith(".py") and (folder / path).is_file()]
    if not there:
        return
    ruff = (sys.executable, "-P", "-m", "ruff")
    common = ("--isolated", "--no-cache", "--line-length", "120", "--quiet")
    known = ("--config", "lint.isort.known-first-party=['bot', 'persais_core']")
    for arguments in (("check", *common, "--fix", "--select", RULES, *known), ("format", *common)):
        await processes.run(
            processes.Command(
                argv=(*ruff, *arguments, "--", *there),
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                timeout_seconds=WITHIN,
            )
        )
