"""Files of commits and files of folders, compared and written by reading their bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pygit2
from pygit2.enums import FileMode

from persais_core import errors
from persais_core.domain.chats import Value

MAX_FILES = 20_000
MAX_COMPARED = 10_000_000  # bytes; a larger file counts as changed without being read


class TreeFile(Value):
    """One path that differs from a base commit. `mode` is what git would store, None when deleted."""

    path: str
    status: Literal["added", "modified", "deleted"]
    mode: int | None
    size: int


def flat(tree: pygit2.Tree, prefix: str = "") -> dict[str, tuple[pygit2.Oid, int]]:
    """All files of a tree: path to (blob, mode)."""
    found: dict[str, tuple[pygit2.Oid, int]] = {}
    for entry in tree:
        path = f"{prefix}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            found |= flat(entry, f"{path}/")
        else:
            found[path] = (entry.id, int(entry.filemode))
    return found


def changed(repo: pygit2.Repository, base: str, folder: Path) -> Iterator[TreeFile]:
    """What differs between a commit and the files of a folder, ignored and untracked files included.

    Raises:
        GitError: the folder holds more than `MAX_FILES` files.
    """
    before = flat(repo[base].peel(pygit2.Tree))
    seen = set()
    for number, (path, info) in enumerate(_walk(folder)):
        if number >= MAX_FILES:
            raise errors.GitError(
                f"the worktree holds more than {MAX_FILES} files", key="git-many-files", limit=str(MAX_FILES)
            )
        seen.add(path)
        mode = _mode(info)
        known = before.get(path)
        same_kind = known and known[1] == mode and info.st_size <= MAX_COMPARED
        if known and same_kind and str(known[0]) == _blob_id(folder / path, info):
            continue
        yield TreeFile(path=path, status="modified" if known else "added", mode=mode, size=info.st_size)
    for path in sorted(set(before) - seen):
        yield TreeFile(path=path, status="deleted", mode=None, size=0)


def differing(repo: pygit2.Repository, before: pygit2.Tree, after: pygit2.Tree) -> Iterator[TreeFile]:
    """What differs between two trees."""
    old, new = flat(before), flat(after)
    for path, (blob, mode) in sorted(new.items()):
        if old.get(path) != (blob, mode):
            content = repo.get(blob)
            size = content.size if isinstance(content, pygit2.Blob) else 0
            yield TreeFile(path=path, status="modified" if path in old else "added", mode=mode, size=size)
    for path in sorted(set(old) - set(new)):
        yield TreeFile(path=path, status="deleted", mode=None, size=0)


def write(repo: pygit2.Repository, tree: pygit2.Tree, folder: Path) -> None:
    """Write the plain files of a tree into a folder."""
    for path, (blob, mode) in flat(tree).items():
        if mode not in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(repo[blob].peel(pygit2.Blob).data)
        if mode == FileMode.BLOB_EXECUTABLE:
            target.chmod(0o755)


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = f"{prefix}{entry.name}"
            if path == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _walk(folder / entry.name, f"{path}/")
            else:
                yield path, entry.stat(follow_symlinks=False)


def _mode(info: os.stat_result) -> int:
    if stat.S_ISLNK(info.st_mode):
        return int(FileMode.LINK)
    if not stat.S_ISREG(info.st_mode):
        return stat.S_IFMT(info.st_mode)
    return int(FileMode.BLOB_EXECUTABLE if info.st_mode & 0o100 else FileMode.BLOB)


def _blob_id(path: Path, info: os.stat_result) -> str:
    if not stat.S_ISREG(info.st_mode):
        content = bytes(path.readlink()) if stat.S_ISLNK(info.st_mode) else b""
    else:
        content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
