"""The folder of a run: filled with a copy, read with suspicion, removed however deep it has become."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from persais_core import errors, processes

SKIPPED = {".git", ".venv", "venv", ".env", ".persais", "__pycache__", "node_modules", ".pytest_cache", ".ruff_cache"}


def copy_tree(source: Path, target: Path, *, max_bytes: int = 32 << 20, max_files: int = 5000) -> None:
    """Copy a project for a run: no `.git`, no environment, no settings with secrets, no caches.

    Args:
        source: the project or worktree.
        target: folder to make; must not exist.
        max_bytes: refuse more than this in all.
        max_files: refuse more files than this.

    Raises:
        SandboxError: something in it is neither a file nor a folder, or it is too large.
    """
    target.mkdir(parents=True, mode=0o700)
    files = size = 0
    queue = [source]
    while queue:
        folder = queue.pop()
        for entry in sorted(folder.iterdir()):
            if entry.name in SKIPPED or (entry.name.startswith(".env.") and entry.name != ".env.example"):
                continue
            name = entry.relative_to(source)
            found = entry.lstat()
            if stat.S_ISDIR(found.st_mode):
                (target / name).mkdir(mode=0o700)
                queue.append(entry)
                continue
            if not stat.S_ISREG(found.st_mode):
                raise errors.SandboxError(
                    f"{name} is neither a file nor a folder; remove it from the project",
                    key="sandbox-odd-file",
                    name=str(name),
                )
            files, size = files + 1, size + found.st_size
            if files > max_files or size > max_bytes:
                raise errors.SandboxError(
                    f"the project has more than {max_files} files or {max_bytes >> 20} MB; move data out of it",
                    key="sandbox-large",
                    files=str(max_files),
                    size=str(max_bytes >> 20),
                )
            shutil.copyfile(entry, target / name, follow_symlinks=False)


async def remove_tree(folder: Path) -> None:
    """Remove a folder that a program has worked in, however deep it is now; one that is not there is no matter.

    Raises:
        SandboxError: it could not be removed.
    """
    # Python's own rmtree recurses, and a tree deeper than its stack is made in a moment.
    command = processes.Command(argv=("rm", "-rf", "--", str(folder)), cwd=Path("/"), env={"PATH": "/usr/bin:/bin"})
    outcome = await processes.run(command)
    if not outcome:
        cause = outcome.stderr.strip()[-200:]
        raise errors.SandboxError(
            f"{folder} could not be removed; remove it by hand ({cause})",
            key="sandbox-left",
            folder=str(folder),
            cause=cause,
        )


def read_report(folder: Path, name: str, *, max_bytes: int = 4 << 20) -> bytes | None:
    """Read a file that a program left in its folder, trusting nothing about it.

    Args:
        folder: of the run.
        name: of a file directly in it.
        max_bytes: a larger file counts as none.

    Returns:
        Its bytes; None when there is no plain file of that name.
    """
    try:
        place = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(place, "rb") as file:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > max_bytes:
            return None
        return file.read(max_bytes)
