"""Which paths of a reply may be written.

Imported by the driver inside aider's own environment (Python 3.10 and up), so it knows the standard library only; and
by ourselves, for the driver's word counts for nothing once it has ended: what it did is judged again by the same rule.
Aider itself resolves whatever path a model writes, follows symbolic links and creates folders; here a path is judged
by its text first and by the file system second, and what is not named is refused.
"""

from __future__ import annotations

import fnmatch
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath


class Confinement:
    """The files of one job that may be written.

    Args:
        root: the tree, absolute.
        edit: existing files, relative to it.
        create: names or globs of files to be; `*` does not cross a `/`.
        others: paths that are taken although they are not there, because `root` is a copy of a part.
    """

    def __init__(self, root: Path, edit: Sequence[str], create: Sequence[str], others: Sequence[str] = ()) -> None:
        self.root = root
        self.edit = frozenset(edit)
        self.create = tuple(create)
        self.others = frozenset(others)
        self.created: list[str] = []
        self._folders: list[Path] = []

    def refusal(self, path: str) -> str | None:
        """Why a path may not be written; None: it may."""
        plain = PurePosixPath(path)
        name = str(plain)
        if not path.isprintable() or "\\" in path or plain.is_absolute() or ".." in plain.parts:
            return "it is no plain path inside the project"
        if any(part.casefold() == ".git" for part in plain.parts):
            return "it belongs to git"
        if self.crosses_link(path):
            return "it is or goes through a symbolic link"
        if name in self.edit or name in self.created:
            return None
        if any(matches(name, pattern) for pattern in self.create):
            taken = any(str(part) in self.others for part in (plain, *plain.parents)) or (self.root / name).exists()
            return "it exists already and was not given to be changed" if taken else None
        return "it is none of the files of this task"

    def make(self, path: str) -> Path:
        """The place of an allowed path; where it is new it is made empty, for aider fills only what exists."""
        name = str(PurePosixPath(path))
        target = self.root / name
        if name not in self.edit and name not in self.created:
            for folder in reversed(target.parents):
                if not folder.exists():
                    folder.mkdir()
                    self._folders.append(folder)
            target.touch()
            self.created.append(name)
        return target

    def sweep(self) -> None:
        """Remove files and folders that were made and never filled."""
        for name in self.created:
            target = self.root / name
            if target.is_file() and target.stat().st_size == 0:
                target.unlink()
        for folder in reversed(self._folders):
            if not any(folder.iterdir()):
                folder.rmdir()

    def crosses_link(self, path: str) -> bool:
        """Whether a path is, or goes through, a symbolic link."""
        place = self.root
        for part in PurePosixPath(path).parts:
            place = place / part
            try:
                if stat.S_ISLNK(place.lstat().st_mode):
                    return True
            except OSError:
                return False
        return False


def matches(name: str, pattern: str) -> bool:
    """Whether a path fits a glob, part by part, so that a star stays inside its folder."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
