"""Which files of a project use which others of it, as their imports say; the source is read, never run."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

MAX_SOURCE = 200_000  # characters of one file that are read
FOLDERS = ("bot/", "tests/")


def imported(path: str, source: str) -> Iterator[str]:
    """The paths of the modules that a file of the project may mean by its imports."""
    try:
        nodes = list(ast.walk(ast.parse(source[:MAX_SOURCE])))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    package = path.split("/")[:-1]
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*around, *filter(None, [node.module])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        yield from (f"{name.replace('.', '/')}.py" for name in names)


def still_used(sources: Mapping[str, str], gone: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Who needs what is taken away.

    Args:
        sources: the text of each file of the project, by its path.
        gone: paths that are not there afterwards.

    Returns:
        By the path of each file that stays and imports some of them: which ones.
    """
    kept = {path: text for path, text in sources.items() if path not in gone and path.endswith(".py")}
    found = {path: tuple(sorted({*imported(path, kept[path])} & {*gone})) for path in sorted(kept)}
    return {path: used for path, used in found.items() if used}


def sources(root: Path) -> dict[str, str]:
    """The text of the Python files of a project that lies in a folder, by path; links are not followed."""
    found = {}
    for folder in FOLDERS:
        for place, _, names in os.walk(root / folder):
            for name in names:
                file = Path(place) / name
                if name.endswith(".py") and file.is_file() and not file.is_symlink():
                    path = file.relative_to(root).as_posix()
                    with file.open("rb") as opened:
                        found[path] = opened.read(MAX_SOURCE).decode("utf-8", "replace")
    return found
