"""Where a release lies, and what one process does of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from persais_core.queue.activity import Duty

Role = Literal["all", "web", "worker"]
DUTIES: dict[Role, frozenset[Duty]] = {
    "all": frozenset({"intake", "work"}),
    "web": frozenset({"intake"}),
    "worker": frozenset({"work"}),
}


@dataclass(frozen=True)
class Place:
    """Where a release lies.

    Args:
        root: absolute folder that holds `bot/`.
        commit: what was exported there.
        workspace: the repository that evolves; its remote `persais` is where changes are merged.
        broken: why the project's own agents are left out: the bot then starts in safe mode, with what the core brings.
        is_supervised: somebody at a terminal tells its owner the claim code, so the log need not.
    """

    root: Path
    commit: str
    workspace: Path
    is_supervised: bool = False
    broken: str | None = None
