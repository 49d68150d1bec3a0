"""Which agent [Try] speaks to.

A change that makes or edits an agent is tried by speaking to that one; one of a tool or a table alone by speaking to
an agent that uses it. The source is read for that, never run.
"""

from __future__ import annotations

from persais_core.checks import uses
from persais_core.domain.changes import Change
from persais_core.domain.plans import AGENT_FILE
from persais_core.git.repository import Repository


async def agent_of(repository: Repository, change: Change, commit: str) -> str | None:
    """Name of the agent by which a change is tried.

    Args:
        commit: what was delivered.

    Returns:
        The first agent that the plan makes or, if it makes none, changes; else the first that imports what it makes or
        changes, also by way of other modules; None where none does.
    """
    if change.plan is None or change.plan.agents:
        return change.plan.agents[0] if change.plan else None
    reached = {path for path in change.plan.files if path.startswith("bot/")}
    users = {}
    for path in sorted(await repository.files(commit)):
        if path.startswith("bot/") and path.endswith(".py"):
            users[path] = set(uses.imported(path, await repository.read(commit, path)))
    while more := {path for path, used in users.items() if path not in reached and used & reached}:
        reached |= more
    return next((found[1] for path in users if path in reached and (found := AGENT_FILE.match(path))), None)
