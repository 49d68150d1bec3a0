"""What a coder gets to see, and what is taken back from it.

A coder works on a copy that holds the files of its job and nothing else: no `.git`, no settings, no other code. When
its process has gone, its copy is compared with what was put there. A changed file comes back only if the job lets it be
written, if it is a plain file of moderate size, and if nothing but such files has changed: else somebody did what the
job does not ask for, and nothing at all comes back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from persais_core import errors
from persais_core.coders.aider.confinement import Confinement, matches
from persais_core.coders.base import CodeJob
from persais_core.security import sandbox

MAX_FILE = 1 << 20  # bytes of one file, in either direction
MAX_ENTRIES = 1000  # files and folders of a copy that are looked at
MAX_NAMED = 50  # paths that are reported


class UnfitError(errors.CoderError):
    """A file of the job cannot be given to the coder. No call was made and nothing was changed."""


@dataclass(frozen=True)
class Given:
    """What the copy of one job is made of.

    Args:
        files: text by path; those that may be edited and those that are only shown.
        others: links, and files of the tree that the job's globs would let be made; the coder is told that they exist.
    """

    files: Mapping[str, str]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """What was found in a copy.

    Args:
        edited: files that differ and were written to the tree; none if anything was denied.
        denied: paths that differ and may not.
    """

    edited: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


def gather(job: CodeJob) -> Given:
    """Read the files of a job.

    Raises:
        UnfitError: one is missing, is or lies behind a link, is too large or no text; the message names it.
    """
    fence = Confinement(job.root.resolve(), job.edit, job.create)
    files: dict[str, str] = {}
    for path in job.edit:
        if refusal := fence.refusal(path):
            raise UnfitError(f"{path} cannot be edited: {refusal}.")
        files[path] = _text(job.root, path, "edited")
    for path in job.read:
        if fence.crosses_link(path):
            raise UnfitError(f"{path} cannot be shown: it is a link.")
        files.setdefault(path, _text(job.root, path, "shown"))
    others = [
        name
        for name, info in _walk(job.root, skipped=sandbox.SKIPPED)
        if stat.S_ISLNK(info.st_mode) or any(matches(name, pattern) for pattern in job.create)
    ]
    return Given(files, tuple(name for name in others if name not in files))


def take_back(copy: Path, given: Given, job: CodeJob) -> Taken:
    """Bring the edits from a copy into the tree, if all of them are allowed.

    Args:
        copy: the coder's tree; nothing works in it any more.
        given: what was put there.
        job: says what may be written, and where.
    """
    fence = Confinement(job.root.resolve(), job.edit, job.create)
    edits: dict[str, bytes] = {}
    missing, denied = set(given.files), []
    for name, content in _found(copy):
        missing.discard(name)
        if content is not None and name in given.files and content == given.files[name].encode():
            continue
        if content is None or fence.refusal(name) is not None:
            denied.append(name)
        else:
            edits[name] = content
    denied += sorted(missing)
    if denied:
        return Taken(denied=tuple(_printable(name) for name in denied[:MAX_NAMED]))
    for name, content in edits.items():
        target = job.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Made outside of the tree and renamed: a full disk or a kill leaves the old file whole and the tree clean.
        made = job.scratch / "edit.part"
        made.write_bytes(content)
        made.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        made.replace(target)
    return Taken(edited=tuple(sorted(edits)))


def _text(root: Path, path: str, what: str) -> str:
    try:
        info = (root / path).lstat()
        if not stat.S_ISREG(info.st_mode):
            raise UnfitError(f"{path} cannot be {what}: it is no plain file.")
        if info.st_size > MAX_FILE:
            raise UnfitError(f"{path} cannot be {what}: it is larger than {MAX_FILE >> 20} MB.")
        return (root / path).read_bytes().decode()
    except FileNotFoundError:
        raise UnfitError(f"{path} cannot be {what}: there is no such file.") from None
    except (OSError, UnicodeError):
        raise UnfitError(f"{path} cannot be {what}: it cannot be read as UTF-8 text.") from None


def _found(copy: Path) -> Iterator[tuple[str, bytes | None]]:
    """Every file of a copy with its bytes; None: it cannot be taken, whatever it is."""
    name = ""
    try:
        for count, (name, info) in enumerate(_walk(copy)):
            if count >= MAX_ENTRIES:
                yield name, None
                return
            if not stat.S_ISDIR(info.st_mode):
                yield name, _plain_text(copy / name)
    except OSError:  # a folder that is closed to us, or a path that is longer than the system lets one name
        yield name, None


def _plain_text(path: Path) -> bytes | None:
    """The bytes of a plain text file of moderate size that has no second name."""
    content = sandbox.read_report(path.parent, path.name, max_bytes=MAX_FILE)
    try:
        return content if content is not None and content.decode() is not None else None
    except UnicodeError:
        return None


def _walk(root: Path, *, skipped: Collection[str] = ()) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry of a tree by its path, following no link.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name in skipped:
                    continue
                info = entry.stat(follow_symlinks=False)
                yield str(Path(entry.path).relative_to(root)), info
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(Path(entry.path))


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:200]
