"""Texts that are filled in by `format`: whether they are those that stand in the file, and no others.

A template can look into whatever it is given, so one that was put together at run time could reach anything. What
stands in the file can be read beforehand: a text at its top, in the body of a class, or in a table of texts at its top
that nobody changes. A table is left alone when every mention of it in the file takes texts out of it, or looks at it;
other files may not have it (`Made.kept`).
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator

from persais_core.checks.reviewer import bindings

# Fields that look into a value, and so a template that does more than name what it is given.
FIELD = re.compile(r"\{[^{}:!]*[.\[]")
MOST = 64  # templates that one expression may stand for
STRIPS = {"strip", "lstrip", "rstrip"}
CHOOSERS = {"random.choice", "secrets.choice"}
LOOKS = {"len", "list", "tuple", "set", "frozenset", "sorted", "enumerate", "zip", "bool", "dict", "random.choice"}
Table = ast.Dict | ast.List | ast.Tuple


class Templates:
    """The templates of one file.

    Args:
        tree: of the file.
        every: how often each name is bound at the top of the file.
        owner: the class that a name stands for, or is an instance of; an empty string where nobody knows.
    """

    def __init__(self, tree: ast.Module, every: Counter[str], owner: Callable[[str], str] = lambda name: "") -> None:
        self.imports, self.owner = bindings.imported(tree), owner
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.top: dict[str, ast.expr] = {}
        self.held: dict[tuple[str, str], list[ast.expr]] = {}
        self.hidden = frozenset(_bound(tree))
        for statement in tree.body:
            self.top.update((name, value) for name, value in _set(statement) if every[name] == 1)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    for name, value in _set(item):
                        if name.isupper() and (not isinstance(item, ast.AnnAssign) or _is_class_var(item)):
                            self.held.setdefault((node.name, name), []).append(value)
        self.mentions: dict[str, list[ast.Name]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.mentions.setdefault(node.id, []).append(node)
        self._kept: dict[str, bool] = {}
        self.filled = frozenset(self._filled(tree))

    def _filled(self, tree: ast.Module) -> Iterator[str]:
        """Tables at the top that something is filled in from, by whatever variables."""
        given: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            for name, value in _set(node) if isinstance(node, ast.stmt) else ():
                given.setdefault(name, set()).update(_names(value))
        queue = [
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "format"
            for name in _names(node.value)
        ]
        seen: set[str] = set()
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue += given.get(name, ())
        return (name for name in seen if isinstance(self.top.get(name), (ast.Dict, ast.List, ast.Tuple)))

    def texts(self, node: ast.expr, local: dict[str, list[ast.expr]], depth: int = 0) -> list[str] | None:
        """What an expression may hold that is used as a template.

        Args:
            node: the expression.
            local: what the names of the functions we are in are bound to; an empty list for what nobody knows.
            depth: how far we have followed names.

        Returns:
            Every text it may be, or None where that cannot be said.
        """
        if depth > 8:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Name(id=name) if name in local:
                found = local[name]
                return self._join([self.texts(one, local, depth + 1) for one in found]) if found else None
            case ast.Name(id=name) if name in self.top and not isinstance(self.top[name], Table):
                return self.texts(self.top[name], {}, depth + 1)
            case ast.IfExp(body=one, orelse=other):
                return self._join([self.texts(one, local, depth + 1), self.texts(other, local, depth + 1)])
            case ast.BoolOp(op=ast.Or(), values=values):
                return self._join([self.texts(one, local, depth + 1) for one in values])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                starts, ends = self.texts(left, local, depth + 1), self.texts(right, local, depth + 1)
                if starts is None or ends is None or len(starts) * len(ends) > MOST:
                    return None
                return [start + end for start in starts for end in ends]
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if (self.owner(name), attr) in self.held:
                return self._join([self.texts(one, {}, depth + 1) for one in self.held[self.owner(name), attr]])
            case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[]) if attr in STRIPS:
                return self.texts(value, local, depth + 1)
            case ast.Call(func=function, args=[value]) if self._full(function) == "textwrap.dedent":
                return self.texts(value, local, depth + 1)
        tables = self.table(node, local, depth)
        return self._join([self.texts(one, {}, depth + 1) for one in tables]) if tables else None

    def table(self, node: ast.expr, local: dict[str, list[ast.expr]], depth: int) -> list[ast.expr] | None:
        """What an expression may be that takes something out of a table, or names one."""
        if depth > 8:
            return None
        match node:
            case ast.Name(id=name) if name in local:
                if len(local[name]) != 1 or isinstance(local[name][0], Table):
                    return None
                return self.table(local[name][0], local, depth + 1)
            case ast.Name(id=name) if isinstance(self.top.get(name), Table) and self._is_kept(name):
                return [self.top[name]]
            case ast.Subscript(value=value, ctx=ast.Load()):
                return _inside(self.table(value, local, depth + 1))
            case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[_, *more], keywords=[]):
                found = _inside(self.table(value, local, depth + 1))
                for other in more if found else ():
                    default = self.table(other, local, depth + 1) or ([other] if self.texts(other, local, 1) else None)
                    found = found + default if found and default else None
                return found
            case ast.Call(func=function, args=[value], keywords=[]) if self._full(function) in CHOOSERS:
                return _inside(self.table(value, local, depth + 1))
        return None

    def _is_kept(self, name: str) -> bool:
        """Whether a table at the top is never changed, nor given to anybody who could."""
        if name not in self._kept:
            self._kept[name] = False  # where it is mentioned in itself
            levels = _levels(self.top[name])
            self._kept[name] = levels is not None and all(
                self._is_read(node, levels) for node in self.mentions.get(name, ())
            )
        return self._kept[name]

    def _is_read(self, node: ast.expr, levels: int) -> bool:
        """Whether what holds a table, so many levels above its texts, is only looked at or taken from."""
        if levels == 0:
            return True
        parent = self.parents[node]
        match parent:
            case ast.Subscript(value=value, ctx=ast.Load()) if value is node:
                return self._is_read(parent, levels - 1)
            case ast.Attribute(attr="get"):
                call = self.parents[parent]
                return isinstance(call, ast.Call) and call.func is parent and self._is_read(call, levels - 1)
            case ast.Attribute(attr="items" | "values" | "keys" | "index" | "count" as attr):
                call = self.parents[parent]
                is_call = isinstance(call, ast.Call) and call.func is parent
                return is_call and (levels == 1 or attr in {"keys", "count"})
            case ast.Call(func=ast.Attribute(attr="get"), args=[_, other]) if other is node:
                return self._is_read(parent, levels)
            case ast.Call(func=function) if function is not node:
                full = self._full(function)
                if full in CHOOSERS:
                    return self._is_read(parent, levels - 1)
                is_join = isinstance(function, ast.Attribute) and function.attr == "join"
                return levels == 1 and (full in LOOKS or is_join)
            case ast.Compare(left=left) if left is not node:
                return True
            case ast.For(iter=value) | ast.comprehension(iter=value) if value is node:
                return levels == 1 or (isinstance(node, ast.Name) and isinstance(self.top.get(node.id), ast.Dict))
            case ast.IfExp(test=test):
                return test is node or self._is_read(parent, levels)
            case ast.BoolOp():
                return self._is_read(parent, levels)
            case ast.Starred():
                return levels == 1
            case ast.Assign(targets=[ast.Name(id=name)]):
                around: ast.AST = parent
                while around in self.parents and not isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    around = self.parents[around]
                return not isinstance(around, ast.Module) and all(
                    self._is_read(part, levels)
                    for part in ast.walk(around)
                    if isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Load)
                )
        return False

    def _full(self, function: ast.expr) -> str:
        match function:
            case ast.Name(id=name) if name not in self.hidden:
                return self.imports.get(name, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name not in self.hidden:
                return f"{self.imports.get(name, '?')}.{attr}"
        return ""

    def _join(self, found: list[list[str] | None]) -> list[str] | None:
        joined = [text for one in found for text in one or ()]
        return joined if all(one is not None for one in found) and len(joined) <= MOST else None


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that the file binds anywhere, but by imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name):
                yield name


def _set(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The one name that a statement sets, and what to."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            yield name, value


def _names(node: ast.AST) -> set[str]:
    """Every name in an expression."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _is_class_var(node: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(node.annotation) or "Final" in ast.unparse(node.annotation)


def _levels(node: ast.expr) -> int | None:
    """How many steps it is from a table to each of its texts; None where it holds something else."""
    match node:
        case ast.Constant():
            return 0
        case ast.Dict(values=items) | ast.List(elts=items) | ast.Tuple(elts=items):
            if isinstance(node, ast.Dict) and not all(
                isinstance(key, (ast.Constant, ast.Attribute)) for key in node.keys
            ):
                return None
            found = {_levels(item) for item in items}
            level = found.pop() if len(found) == 1 else None
            return None if level is None else level + 1
    return None


def _inside(found: list[ast.expr] | None) -> list[ast.expr] | None:
    """What may be taken out of tables."""
    taken: list[ast.expr] = []
    for one in found or ():
        match one:
            case ast.Dict(values=items) | ast.List(elts=items) | ast.Tuple(elts=items):
                taken += items
            case _:
                return None
    return taken or None
