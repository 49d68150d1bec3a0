"""Decorators that a file makes itself: functions that put another function round one, or note it in a table.

They run while the file is imported, so they may not do more than that. And who calls a method through one must have
been able to call the method itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from persais_core.checks.reviewer import bindings
from persais_core.checks.reviewer.bindings import Function, stored

NOTES = {"add", "append", "setdefault"}
WRAPS = "functools.wraps"
# What has names of its own, so that the first parameter of a wrapper may be another one there.
SCOPES = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.comprehension)


def is_wrapper(node: Function, *, is_called: bool = False) -> bool:
    """Whether a function does nothing when it stands behind @.

    Args:
        node: the function.
        is_called: whether it is called there, and what it gives back is the decorator.
    """
    inner = _result(node)
    if inner is None or not isinstance(node, ast.FunctionDef):
        return False
    return not is_called or (isinstance(inner, ast.FunctionDef) and is_wrapper(inner))


def keeps_instance(node: Function) -> bool:
    """Whether the function that is wrapped is always called on what the wrapper was called on."""
    inner = _result(node)
    if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False  # it may have been noted, and so be called by anybody
    if _result(inner) is not None and is_wrapper(inner):
        return keeps_instance(inner)  # a function that makes a decorator
    given = node.args.args[:1]
    if len(given) != 1 or node.args.vararg or node.args.kwarg or inner.args.defaults or len(_body(node)) != 2:
        return False
    wrapped = given[0].arg
    first = [argument.arg for argument in (*inner.args.posonlyargs, *inner.args.args)][:1]
    rest = [inner.args.vararg.arg] if inner.args.vararg else []
    passed = first or rest
    if not passed or {wrapped, *passed} & set(stored(*inner.body)):
        return False
    calls = {
        id(part.func)
        for part in ast.walk(inner)
        if isinstance(part, ast.Call) and part.args and _is_first(part.args[0], first, rest)
    }
    named = {id(part.value) for part in ast.walk(inner) if isinstance(part, ast.Attribute) and part.attr == "__name__"}
    return all(
        id(part) in calls | named
        for statement in inner.body
        for part in ast.walk(statement)
        if isinstance(part, ast.Name) and part.id == wrapped
    ) and not any(isinstance(part, SCOPES) for part in ast.walk(inner) if part is not inner)


def copying(tree: ast.Module) -> Iterator[str]:
    """Functions at the top of a file in which `wraps` copies what somebody else hands them.

    With the name and docstring come annotations, which others evaluate. Behind @ they are those of a function that is
    written out; anywhere else they could be anything.
    """
    imports = bindings.imported(tree)
    functions = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for part in ast.walk(node):
                match part:
                    case ast.Call(func=function, args=[ast.Name(id=name)]) if (
                        name not in functions and bindings.full_name(function, imports) == WRAPS
                    ):
                        yield node.name


def copies(node: ast.FunctionDef) -> Iterator[ast.expr]:
    """Where a decorator, or one that a function makes, has `@wraps(f)` of the function that is written out below it."""
    inner = _result(node)
    if isinstance(inner, ast.FunctionDef) and is_wrapper(inner):
        yield from copies(inner)  # what this one is handed itself may be anything
        return
    given = [argument.arg for argument in node.args.args[:1]]
    if given and given[0] not in set(stored(*node.body)):
        for step in node.body:
            around = step.decorator_list if isinstance(step, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
            for one in around:
                match one:
                    case ast.Call(args=[ast.Name(id=name)]) if name == given[0]:
                        yield one


def _is_first(node: ast.expr, first: list[str], rest: list[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return [name] == first
        case ast.Starred(value=ast.Name(id=name)):
            return not first and [name] == rest
    return False


def _body(node: Function) -> list[ast.stmt]:
    """What a function does, without its docstring."""
    match node.body:
        case [ast.Expr(value=ast.Constant()), *rest]:
            return rest
    return node.body


def _result(node: Function) -> Function | ast.arg | None:
    """The function that a function makes and gives back, or its parameter; None where it does more than to note it."""
    made: dict[str, Function | ast.arg] = {argument.arg: argument for argument in node.args.args}
    *steps, last = _body(node) or [ast.Pass()]
    for step in steps:
        match step:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                made[name] = step
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(), slice=key)], value=ast.Name()) if not _calls(key):
                continue
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if isinstance(value, (ast.Constant, ast.Dict, ast.List, ast.Set)) and not _calls(value):
                made.pop(name, None)  # a counter, or what was answered before
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(), attr=attr), args=given, keywords=[])) if (
                attr in NOTES and not any(map(_calls, given))
            ):
                continue
            case _:
                return None
    match last:
        case ast.Return(value=ast.Name(id=name)):
            return made.get(name)
    return None


def _calls(node: ast.expr) -> bool:
    return any(isinstance(part, (ast.Call, ast.Await, ast.comprehension)) for part in ast.walk(node))
