"""A branch and a worktree of the change's own, so that the running bot's files never move."""

from __future__ import annotations

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.mechanic.workshop import Workshop


async def make(shop: Workshop, change: Change) -> str:
    """Make the branch and its worktree at the commit the plan was made for.

    Returns:
        The name of the branch, the same again when the step is repeated.
    """
    if change.plan is None or change.base is None:
        raise errors.ChangeError("there is no plan yet")
    branch = change.branch or await shop.repository.next_branch(change.plan.slug)
    await shop.repository.add_worktree(branch, change.base, shop.worktree(branch))
    return branch
