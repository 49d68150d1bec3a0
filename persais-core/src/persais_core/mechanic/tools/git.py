"""`manage_git`: looking into the repository. Nothing here writes: branches, commits and merges are a change's steps."""

from __future__ import annotations

import asyncio
import difflib
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from persais_core import errors
from persais_core.checks.base import MAX_FILE
from persais_core.domain.chats import Value
from persais_core.git.repository import Repository

MAX_TEXT = 12_000  # characters of one answer

REF = re.compile(r"(main|draft|feat/[a-z0-9-]{1,60}|[0-9a-f]{7,40})\Z")

COMMIT = re.compile(r"[0-9a-f]{7,40}\Z")

Action = Literal["status", "log", "diff", "branches", "show"]


class GitArguments(Value):
    """What to look at.

    Args:
        action: status and diff of the draft or of a branch against main, of a commit that is in main against its first
            parent; log; branches; show one file, or without a path the names of all.
        ref: main, draft, the branch of a change, or the digits of a commit.
        path: of the file to show, relative to the project.
        limit: commits of the log.
    """

    action: Action
    ref: str = Field(default="main", max_length=70)
    path: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=20, ge=1, le=50)

    @field_validator("ref")
    @classmethod
    def _known_kind(cls, ref: str) -> str:
        if not REF.match(ref):
            raise ValueError("must be main, draft, the branch of a change, or at least 7 digits of a commit")
        return ref

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str | None) -> str | None:
        if path is not None and (path.startswith("/") or {"", ".", ".."} & set(path.split("/"))):
            raise ValueError("must be a plain path inside the project")
        return path


class GitResult(Value):
    """What was found; `text` is cut where `is_cut` says so."""

    action: Action
    ref: str
    text: str
    is_cut: bool = False


async def manage_git(
    repository: Repository, asked: GitArguments, *, folder: Path | None = None, base: str = "main"
) -> GitResult:
    """Look into the repository.

    Args:
        folder: the files that `draft` stands for.
        base: what the draft began with, and what the draft is compared with.

    Raises:
        GitError: there is no such branch, commit or file.
    """
    text = await _text(repository, asked, folder, base)
    return GitResult(action=asked.action, ref=asked.ref, text=text[:MAX_TEXT], is_cut=len(text) > MAX_TEXT)


async def _text(repository: Repository, asked: GitArguments, folder: Path | None, base: str) -> str:
    if asked.action == "branches":
        return "\n".join(f"{name} {commit[:12]} {subject}" for name, commit, subject in await repository.branches())
    if asked.ref == "draft":
        if folder is None:
            raise errors.GitError("there is no draft yet; scaffold_feature or run_coder_task makes one")
        return await _of_draft(repository, asked, folder, await repository.resolve(base))
    commit = await repository.resolve(asked.ref)
    if asked.action == "show":
        there = await repository.files(commit)
        if asked.path is None:
            return "\n".join(sorted(there))
        if asked.path not in there:
            raise errors.GitError(f"{asked.ref} has no file {asked.path}")
        return await repository.read(commit, asked.path)
    if asked.action == "log":
        return "\n".join(f"{made[:12]} {subject}" for made, subject in await repository.log(commit, asked.limit))
    fork = await repository.fork(await repository.resolve("main"), commit)
    note, same = "", "nothing differs from main"
    if fork == commit and COMMIT.match(asked.ref):
        parent = await repository.first_parent(commit)
        if parent is None:
            return f"{asked.ref} is the first commit, so there is nothing to compare it with; show lists its files"
        note, same = f"{asked.ref} is in main; against its first parent {parent[:12]}:\n", "nothing differs"
        fork = parent
    diff = await repository.diff(fork, commit)
    if asked.action == "diff":
        return note + (diff or same)
    names = [line.removeprefix("diff --git a/").partition(" b/")[0] for line in diff.splitlines() if _begins(line)]
    return note + "\n".join([f"{asked.ref} is {commit}", *(f"changed {name}" for name in names)])


async def _of_draft(repository: Repository, asked: GitArguments, folder: Path, base: str) -> str:
    changed = await repository.changed(base, folder)
    if asked.action == "status":
        return "\n".join(f"{file.status} {file.path}" for file in changed) or "nothing is changed"
    if asked.action == "log":
        raise errors.GitError("a draft has no commits; ask for the log of main")
    there = await repository.files(base)
    if asked.action == "show":
        if asked.path is not None:
            return await asyncio.to_thread(_read, folder, asked.path)
        gone = {file.path for file in changed if file.status == "deleted"}
        return "\n".join(sorted({*there, *(file.path for file in changed)} - gone))
    pieces: list[str] = []
    for file in changed:
        before = await repository.read(base, file.path) if file.path in there else ""
        after = "" if file.status == "deleted" else await asyncio.to_thread(_read, folder, file.path)
        lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
        pieces += difflib.unified_diff(*lines, f"a/{file.path}", f"b/{file.path}")
    return "".join(pieces) or "nothing is changed"


def _read(folder: Path, path: str) -> str:
    """A file of the draft, which a model wrote: a link in it must not lead us elsewhere."""
    place = folder / path
    is_inside = place.parent.resolve() == (folder.resolve() / path).parent
    if not is_inside or place.is_symlink() or not place.is_file():
        raise errors.GitError(f"the draft has no file {path}")
    with place.open("rb") as file:
        return file.read(MAX_FILE).decode("utf-8", "replace")


def _begins(line: str) -> bool:
    return line.startswith("diff --git a/")
