"""The skeletons of a plan's new parts, which import, type-check and pass their tests before anyone fills them."""

from __future__ import annotations

import asyncio

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.mechanic.workshop import Workshop
from persais_core.templates import engine


async def make(shop: Workshop, change: Change) -> tuple[str, ...]:
    """Render the new parts into the worktree.

    Returns:
        The files made, relative to the project; the same again when the step is repeated.
    """
    if change.plan is None or change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    folder = shop.worktree(change.branch)
    await shop.repository.reset(change.base, folder)
    if not change.plan.create:
        return ()
    return tuple(
        await asyncio.to_thread(engine.scaffold, folder, change.plan.create, migrations=True, language=change.language)
    )
