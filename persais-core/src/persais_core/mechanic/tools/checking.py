"""`system_check`: how the bot is, and what the checks say of its files, of a change, or of the draft."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import select

from persais_core import checks, errors
from persais_core.checks import imports
from persais_core.checks.base import ChangedFile, Subject
from persais_core.db.tables.evolution import ActiveRelease
from persais_core.domain.changes import Verdict
from persais_core.domain.chats import Value
from persais_core.mechanic import verify
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop
from persais_core.security import sandbox

MODE = 0o100644
NOT_OF_MAIN = {"paths", "migrations"}
"""Which files main may hold is nobody's question, and its tables are as it wants them."""

CheckName = Literal["paths", "imports", "secrets", "lint", "typecheck", "migrations", "tests", "examples"]


class CheckArguments(Value):
    """What to look at.

    Args:
        of: state (how the bot is; no checks), main (the project's files), change (one that is open), or draft.
        change: its number, for `of` change.
        part: only the files of this agent, tool or schema, for `of` main.
        checks: which checks; all that apply where none is named.
    """

    of: Literal["state", "main", "change", "draft"] = "state"
    change: int | None = Field(default=None, ge=1)
    part: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    checks: tuple[CheckName, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> CheckArguments:
        if (self.change is not None) is not (self.of == "change"):
            raise ValueError("change is given exactly where `of` is change")
        return self


class CheckResult(Value):
    """What was found.

    Args:
        passed: whether all checks passed; None where none was asked.
        verdicts: of the checks, in their order.
        state: facts about the bot, for `of` state.
    """

    of: str
    passed: bool | None = None
    verdicts: tuple[Verdict, ...] = ()
    state: dict[str, Any] = Field(default_factory=dict)


async def system_check(shop: Workshop, draft: Draft, asked: CheckArguments) -> CheckResult:
    """Look at the bot, or ask the checks; nothing is changed, and nothing is stored.

    Raises:
        ChangeError: there is no such change or part, or it has no files yet.
    """
    if asked.of == "state":
        return CheckResult(of=asked.of, state=await _state(shop))
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="check-", dir=shop.scratch(draft.change.id)))
    scratch.chmod(0o711)  # the sandbox's own uid, where there is one, passes through it
    try:
        subject = dataclasses.replace(await _subject(shop, draft, asked, scratch), scratch=scratch)
        apply = tuple(n for n in checks.ORDER if asked.of != "main" or n not in NOT_OF_MAIN)
        verdicts = await checks.verify(subject, names=asked.checks or apply)
    finally:
        await sandbox.remove_tree(scratch)
    return CheckResult(of=asked.of, passed=all(verdict.passed for verdict in verdicts), verdicts=verdicts)


async def _subject(shop: Workshop, draft: Draft, asked: CheckArguments, scratch: Path) -> Subject:
    if asked.of == "draft":
        return await verify.subject_of(shop, await draft.open(), keeps=False)
    if asked.of == "change":
        assert asked.change is not None
        change = await shop.ledger.get(asked.change)
        if change.commit is None and (change.branch is None or not shop.worktree(change.branch).is_dir()):
            raise errors.ChangeError(f"change {change.id} has no files yet, or not any more")
        folder = scratch / "change"
        if change.commit is not None:
            # What was delivered, rather than what lies in the worktree: that is what would be deployed.
            await shop.repository.export(change.commit, folder)
            return await verify.subject_of(shop, change, keeps=False, folder=folder)
        return await verify.subject_of(shop, change, keeps=False)
    commit = await shop.repository.main()
    folder = scratch / "main"
    await shop.repository.export(commit, folder)
    paths = [path for path in sorted(await shop.repository.files(commit)) if _is_of(path, asked.part)]
    if not paths:
        raise errors.ChangeError(f"there is no agent, tool or schema {asked.part}" if asked.part else "it is empty")
    sizes = {path: (folder / path).stat().st_size for path in paths}
    return Subject(
        root=folder,
        base=commit,
        allowed=tuple(paths),
        changed=tuple(ChangedFile(path=path, mode=MODE, status="modified", size=sizes[path]) for path in paths),
        sandbox=shop.sandbox,
        scratch=scratch,
        allowed_more=await imports.owners_lists(shop.repository, commit),
    )


def _is_of(path: str, part: str | None) -> bool:
    """Whether a path is a file of the project's own parts, or of one of them."""
    folder, _, file = path.rpartition("/")
    kinds = ("agents", "tools", "schemas")
    if not path.endswith(".py") or folder not in {f"{top}/{kind}" for top in ("bot", "tests") for kind in kinds}:
        return False
    if part is None:
        return not file.startswith("_")
    return file == (f"test_{part}.py" if folder.startswith("tests/") else f"{part}.py")


async def _state(shop: Workshop) -> dict[str, Any]:
    async with shop.database.session() as session:
        active = (await session.execute(select(ActiveRelease))).scalars().first()
    isolation = await shop.sandbox.probe()
    opened = await shop.ledger.open_changes()
    return {
        "main": await shop.repository.main(),
        "serves": active.commit if active else None,
        "sandbox": isolation.state,
        "models": {"chat": shop.models.default, "coder": shop.models.coder},
        "deployed_changes": len(await shop.ledger.deployed()),
        "open_changes": [
            {"change": c.id, "state": c.state.value, "branch": c.branch, "request": c.request[:200]} for c in opened
        ],
    }
