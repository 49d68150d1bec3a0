"""Which files a change touches: only those that the plan names, and nothing that runs by being there.

This check comes first, since all the others open or execute files by the paths it allows. It judges the tree that git
would store, not the names that the model told: first every path by itself (`judge`), then all of them together, and
then what lies on the disk.
"""

from __future__ import annotations

import keyword
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from persais_core.checks import base
from persais_core.domain import changes, examples

NAME = "paths"
ALLOWED = re.compile(
    r"(?:bot/(?P<room>agents|tools|schemas)/|tests/(?P<tested>agents|tools|schemas)/test_)(?P<name>[a-z0-9_]{1,60})\.py"
)
# Loaded by Python or pytest because of their name alone.
CLOSED = {"__init__", "__main__", "conftest", "sitecustomize", "usercustomize", "setup"}
# Names that open a device on some systems, whatever follows the dot.
DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
PLAIN = 0o100644
MAX_CHANGED = 200  # files; more than that nobody reads


class Trouble(NamedTuple):
    """What is wrong with one path: which, by which rule, what it is and what to do."""

    path: str
    rule: str
    text: str

    @property
    def shown(self) -> str:
        """The path; a hidden character must not hide in the finding either."""
        return ascii(self.path)[1:-1]

    def __str__(self) -> str:
        """One line for the coder."""
        return f"{self.shown}: {self.text}"


class PathsCheck:
    """Whether only allowed, plain files were touched."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Judge every changed path."""
        findings = list(crowd(subject.changed))
        for file in subject.changed if len(subject.changed) <= MAX_CHANGED else ():
            troubles = list(judge(file, subject.allowed, subject.examples, subject.removed))
            if not troubles and file.status != "deleted":
                troubles = list(_on_disk(subject.root, file.path))
            findings += troubles
        findings += list(_judge_removed(subject))
        lines = [str(finding) for finding in findings] + list(_judge_examples(subject))
        if lines:
            return base.failed(NAME, f"{base.count(len(lines), 'path', 'paths')} out of bounds", lines)
        return base.passed(NAME, base.count(len(subject.changed), "file", "files"))


def part(path: str) -> tuple[str, str] | None:
    """Which part of a bot a path belongs to, as (room, name) such as ("agents", "echo"); None when it is closed."""
    found = ALLOWED.fullmatch(path)
    if found is None or not path.isascii():
        return None
    name = found["name"]
    stem = path.rpartition("/")[2].removesuffix(".py")
    if (
        stem in CLOSED
        or DEVICES.fullmatch(name)
        or stem[0].isdigit()
        or stem.startswith("__")
        or keyword.iskeyword(stem)
    ):
        return None
    return (found["room"] or found["tested"], name)


def judge(
    file: base.ChangedFile, allowed: Collection[str], owners: Collection[str], removed: Collection[str] = ()
) -> Iterator[Trouble]:
    """Judge one path by its name, its mode and what became of it.

    Args:
        file: what git says of it.
        allowed: exact paths that the change is about.
        owners: those of them that hold examples of the owner's, written by us.
        removed: exact paths that the change takes away.
    """
    path = file.path
    if path in removed and (examples.PATH.fullmatch(path) or part(path) is not None):
        return  # that they are gone is judged on the disk
    if examples.PATH.fullmatch(path):
        if path not in allowed or path not in owners:
            yield Trouble(path, "examples", "holds examples that this change is not about; undo this file")
        elif file.status != "deleted" and file.mode != PLAIN:
            yield Trouble(path, "mode", "is no plain file; the owner's examples stay as they were given")
        return
    if part(path) is None:
        yield Trouble(path, "closed", f"{_reason(path)}; undo this file")
    elif path not in allowed:
        yield Trouble(path, "plan", "is not in the plan; undo this file")
    elif file.status == "deleted":
        yield Trouble(path, "removed", "was removed; bring it back")
    elif file.mode != PLAIN:
        text = (
            f"is no plain file (mode {file.mode:o}); make it one" if file.mode else "has no mode; make it a plain file"
        )
        yield Trouble(path, "mode", text)
    elif file.size > base.MAX_FILE:
        yield _too_large(path, file.size)


def _reason(path: str) -> str:
    """Why a path is closed. It must say so in every case, and for some can say more."""
    start = "may not be touched, only agents, tools, schemas and their tests may"
    if ".." in path.split("/") or path.startswith(("/", "\\", "~")) or path[1:2] == ":":
        return f"{start}; it leads out of the project"
    if "/." in path or path.startswith("."):
        return f"{start}; what begins with a dot steers programs"
    if not path.isascii() or not path.isprintable() or "\\" in path:
        return f"{start}; names are written in a-z, 0-9 and _"
    return start


def crowd(files: Sequence[base.ChangedFile]) -> Iterator[Trouble]:
    """Judge the paths of a change together: how many, and whether two of them are one file on some disks."""
    if len(files) > MAX_CHANGED:
        yield Trouble(files[0].path, "count", f"is one of {len(files)} files; a change touches at most {MAX_CHANGED}")
        return
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(_folded(file.path), file.path)
        if other != file.path:
            yield Trouble(file.path, "twin", _twin(other))


def twins(path: str, existing: Iterable[str]) -> Iterator[Trouble]:
    """Names that exist already, and that some disks take for the same."""
    for other in existing:
        if other != path and _folded(other) == _folded(path):
            yield Trouble(path, "twin", _twin(other))


def _twin(other: str) -> str:
    return f"differs from {other!a} only in case or accents; choose another name"


def _too_large(path: str, size: int) -> Trouble:
    return Trouble(path, "size", f"has {size // 1000} kB; at most {base.MAX_FILE // 1000} kB are read. Split it")


def _on_disk(root: Path, path: str) -> Iterator[Trouble]:
    """What lies at an allowed path."""
    place = root
    for step in path.split("/"):
        place = place / step
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            yield Trouble(path, "link", "leads through a symbolic link; make it a plain file in a plain folder")
            return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        yield Trouble(path, "link", "is no plain file; make it one")
    elif found.st_size > base.MAX_FILE:
        yield _too_large(path, found.st_size)
    folder = path.rpartition("/")[0]
    yield from twins(path, (f"{folder}/{other.name}" for other in place.parent.iterdir()))


def _judge_removed(subject: base.Subject) -> Iterator[Trouble]:
    """What the plan takes away was taken away by us; whatever lies in its place was put there since."""
    # Not only what differs from the base: one that was written again as it was does not.
    for path in subject.removed:
        if os.path.lexists(subject.root / path):
            yield Trouble(path, "removed", "is taken away by this change and may not come back; undo this file")


def _judge_examples(subject: base.Subject) -> Iterator[str]:
    """The owner's examples are written by us before anybody writes code; from then on nobody may touch them."""
    # Not only those that differ from the base: one that was taken out again does not.
    for path, text in subject.examples.items():
        try:
            is_ours = base.read(subject, path) == text.encode()
        except base.CheckError:
            is_ours = False
        if not is_ours:
            yield f"{path}: is not as it was written for this change; mend the code, not the owner's examples"


def _folded(name: str) -> str:
    # Accents are folded too: "é" may be written in two ways, and some disks keep one of them.
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
