"""A branch and a worktree of the change's own, so that the running bot's files never move."""

from __future__ import annotations

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.mechanic.workshop import Workshop


async def make(shop: Workshop, change: Change) -> None:
    """Make the branch and its worktree at the commit the plan was made for; may be repeated."""
    if change.branch is None or change.base is None:
        raise errors.ChangeError("there is no plan yet")
    await shop.repository.add_worktree(change.branch, change.base, shop.worktree(change.branch))
