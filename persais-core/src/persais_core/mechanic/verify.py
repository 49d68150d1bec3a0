"""The checks, on the real change set of the worktree, in their order."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

from persais_core import checks, errors
from persais_core.checks import imports
from persais_core.checks.base import ChangedFile, Subject
from persais_core.domain.changes import Change, Verdict
from persais_core.git.trees import TreeFile
from persais_core.mechanic import cards, examples, migrate
from persais_core.mechanic.workshop import Workshop


async def verify(
    shop: Workshop, change: Change, tell: Callable[[Verdict], Awaitable[None]]
) -> tuple[tuple[str, ...], str, tuple[Verdict, ...]]:
    """Judge the worktree of a change.

    Args:
        tell: called with each verdict as it falls.

    Returns:
        The changed paths, a digest of what they held when they were judged, and the verdicts.

    Raises:
        SandboxError: candidate code may not be run here.
    """
    subject = await subject_of(shop, change, keeps=True)
    paths = tuple(file.path for file in subject.changed)
    seen = await shop.repository.fingerprint(subject.root, paths)
    verdicts = await checks.verify(subject, tell=tell)
    return paths, seen, verdicts


async def subject_of(
    shop: Workshop,
    change: Change,
    *,
    keeps: bool,
    folder: Path | None = None,
    changed: tuple[TreeFile, ...] | None = None,
) -> Subject:
    """What the checks are given about a change.

    Args:
        keeps: whether the change of the tables that is proven is stored for the change, to be run with it.
        folder: where its files lie; its worktree where none is named.
        changed: what differs there from its base; looked for where it is not known.
    """
    if change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    folder = folder or shop.worktree(change.branch)
    if changed is None:
        changed = await shop.repository.changed(change.base, folder)
    return Subject(
        root=folder,
        base=change.base,
        allowed=(*cards.writable_files(change), *examples.paths(change.plan)),
        allowed_more=await imports.owners_lists(shop.repository, change.base),
        changed=tuple(ChangedFile(path=f.path, mode=f.mode, status=f.status, size=f.size) for f in changed),
        sandbox=shop.sandbox,
        scratch=shop.scratch(change.id),
        examples=await examples.expected(shop, change),
        former=await migrate.former(shop, change, [file.path for file in changed]),
        database_url=shop.database.direct_url,
        keep=functools.partial(migrate.keep, shop, change.id) if keeps else None,
    )
