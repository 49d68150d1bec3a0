"""What a check is given, and what it says.

A check reads a candidate tree and gives one verdict. It raises nothing: `verify` in the package turns a crash into a
failed verdict, as whoever wrote the tree may have wanted the check to crash. Checks that would execute a byte of the
candidate (types, tests) do it in the sandbox, on a copy that is made once and shared.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from persais_core import errors
from persais_core.db import app_sql
from persais_core.domain import changes, plans
from persais_core.security import sandbox

MAX_FILE = 200_000  # bytes; no agent is longer, and everything after this costs more with size
MAX_FINDINGS = 20
MAX_FINDING = 700  # characters; the names of all modules that may be imported take most of it


@dataclass(frozen=True)
class ChangedFile:
    """One path that differs from the commit the change started from.

    Args:
        path: relative to the project, with `/`.
        mode: as git would store it (0o100644, 0o120000 …); None when deleted.
        status: what happened to it.
        size: in bytes.
    """

    path: str
    mode: int | None
    status: Literal["added", "modified", "deleted"]
    size: int = 0


@dataclass(frozen=True)
class Subject:
    """A candidate tree and what is known about it.

    Args:
        root: the worktree.
        base: commit it started from, 40 hex digits.
        allowed: exact paths that the plan may touch.
        removed: exact paths that the plan takes away; they may not be there.
        changed: all that differs from `base`, as git sees it.
        sandbox: runs what must be run.
        scratch: folder for copies and reports; the caller makes and removes it.
        examples: the text of each file of examples that belongs to the change, by its path, as we wrote it.
        former: the text that each changed schema or test file had before, by its path.
        database_url: a direct address of the bot's database, on which changes of the tables are tried with a copy.
        renames: fields that are called otherwise from now on, as the plan says.
        allowed_more: the owner's own `allowed.toml` as it stands in the base commit; empty when there is none.
        keep: is given the change of the tables that was proven, also where it is none.
    """

    root: Path
    base: str
    allowed: tuple[str, ...]
    changed: tuple[ChangedFile, ...]
    sandbox: sandbox.Sandbox
    scratch: Path
    removed: tuple[str, ...] = ()
    examples: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)
    database_url: str | None = None
    renames: tuple[plans.FieldRename, ...] = ()
    allowed_more: str = ""
    keep: Callable[[app_sql.Migration], Awaitable[None]] | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """Paths of the changed Python files that exist."""
        return tuple(file.path for file in self.changed if file.status != "deleted" and file.path.endswith(".py"))

    @property
    def tree(self) -> Path:
        """Where `copied` puts the copy of the project."""
        return self.scratch / "tree"

    async def copied(self) -> Path:
        """The copy of the project that programs in the sandbox work on, made at the first call.

        Raises:
            SandboxError: the project cannot be copied.
        """
        if not self.tree.exists():
            await asyncio.to_thread(sandbox.copy_tree, self.root, self.tree)
        return self.tree


class Check(Protocol):
    """One question asked about a candidate."""

    name: str

    async def __call__(self, subject: Subject) -> changes.Verdict:
        """Give the verdict; findings are for the coder, one line each."""
        ...


def read(subject: Subject, path: str) -> bytes:
    """Read a file of the candidate, not following a link and not waiting for a pipe.

    Raises:
        CheckError: it is not a plain file, or too large.
    """
    try:
        place = os.open(subject.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CheckError(f"{path}: cannot be read ({error.strerror})") from None
    with os.fdopen(place, "rb") as file:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:
            raise CheckError(f"{path}: is no plain file of at most {MAX_FILE // 1000} kB")
        return file.read(MAX_FILE)


class CheckError(errors.ChangeError):
    """A check could not look at what it was given. It counts as failed."""


def passed(check: str, summary: str) -> changes.Verdict:
    """A verdict without findings."""
    return changes.Verdict(check=check, passed=True, summary=summary)


def failed(check: str, summary: str, findings: Iterable[str] = ()) -> changes.Verdict:
    """A verdict that stops a change; findings beyond the first twenty are counted, not listed."""
    lines = [finding.strip() for finding in findings]  # what is quoted in them may be spaces
    lines = [line if len(line) <= MAX_FINDING else f"{line[: MAX_FINDING - 1]}…" for line in lines]
    if len(lines) > MAX_FINDINGS:
        lines = [*lines[:MAX_FINDINGS], f"… and {len(lines) - MAX_FINDINGS} more"]
    return changes.Verdict(check=check, passed=False, summary=summary, findings=tuple(lines))


def count(number: int, one: str, many: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{number} {one if number == 1 else many}"
