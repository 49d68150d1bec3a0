"""A change set that somebody wrote down: paths, modes and what became of them, without the files.

The list is JSON: an array of entries, or an object whose `files` is one. An entry is a path, or an object with `path`
and what git says of it: `mode` ("100644"), `status` ("added", "modified", "deleted", "renamed" with `from`) and `size`.
An object may also hold `agents`, the names of those that the change is about, `allowed`, the exact paths it may touch,
and `existing`, paths that are in the project already. What is not said is taken from the list: a change is about the
parts whose files it touches, and tests and examples of others are closed.

What cannot be understood is refused, never guessed at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from persais_core.checks import base, paths
from persais_core.domain import examples

MAX_LIST = 20_000_000  # bytes
STATUSES: dict[str, Literal["added", "modified", "deleted"]] = {
    **dict.fromkeys(("a", "added", "add", "new", "create", "created", "c", "copied", "?", "??", "untracked"), "added"),
    **dict.fromkeys(("m", "modified", "modify", "changed", "change", "update", "updated"), "modified"),
    **dict.fromkeys(("d", "deleted", "delete", "removed", "remove"), "deleted"),
}
FILES = ("files", "changes", "paths", "entries", "changed")
PLAIN_TYPES = {"file", "blob", "regular", "text"}


class Listed(NamedTuple):
    """A change set as it was written down."""

    files: tuple[base.ChangedFile, ...]
    troubles: tuple[paths.Trouble, ...]
    agents: frozenset[str] | None
    allowed: frozenset[str] | None
    existing: tuple[str, ...]


def read(text: str) -> Listed:
    """Read a list.

    Raises:
        CheckError: it is no JSON, or holds no list of files.
    """
    try:
        found: Any = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise base.CheckError(f"the list is no JSON: {error}") from None
    about: dict[str, Any] = found if isinstance(found, dict) else {}
    if sum(key in about for key in FILES) > 1:
        raise base.CheckError("the list has its files twice; write them under `files` alone")
    if about:
        found = next((about[key] for key in FILES if key in about), [about] if "path" in about else None)
    if not isinstance(found, list):
        raise base.CheckError("the list must be an array of paths, or an object whose `files` is one")
    files: list[base.ChangedFile] = []
    troubles: list[paths.Trouble] = []
    for entry in found:
        try:
            files += _entry(entry)
        except _OddError as error:
            troubles.append(paths.Trouble(error.path, "entry", str(error)))
    return Listed(
        tuple(files),
        tuple(troubles),
        _names(about, "agents", "agent"),
        _names(about, "allowed", "plan"),
        tuple(sorted(_names(about, "existing", "tree") or ())),
    )


def judge(listed: Listed) -> list[paths.Trouble]:
    """Judge a change set by the very code that judges the Mechanic's changes."""
    found = [*listed.troubles, *paths.crowd(listed.files)]
    if any(trouble.rule == "count" for trouble in found):
        return found
    allowed = listed.allowed if listed.allowed is not None else _about(listed)
    given = {file.path for file in listed.files if examples.PATH.fullmatch(file.path) and file.status != "deleted"}
    seen: set[str] = set()
    for file in listed.files:
        if file.path in seen:
            found.append(paths.Trouble(file.path, "entry", "is listed twice; list it once"))
        seen.add(file.path)
        found += paths.judge(file, allowed, given)
        found += paths.twins(file.path, listed.existing)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose names is there once: of two, another reader might believe the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has one name twice")
    return found


class _OddError(ValueError):
    """An entry that is not what one looks like."""

    def __init__(self, path: object, text: str) -> None:
        super().__init__(text)
        self.path = path if isinstance(path, str) else json.dumps(path)[:80]


def _about(listed: Listed) -> frozenset[str]:
    """Which of the listed paths belong to the parts that the change is about."""
    touched = {paths.part(file.path) for file in listed.files if file.path.startswith("bot/")} - {None}
    named = {("agents", name) for name in listed.agents} if listed.agents is not None else None
    allowed: set[str] = set()
    for file in listed.files:
        one = paths.part(file.path)
        example = examples.PATH.fullmatch(file.path)
        if example:
            one = ("agents", example[1])
        if one is None:
            continue
        room, _ = one
        is_test = file.path.startswith("tests/")
        if named is not None and room == "agents":
            is_about = one in named
        elif is_test:
            # New tests of nobody in the list do no harm; those that were there keep others from being broken.
            is_about = one in touched or (not touched and file.status == "added" and not example)
        else:
            is_about = True
        if is_about:
            allowed.add(file.path)
    return frozenset(allowed)


def _entry(entry: Any) -> Iterator[base.ChangedFile]:
    if isinstance(entry, str):
        yield base.ChangedFile(entry, paths.PLAIN, "added")
        return
    if not isinstance(entry, dict):
        raise _OddError(entry, "is no entry; write a path, or an object with one")
    places = [entry[key] for key in ("path", "name", "file", "to", "new_path") if key in entry]
    path = places[0] if places else None
    if any(place != path for place in places):
        raise _OddError(path, "has two paths; write one")
    if not isinstance(path, str) or not path:
        raise _OddError(path, "has no path; write where it lies")
    for key in ("target", "link", "symlink", "submodule", "url", "device"):
        if entry.get(key):
            raise _OddError(path, f"has a {key}, so it is no plain file; make it one")
    if str(entry.get("type") or entry.get("kind") or "file").lower() not in PLAIN_TYPES:
        raise _OddError(path, "is no plain file; make it one")
    if entry.get("executable"):
        raise _OddError(path, "can be run as a program; make it a plain file")
    if entry.get("binary"):
        raise _OddError(path, "is no text; write it as text")
    said = str(entry.get("status") or entry.get("change") or "added").lower()
    before = next((entry[key] for key in ("from", "old_path", "old", "source", "previous") if entry.get(key)), None)
    if before is not None and not isinstance(before, str):
        raise _OddError(path, "comes from what is no path; write one")
    if before and before != path and paths.part(before) is None and not examples.PATH.fullmatch(before):
        raise _OddError(path, "is made of a file that is closed; write it anew")
    status = STATUSES.get(said.rstrip("0123456789"))
    if said.rstrip("0123456789") in {"r", "renamed", "rename", "moved"} or (before and status != "added"):
        if isinstance(before, str) and before != path:
            yield base.ChangedFile(before, None, "deleted")
        status = "added"
    if status is None:
        raise _OddError(path, f"has the status {said[:20]!a}; write added, modified or deleted")
    size = entry.get("size", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise _OddError(path, "has a size that is no number of bytes; write one")
    modes = [entry[key] for key in ("mode", "new_mode") if entry.get(key) is not None]
    mode = modes[0] if modes else None
    if any(one != mode for one in modes):
        raise _OddError(path, "has two modes; write one")
    plain = paths.PLAIN if status != "deleted" else None
    yield base.ChangedFile(path, plain if mode is None else _mode(path, mode), status, size)


def _mode(path: str, mode: Any) -> int:
    """A mode as git writes it: octal digits, or the number they stand for."""
    digits = str(mode).lower().removeprefix("0o")
    if isinstance(mode, bool) or not isinstance(mode, (int, str)) or not digits.isdecimal() or not digits.isascii():
        raise _OddError(path, "has a mode that is none; write it as git does, 100644")
    if isinstance(mode, int) and not (len(digits) == 6 and set(digits) <= set("01234567")):
        return mode
    try:
        return int(digits, 8)
    except ValueError:
        raise _OddError(path, "has a mode that is none; write it as git does, 100644") from None


def _names(about: dict[str, Any], *keys: str) -> frozenset[str] | None:
    for key in keys:
        found = about.get(key)
        if isinstance(found, str):
            found = [found]
        if isinstance(found, list):
            if not all(isinstance(one, str) for one in found):
                raise base.CheckError(f"`{key}` must be a list of names")
            return frozenset(found)
    return None
