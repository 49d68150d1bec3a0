"""The checks, on the real change set of the worktree, in their order."""

from __future__ import annotations

import functools
from pathlib import Path

from persais_core import checks, errors
from persais_core.checks import imports
from persais_core.checks.base import ChangedFile, Subject
from persais_core.domain.changes import Change, Verdict
from persais_core.domain.chats import Value
from persais_core.git.trees import TreeFile
from persais_core.mechanic import examples, migrate, noted
from persais_core.mechanic.workshop import Workshop


class Judged(Value):
    """What the checks found in the worktree of a change.

    Args:
        files: the changed paths.
        verified: a digest of what they held when they were judged.
        losses: what the change drops or binds in the tables, in words for the card.
        left: what earlier changes have left to be dropped or bound there.
    """

    files: tuple[str, ...]
    verified: str
    verdicts: tuple[Verdict, ...]
    losses: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the change may be delivered."""
        return all(verdict.passed for verdict in self.verdicts)


async def judge(shop: Workshop, change: Change) -> Judged:
    """Have the checks judge the worktree of a change, each verdict shown as it falls.

    Raises:
        ChangeError: candidate code may not be run here; no verdict was given.
    """
    seen: list[Verdict] = []

    async def tell(verdict: Verdict) -> None:
        seen.append(verdict)
        await shop.ledger.update(change.id, verdicts=tuple(seen))

    isolation = await shop.sandbox.probe()
    await shop.ledger.update(change.id, unsandboxed=isolation.state != "enforced")
    if isolation.state == "refused":
        # No round of the coder could mend that, and no verdict is better than one about code that was not run.
        await noted.not_run(shop, change, isolation)
        raise errors.ChangeError(
            f"the tests were not run, as the sandbox is unavailable ({isolation.reason})",
            key="tests-not-run",
            cause=isolation.reason,
        )
    subject = await subject_of(shop, change, keeps=True)
    paths = tuple(file.path for file in subject.changed)
    verified = await shop.repository.fingerprint(subject.root, paths)
    verdicts = await checks.verify(subject, tell=tell)
    await noted.checked(shop, change, verdicts)
    async with shop.database.session() as session:
        losses = await migrate.losses(session, change.id, change.language)
        left = await migrate.left(session, change.id, change.language)
    return Judged(files=paths, verified=verified, verdicts=verdicts, losses=losses, left=left)


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
        allowed=(*change.writable, *examples.paths(change.plan)),
        removed=change.plan.gone if change.plan else (),
        allowed_more=await imports.owners_lists(shop.repository, change.base),
        changed=tuple(ChangedFile(path=f.path, mode=f.mode, status=f.status, size=f.size) for f in changed),
        sandbox=shop.sandbox,
        scratch=shop.scratch(change.id),
        examples=await examples.expected(shop, change),
        former=await migrate.former(shop, change, [file.path for file in changed]),
        database_url=shop.database.direct_url,
        renames=change.plan.renames if change.plan else (),
        keep=functools.partial(migrate.keep, shop, change.id) if keeps else None,
    )
