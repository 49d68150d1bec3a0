"""Kinds of nodes of `ast`, which make a thing with any attributes when they are called.

So they are no values. But everybody who reads formulas has a table of them at the top, to look up what a node stands
for, and that is all that may be done with it.
"""

from __future__ import annotations

import ast

from persais_core.checks.reviewer import bindings
from persais_core.checks.reviewer.aliases import LOWER_CASE


def node_tables(tree: ast.Module) -> dict[str, ast.expr]:
    """Tables of kinds of nodes at the top of a file, by name: `{ast.Add: operator.add}`, `(ast.Add, ast.Sub)`."""
    imports = bindings.imported(tree)
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if any(is_node_kind(bindings.full_name(part, imports)) for part in table_parts(value)):
                found[name] = value
    return found


def table_parts(node: ast.expr) -> list[ast.expr]:
    """The keys of a dictionary, or the elements of a tuple, that are written out."""
    match node:
        case ast.Dict(keys=keys):
            return [key for key in keys if key is not None]
        case ast.Tuple(elts=items):
            return list(items)
    return []


def is_node_kind(full: str) -> bool:
    """Whether a full name is that of a class of `ast`."""
    module, _, name = full.rpartition(".")
    return module == "ast" and (name[:1].isupper() or full in LOWER_CASE)
