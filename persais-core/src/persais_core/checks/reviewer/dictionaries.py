"""Tables that are asked for the class of a value: `OPERATORS[type(node.op)]`.

A class is no value, since the class of a class is `type`, which makes others. A dictionary keeps nothing of what it is
asked for, unless one of its keys has a method that compares: that is handed what was asked. So the keys of such a table
are classes and texts that are written out, and nobody changes it; other files may not have it (`Made.kept`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

READS = {"get", "items", "keys", "values"}
LOOKS = {"len", "list", "sorted", "tuple"}


def unchanged(tree: ast.Module, is_type: Callable[[ast.expr], bool]) -> Iterator[str]:
    """Names of dictionaries at the top whose keys compare as classes and texts do, and that are only looked at.

    Args:
        tree: of the file.
        is_type: whether a name or a dotted name stands for a class and nothing else.
    """
    tables: dict[str, ast.Dict] = {}
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as table)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict() as table)
            ):
                tables[name] = table
    changed = set(_changed(tree))
    for name, table in tables.items():
        keys = [isinstance(key, ast.Constant) or (key is not None and is_type(key)) for key in table.keys]
        if all(keys) and name not in changed:
            yield name


def asked(tree: ast.AST) -> Iterator[str]:
    """Names that are asked for the class of a value."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=key) if _is_class(key):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[key, *_]) if _is_class(key):
                yield name
            case ast.Compare(left=key, comparators=[ast.Name(id=name)]) if _is_class(key):
                yield name


def _is_class(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="type")):
            return True
    return False


def _changed(tree: ast.Module) -> Iterator[str]:
    """Names that are mentioned where what they hold may be changed."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        match parents[node]:
            case ast.Subscript(value=value, ctx=ast.Load()) if value is node:
                continue
            case ast.Attribute(attr=attr) if attr in READS:
                continue
            case ast.Compare() | ast.For() | ast.comprehension() | ast.FormattedValue():
                continue
            case ast.Call(func=ast.Name(id=name)) if name in LOOKS:
                continue
            case _:
                yield node.id
