"""A new release that may still be taken back, and what it is taken back for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from persais_core import errors
from persais_core.domain import first_turns
from persais_core.git.repository import Repository
from persais_core.supervisor.serving import FAILED_PROBES, Serving

ENDS = 2  # the first may be an accident of the machine


@dataclass
class Watch:
    """The watch over one new release.

    Args:
        deployment: its number.
        commit: what it serves.
        before: the commit that would then serve again; None when there is none, and it stays whatever it does.
        agents: those that differ from it, by name.
        until: when it has held, in seconds of `time.monotonic`.
    """

    deployment: int
    commit: str
    before: str | None
    agents: frozenset[str]
    until: float
    ends: list[str] = field(default_factory=list)
    spared_until: float = 0.0
    may_be_safe: bool = False

    def ended(self, how: str) -> None:
        """Count an end, or a start after one that failed.

        Args:
            how: what it did, as words that follow "it".
        """
        self.ends.append(how)

    def spare(self, seconds: float) -> None:
        """Let it go on for a while, since the version before does not start either: begin anew to count against it."""
        self.ends.clear()
        self.spared_until, self.may_be_safe = time.monotonic() + seconds, True

    def has_held(self, serving: Serving) -> bool:
        """Whether its time is over and it is well; one that is not is watched until it is."""
        return time.monotonic() > self.until and serving.is_well

    def trouble(self, serving: Serving) -> str | None:
        """Why the release must not go on, if so."""
        if self.before is None:
            return None
        if len(self.ends) >= ENDS:
            return f"it {', and then '.join(self.ends)}"
        release = serving.current
        if release is None or release.died or time.monotonic() < self.spared_until:
            return None
        if release.safe and not self.may_be_safe:
            return f"it starts only without the agents made here: {release.safe}"
        if excess := release.excess:
            return excess
        if serving.pulse.unwell >= FAILED_PROBES:
            return f"it did not answer {FAILED_PROBES} health checks in a row"
        return first_turns.trouble(serving.pulse.document.get("first_turns", {}), self.agents)


async def changed_agents(repository: Repository, before: str, now: str) -> frozenset[str]:
    """Names of the agents whose files differ between two commits; none where a commit is not there any more."""
    try:
        old, new = await repository.files(before), await repository.files(now)
    except errors.GitError:
        return frozenset()
    paths = [path for path in new if path.startswith("bot/agents/") and old.get(path) != new[path]]
    return frozenset(Path(path).stem for path in paths)
