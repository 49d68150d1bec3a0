"""What a project holds, for whoever plans: agents, tools and schemas as their source says, at one commit.

The source is read, never imported: what stands in the repository was approved once, but planning must not run it. What
is computed in the source (a title put together from parts) is left out rather than guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from persais_core.git.repository import Repository

MAX_SOURCE = 60_000  # characters of one file that are read
MAX_FACTS = 60_000  # characters of source, all files together; beyond it parts are told by name alone
MAX_TEXT = 300  # characters of a description
KINDS = ("agents", "tools", "schemas")


async def facts(repository: Repository, commit: str) -> dict[str, Any]:
    """The parts of a project.

    Returns:
        `agents` with name, title, description, keywords, whether a language model answers (`prompt`) and its `tools`;
        `tools` with their functions' signatures and descriptions; `schemas` with their fields' types; `files`.
    """
    paths = sorted(await repository.files(commit))
    found: dict[str, Any] = {kind: [] for kind in KINDS}
    left = MAX_FACTS
    for path in paths:
        kind = kind_of(path)
        if kind is None:
            continue
        source = (await repository.read(commit, path))[:MAX_SOURCE]
        left -= len(source)
        found[kind].append(_part(kind, path.rpartition("/")[2].removesuffix(".py"), source if left >= 0 else ""))
    found["files"] = [path for path in paths if path.startswith(("bot/", "tests/")) and path.endswith(".py")]
    return found


async def fields_of(repository: Repository, commit: str, path: str) -> frozenset[str] | None:
    """Names of the fields that a schema declares; None where its source does not say."""
    fields = _part("schemas", path, await repository.read(commit, path)).get("fields")
    return None if fields is None else frozenset(fields)


def kind_of(path: str) -> str | None:
    """`agents`, `tools` or `schemas` for a file that is such a part."""
    folder, _, name = path.rpartition("/")
    kind = folder.removeprefix("bot/")
    is_part = folder == f"bot/{kind}" and kind in KINDS and name.endswith(".py") and not name.startswith("_")
    return kind if is_part else None


def _part(kind: str, name: str, source: str) -> dict[str, Any]:
    told = {"name": name} | ({"title": name.replace("_", " ").title()} if kind == "agents" else {})
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {**told, "unreadable": True}
    return told | {"agents": _agent, "tools": _tool, "schemas": _schema}[kind](module)


def _agent(module: ast.Module) -> dict[str, Any]:
    for node in _classes(module, "Agent"):
        values = dict(_assigned(node))
        told: dict[str, Any] = {}
        if isinstance(name := _literal(values.get("name")), str):
            told["name"] = name
        titles = _literal(values.get("title"))
        if isinstance(titles, dict) and titles:
            told["title"] = str(titles.get("en") or next(iter(titles.values())))[:MAX_TEXT]
        words = _literal(values.get("keywords"))
        told["keywords"] = [str(word) for word in words][:20] if isinstance(words, (tuple, list)) else []
        told["description"] = _described(node)
        told["prompt"] = "prompt" in values
        tools = values.get("tools")
        if isinstance(tools, (ast.Tuple, ast.List)):
            told["tools"] = [ast.unparse(item)[:80] for item in tools.elts][:20]
        return told
    return {}


def _tool(module: ast.Module) -> dict[str, Any]:
    functions = [
        {"signature": f"{node.name}({ast.unparse(node.args)})" + _returned(node), "description": _described(node)}
        for node in module.body
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    return {"functions": functions[:20]}


def _schema(module: ast.Module) -> dict[str, Any]:
    for node in _classes(module, "Record"):
        fields = {
            item.target.id: ast.unparse(item.annotation)[:80]
            + ("" if item.value is None else f" = {ast.unparse(item.value)[:80]}")
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        return {"class": node.name, "description": _described(node), "fields": fields}
    return {}


def _classes(module: ast.Module, base: str) -> Iterator[ast.ClassDef]:
    for node in module.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(b).rpartition(".")[2] == base for b in node.bases):
            yield node


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for item in node.body:
        if isinstance(item, ast.Assign):
            for target in item.targets:
                if isinstance(target, ast.Name):
                    yield target.id, item.value
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            yield item.target.id, item.value


def _literal(node: ast.expr | None) -> object:
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _described(node: ast.ClassDef | ast.AsyncFunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0][:MAX_TEXT]


def _returned(node: ast.AsyncFunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
