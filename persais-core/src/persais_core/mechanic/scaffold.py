"""The skeletons of a plan's new parts, which import, type-check and pass their tests before anyone fills them.

The owner's examples are written here too, before the code that is to answer them, and what the plan takes away goes
here: the coder can remove nothing, and may bring nothing back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.domain.chats import Language
from persais_core.domain.plans import Part
from persais_core.mechanic import examples, removal
from persais_core.mechanic.workshop import Workshop
from persais_core.templates import engine


async def make(shop: Workshop, change: Change) -> tuple[str, ...]:
    """Take away what goes, render the new parts into the worktree, and keep the plan's examples there.

    Returns:
        The files of the parts, relative to the project; the same again when the step is repeated. Those of the
        examples are told by `examples.paths`.

    Raises:
        ExamplesError: a file of examples cannot be used, or has no room left.
    """
    if change.plan is None or change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    folder = shop.worktree(change.branch)
    await shop.repository.reset(change.base, folder)
    await asyncio.to_thread(removal.take_away, folder, change.plan)
    await asyncio.to_thread(examples.write, folder, change.plan)
    return await add(folder, change.plan.create, language=change.language)


async def add(folder: Path, parts: Sequence[Part], *, language: Language) -> tuple[str, ...]:
    """Render new parts into a worktree.

    Returns:
        Their files, relative to the project.

    Raises:
        ScaffoldError: a name cannot be used, or a file is there already; nothing was written.
    """
    if not parts:
        return ()
    # No revision files: what a change does to the tables is proven and stored by `migrate`.
    return await asyncio.to_thread(engine.scaffold, folder, parts, language=language)
