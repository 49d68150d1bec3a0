"""A branch and a worktree of the change's own, so that the running bot's files never move."""

from __future__ import annotations

import shutil

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.mechanic.workshop import Workshop


async def make(shop: Workshop, change: Change) -> None:
    """Make the branch and its worktree at the commit the plan was made for; may be repeated."""
    if change.branch is None or change.base is None:
        raise errors.ChangeError("there is no plan yet")
    await shop.repository.add_worktree(change.branch, change.base, shop.worktree(change.branch))


async def clear(shop: Workshop, change: Change, *, keep_branch: bool) -> None:
    """Remove what the change no longer needs; nothing that is gone already is missed."""
    if change.branch:
        await shop.repository.remove_worktree(change.branch, shop.worktree(change.branch), keep_branch=keep_branch)
        if not keep_branch:
            await shop.repository.delete_remote_branch(change.branch)
    shutil.rmtree(shop.scratch(change.id), ignore_errors=True)
