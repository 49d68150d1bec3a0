"""Which files a change touches: only those that the plan names, and nothing that runs by being there.

This check comes first, since all the others open or execute files by the paths it allows. It judges the tree that git
would store, not the names that the model told.
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections.abc import Iterator

from persais_core.checks import base
from persais_core.domain import changes, examples

NAME = "paths"
ALLOWED = re.compile(r"(bot/(agents|tools|schemas)/[a-z0-9_]+|tests/(agents|tools|schemas)/test_[a-z0-9_]+)\.py")
# Loaded by Python or pytest because of their name alone.
CLOSED = {"__init__", "__main__", "conftest", "sitecustomize", "usercustomize", "setup"}
PLAIN = 0o100644


class PathsCheck:
    """Whether only allowed, plain files were touched."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Judge every changed path."""
        findings = [finding for file in subject.changed for finding in _judge(subject, file)]
        findings += _judge_examples(subject)
        if findings:
            return base.failed(NAME, f"{base.count(len(findings), 'path', 'paths')} out of bounds", findings)
        return base.passed(NAME, base.count(len(subject.changed), "file", "files"))


def _judge(subject: base.Subject, file: base.ChangedFile) -> Iterator[str]:
    shown = ascii(file.path)[1:-1]  # a hidden character must not hide in the finding either
    if examples.PATH.fullmatch(file.path):
        if file.path not in subject.allowed or file.path not in subject.examples:
            yield f"{shown}: holds examples that this change is not about; undo this file"
        elif file.status != "deleted" and file.mode != PLAIN:
            yield f"{shown}: is no plain file; the owner's examples stay as they were given"
        return
    if not ALLOWED.fullmatch(file.path) or file.path.rpartition("/")[2].removesuffix(".py") in CLOSED:
        yield f"{shown}: may not be touched, only agents, tools, schemas and their tests may; undo this file"
        return
    if file.path not in subject.allowed:
        yield f"{shown}: is not in the plan; undo this file"
        return
    if file.status == "deleted":
        yield f"{shown}: was removed; bring it back"
        return
    if file.mode != PLAIN:
        yield f"{shown}: is no plain file (mode {file.mode:o}); make it one" if file.mode else f"{shown}: has no mode"
        return
    place = subject.root
    for part in file.path.split("/"):
        place = place / part
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            yield f"{shown}: leads through a symbolic link; make it a plain file in a plain folder"
            return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        yield f"{shown}: is no plain file; make it one"
    elif found.st_size > base.MAX_FILE:
        yield f"{shown}: has {found.st_size // 1000} kB; at most {base.MAX_FILE // 1000} kB are read. Split it"
    for other in place.parent.iterdir():
        if other.name != place.name and _folded(other.name) == _folded(place.name):
            yield f"{shown}: differs from {other.name!a} only in case or accents; choose another name"


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
    return unicodedata.normalize("NFKC", name).casefold()
