"""Which names of a file stand for types, and for which classes.

A name in an annotation may hold a text, which pydantic would run as code. So a name counts as a type only where all
that it is ever bound to is one: a class, something in brackets behind one, or a name that is a type itself, in this
file or in the one that it comes from. What is in brackets behind an enum is one of its members, and that can be a text.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable, Iterator, Mapping

from persais_core.checks.reviewer import bindings
from persais_core.checks.reviewer.bindings import BUILTINS, ENUMS, NAMED_TUPLE, TYPE_MAKERS, Class

# Classes of Python's library that are written like functions.
LOWER_CASE = {
    *("array.array", "ast.cmpop", "ast.expr", "ast.operator", "ast.unaryop", "collections.defaultdict"),
    *("collections.deque", "contextlib.suppress", "csv.excel", "datetime.date", "datetime.datetime", "datetime.time"),
    *("datetime.timedelta", "datetime.timezone", "datetime.tzinfo", "functools.partial", "re.error", "struct.error"),
    "time.struct_time",
}
LONGEST = 500  # characters of a type in quotes
ANNOTATED = {"typing.Annotated", "typing_extensions.Annotated"}


def is_type_of_library(full: str) -> bool:
    """Whether a full name of the library, or of a builtin, can be that of a type, and of no text."""
    module, _, name = full.rpartition(".")
    if not module:
        return isinstance(getattr(builtins, name, None), type)
    return module.partition(".")[0] not in sys.stdlib_module_names or name[:1].isupper() or full in LOWER_CASE


def types(
    tree: ast.Module, is_type: Callable[[str], bool], takes_brackets: Callable[[ast.expr], bool]
) -> frozenset[str]:
    """Names of a file that stand for a type and can hold no text: classes, and aliases of types.

    Args:
        tree: of the file.
        is_type: whether the full name of something imported, or a builtin's, is that of a type.
        takes_brackets: whether what stands in brackets behind something makes a type.
    """
    imports = bindings.imported(tree)
    bound: dict[str, list[ast.AST | None]] = {}
    for node in tree.body:
        for name, value in bindings.values(node):
            bound.setdefault(name, []).append(value)
    for name in bindings.declared(tree):
        bound.setdefault(name, []).append(None)
    found: set[str] = set()

    def is_one(value: ast.AST | None) -> bool:
        """Whether a value is a type, whatever its parts are: these are judged where they stand."""
        match value:
            case ast.ClassDef() | ast.Constant(value=None):
                return True
            case ast.Name(id=name):
                if name in bound:
                    return name in found
                return (name in imports or name in BUILTINS) and is_type(imports.get(name, name))
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                return name in imports and name not in bound and is_type(f"{imports[name]}.{attr}")
            case ast.Subscript(value=inner):
                return is_one(inner) and takes_brackets(inner)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return is_one(left) and is_one(right)
            case ast.Call(func=function):
                return bindings.full_name(function, imports) in {*TYPE_MAKERS, NAMED_TUPLE, *ENUMS}
        return type(value).__name__ == "TypeAlias"

    while True:
        more = {name for name, all_of_it in bound.items() if all(map(is_one, all_of_it))}
        if more <= found:
            return frozenset(found)
        found |= more


def takes_brackets(node: ast.expr, known: Mapping[str, Class], imports: Mapping[str, str]) -> bool:
    """Whether what stands in brackets behind something makes a type of it, and is no way to get at a value.

    Args:
        node: what stands before the brackets.
        known: the classes of the project, by the names that the file may call them.
        imports: full names of what the file imports, by local names.
    """
    match node:
        case ast.Subscript(value=inner):
            return takes_brackets(inner, known, imports)
        case ast.Name(id=name):
            full, kind = imports.get(name, ""), known.get(name)
        case ast.Attribute(value=ast.Name(id=base), attr=name):
            full, kind = f"{imports.get(base, '')}.{name}", known.get(name)
        case _:
            return False
    return not kind.is_enum if kind else not full.startswith("bot.")


def of_classes(tree: ast.Module, known: Mapping[str, Class]) -> dict[str, Class]:
    """Other names at the top of a file for classes of the project, `Annotated[…]` of a class among them."""
    imports = bindings.imported(tree)
    found: dict[str, Class] = {}
    for node in tree.body:  # in their order, so that aliases of aliases are found too
        for name, value in bindings.values(node):
            around = {**known, **found}
            if isinstance(value, ast.expr) and name not in known and (kind := class_in(value, around, imports)):
                found[name] = found.get(name, Class()).on(kind)
    return found


def class_in(node: ast.expr, known: Mapping[str, Class], imports: Mapping[str, str]) -> Class | None:
    """The class of the project that an expression stands for, in brackets or not.

    Behind a dot only the last name counts, so classes of one name are taken for one that has what all of them have.
    """
    match node:
        case ast.Subscript(value=made, slice=ast.Tuple(elts=[first, *_])) if (
            bindings.full_name(made, imports) in ANNOTATED
        ):
            return class_in(first, known, imports)
        case ast.Subscript(value=made):
            return class_in(made, known, imports)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return known.get(name)
    return None


def lines(tree: ast.Module) -> dict[str, int]:
    """The lines from which on the names at the top of a file can be evaluated.

    An alias may name what stands further down, in quotes or behind `type`; it is of use from there on.
    """
    found: dict[str, int] = {}
    for node in reversed(tree.body):
        found.update((name, node.lineno) for name in bindings.stored(node))
    named = {name: set(_quoted(value)) for node in tree.body for name, value in bindings.values(node)}
    for _ in named:
        for name, others in named.items():
            found[name] = max(found.get(name, 0), *(found.get(other, 0) for other in others), 0)
    return found


def _quoted(value: ast.AST | None) -> Iterator[str]:
    """Names in an alias that are looked up later: those in quotes, and all behind `type X =`."""
    if value is None or isinstance(value, ast.ClassDef):
        return
    is_late = type(value).__name__ == "TypeAlias"
    for part in ast.walk(value):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and is_late:
            yield part.id
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) < LONGEST:
            yield from re.findall(r"[^\W\d]\w*", part.value)
