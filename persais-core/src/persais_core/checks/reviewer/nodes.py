"""Small questions about the nodes of a syntax tree that need to know nothing of the file round them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator

from persais_core.checks.reviewer import bindings


def outermost(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that are in no other function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        else:
            yield from outermost(node)


def kinds_in(around: frozenset[str], body: list[ast.stmt], parameters: set[str]) -> frozenset[str]:
    """Names in a function that are types: its type parameters, and classes made in it."""
    every = Counter(bindings.stored(*body))
    kinds = Counter(_classes_in(body))
    return frozenset(name for name in around | set(kinds) if name not in parameters and every[name] == kinds[name])


def set_to(body: list[ast.stmt]) -> dict[str, list[ast.expr]]:
    """What the variables of a function are set to, of those that are only ever set by plain assignments."""
    if any(isinstance(part, (ast.Nonlocal, ast.Global)) for statement in body for part in ast.walk(statement)):
        return {}
    every = Counter(bindings.stored(*body))
    found: dict[str, list[ast.expr]] = {}
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                continue
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                found.setdefault(name, []).append(value)
        queue += ast.iter_child_nodes(node)
    return {name: values for name, values in found.items() if len(values) == every[name]}


def _classes_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _classes_in(ast.iter_child_nodes(node))


def is_literal(node: ast.expr | None) -> bool:
    """Whether a value is written out."""
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return all(is_literal(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and is_literal(key) for key in keys) and all(is_literal(one) for one in values)
    return False


def is_value(node: ast.expr | None) -> bool:
    """Whether a name may be given another value by a function: it holds a number, a text, None or a table."""
    match node:
        case ast.UnaryOp(operand=operand):
            return is_value(operand)
        case ast.Constant() | ast.List() | ast.Dict() | ast.Set() | ast.Tuple():
            return True
    return False


def values_of(node: ast.Call) -> list[ast.expr]:
    """The values of the keywords of a call."""
    return [keyword.value for keyword in node.keywords]


def is_foreign(full: str) -> bool:
    """Whether a full name is that of the library's, and neither the project's nor a builtin."""
    return "." in full and not full.startswith("bot.")


def kept_kinds(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.Name]:
    """Where the end of a `with` passes on the class of what ended it, which no other code can name."""
    given = [*node.args.posonlyargs, *node.args.args]
    kind = given[1].arg if len(given) > 1 else ""
    rest = node.args.vararg.arg if node.args.vararg and len(given) < 2 else ""
    parents = {child: one for one in ast.walk(node) for child in ast.iter_child_nodes(one)}
    for part in ast.walk(node):
        if not isinstance(part, ast.Name) or part.id not in {kind, rest} - {""}:
            continue
        held: ast.expr = part
        if part.id == rest:
            match parents[part]:
                case ast.Subscript(slice=ast.Constant(value=int(index))) as taken if index > 0 or index < -3:
                    continue
                case ast.Subscript(slice=ast.Constant(value=0)) as taken:
                    held = taken
        if not _is_asked(held, parents):
            yield part


def _is_asked(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a class is only asked what it is, or told to the same method of a base."""
    match parents[node]:
        case ast.Compare(ops=ops):
            return all(isinstance(one, (ast.Is, ast.IsNot)) for one in ops)
        case ast.Call(func=ast.Name(id="issubclass" | "bool" | "any"), args=[first, *_]):
            return first is node
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name)):
            return name in {"__exit__", "__aexit__"}
        case ast.Starred() as spread:
            return _is_asked(spread, parents)
        case ast.Attribute(attr="__name__" | "__qualname__") | ast.FormattedValue():
            return True
        case ast.If(test=test) | ast.IfExp(test=test):
            return test is node
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp() as parent:
            return _is_asked(parent, parents)
    return False


def called(node: ast.expr) -> ast.expr:
    """What is called, or the value itself."""
    return node.func if isinstance(node, ast.Call) else node


def bound_by(node: ast.stmt) -> Iterator[str]:
    """Names that one statement binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
