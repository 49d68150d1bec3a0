"""Reads code that the bot wrote for itself and names all that is not plainly allowed in it.

It runs in a process of its own (started by `imports`), with the standard library only: whoever wrote the file
chose what the parser is fed, so a parser that crashes or stalls must not take the bot along, and counts as a refusal.

Three passes. The bytes first, since what cannot be read as it will be run cannot be judged (encodings, hidden
characters, code at column 400). Then the words, where identifiers are still as they were written. Then the syntax tree,
against the lists of `allowed.toml`: names are allowed one by one, and what a name may be used for depends on what it is
bound to (`bindings` finds out). Modules are never values, nor is what would be dangerous under another name; private
names are those of the very instance; annotations hold types alone (pydantic evaluates them); nothing is set on what the
bot has handed in; and while a file is imported only harmless things are called.

This is a reviewer and no wall: the wall is the sandbox, and the approval of a person.
"""

# Paths are strings here, as pathlib alone would double the time to start.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import ast
import json
import os
import sys
from typing import Any

from persais_core.checks.reviewer import characters, words
from persais_core.checks.reviewer.findings import Finding
from persais_core.checks.reviewer.lists import Allowed
from persais_core.checks.reviewer.project import Alone, Project
from persais_core.checks.reviewer.statements import Reader

__all__ = ["Allowed", "Alone", "Finding", "Project", "main", "review"]

MAX_NODES = 30_000
MAX_DEPTH = 100


def review(path: str, content: bytes, project: Project, allowed: Allowed) -> list[Finding]:
    """Review one file.

    Args:
        path: relative to the project; files under `tests/` may use a little more.
        content: as it stands on disk.
        project: the project the file is part of.
        allowed: the lists.

    Returns:
        Findings by line, none when all is allowed.
    """
    found = list(characters.judge(content))
    if found:
        return found  # what is shown is not what is run, so nothing after this can be believed
    text = content.decode("utf-8").replace("\r\n", "\n")
    found = list(words.judge(text))
    if found:
        return found
    try:
        tree = ast.parse(text)
        _measure(tree)
    except SyntaxError as error:
        return [Finding(error.lineno or 1, "syntax", f"{error.msg}; write valid Python {_version()}")]
    except (ValueError, RecursionError, MemoryError):
        return [Finding(1, "size", "nested too deeply or too long to be read; split it")]
    reader = Reader(path, project, allowed)
    try:
        reader.read(tree)
    except RecursionError:
        return [Finding(1, "size", "nested too deeply to be read; split it")]
    return sorted(set(reader.findings))


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _measure(tree: ast.AST) -> None:
    """Raise ValueError for a tree that is too large or too deep."""
    level, count, depth = [tree], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


def main() -> None:
    """Review the files named in the argument and print the findings as JSON.

    The argument is JSON: `root` and the `paths` under it, `alone` for files without a project around them, `max_bytes`
    of a file, our lists in `allowed`, `public` and `more` as `Allowed.read` takes them.
    """
    task: dict[str, Any] = json.loads(sys.argv[-1])
    allowed = Allowed.read(task["allowed"], public=task["public"], more=task["more"])
    project = Alone() if task["alone"] else Project(task["root"])
    answer: dict[str, list[Finding]] = {}
    for path in task["paths"]:
        place = os.open(os.path.join(task["root"], path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(place, "rb") as file:
            answer[path] = review(path, file.read(task["max_bytes"] + 1)[: task["max_bytes"] + 1], project, allowed)
    sys.stdout.write(json.dumps(answer))
