"""Enums that are made by a call: `Colour = Enum("Colour", ["RED", "GREEN"])`.

Called with other things than written texts, such a class makes classes, and so is refused. With them it is the same as
a class with these members.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from persais_core.checks.reviewer.bindings import ENUMS, Class

MADE_OF = {"start"}


def written(tree: ast.Module, full_name: Callable[[ast.expr], str | None]) -> Iterator[tuple[str, Class]]:
    """Enums at the top of a file that are made by a call, by their names."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as made) if full_name(made.func) in ENUMS:
                if found := members(made):
                    yield name, Class(is_enum=True, members=found, is_rooted=False, is_solid=False)


def members(node: ast.Call) -> frozenset[str]:
    """The members that a call writes out; none where it does more, or less."""
    match node:
        case ast.Call(args=[ast.Constant(value=str()), names], keywords=keywords) if all(
            keyword.arg in MADE_OF and isinstance(keyword.value, ast.Constant) for keyword in keywords
        ):
            found = list(_names(names))
            if found and all(name is not None and name.isidentifier() and not name.startswith("_") for name in found):
                return frozenset(name for name in found if name)
    return frozenset()


def _names(node: ast.expr) -> Iterator[str | None]:
    match node:
        case ast.Constant(value=str(text)):
            yield from text.replace(",", " ").split()
        case ast.List(elts=items) | ast.Tuple(elts=items):
            for item in items:
                match item:
                    case ast.Constant(value=str(name)):
                        yield name
                    case ast.Tuple(elts=[ast.Constant(value=str(name)), ast.Constant()]):
                        yield name
                    case _:
                        yield None
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                match key, value:
                    case ast.Constant(value=str(name)), ast.Constant():
                        yield name
                    case _:
                        yield None
        case _:
            yield None
