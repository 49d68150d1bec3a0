"""Which names of a function may hold objects of the bot, rather than what was made here or read from records.

The answer errs on the side of refusing: names are followed without regard to order.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator

from persais_core.checks.reviewer.bindings import Function, Resolve, parameters, stored


class Flow:
    """Which names of one function, and of those inside it, may hold objects of the bot.

    Args:
        node: the function.
        is_ours: whether an annotation names a class of the project or a record.
        is_handed: whether an annotation names the context or another object of the bot.
        resolve: what a name or a dotted name stands for; None for names of the file.
        shared: names that are bound at the top of the file.
        makers: those of them that are classes, so that what their methods give is ours.
        same: functions that give back what they are given.
        passing: functions that give back something imported.
        doubles: fixtures that give what the file makes itself.
        attributes: attributes that were found to hold such objects; grows.
    """

    def __init__(
        self,
        node: Function,
        *,
        is_ours: Callable[[ast.expr], bool],
        is_handed: Callable[[ast.expr], bool],
        resolve: Resolve,
        shared: frozenset[str],
        makers: frozenset[str],
        attributes: set[str],
        doubles: Collection[str] = (),
        passing: Collection[str] = (),
        same: Collection[str] = (),
    ) -> None:
        self._resolve, self._attributes, self._makers = resolve, attributes, makers
        self._passing, self._same = passing, same
        self._bindings: list[tuple[str, ast.expr | None]] = []
        self.handed: set[str] = set()
        self.local = {argument.arg for argument in parameters(node.args)}
        foreign: set[str] = set()
        for part in ast.walk(node):
            if part is not node:
                self._bind(part)
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            for argument in parameters(part.args):
                self.local.add(argument.arg)
                annotation = argument.annotation
                if annotation is not None and is_handed(annotation):
                    self.handed.add(argument.arg)
                if annotation is None and argument.arg in doubles:
                    continue
                if annotation is None or is_handed(annotation) or not is_ours(annotation):
                    foreign.add(argument.arg)
        self.local |= {name for name, _ in self._bindings}
        self._foreign = (foreign - {"self", "cls"}) | (shared - self.local)
        self._spread()

    def _bind(self, part: ast.AST) -> None:
        """Note what a node binds, and to what; None is an object that nobody here made."""
        match part:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._target(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.AugAssign(target=target, value=value):
                self._target(target, value)
            case ast.NamedExpr(target=target, value=value):
                self._target(target, value)
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self._target(target, value)
            case ast.comprehension(target=target, iter=value):
                self._target(target, value)
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                self._target(target, value)
            case ast.Match(subject=subject, cases=cases):
                self._bindings += [(name, subject) for case in cases for name in stored(case.pattern)]
            case ast.ExceptHandler(name=str(name)) | ast.ClassDef(name=name):
                self._bindings.append((name, None))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self._bindings.append((name, None))
            case ast.Global(names=names):
                self._bindings += [(name, None) for name in names]  # other functions set it too

    def _target(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self._bindings.append((name, value))
            case ((ast.Tuple(elts=targets) | ast.List(elts=targets)), (ast.Tuple(elts=values) | ast.List(elts=values))):
                if len(targets) == len(values) and not any(isinstance(item, ast.Starred) for item in targets + values):
                    for one, other in zip(targets, values, strict=True):
                        self._target(one, other)
                    return
                self._bindings += [(name, value) for name in stored(target)]
            case ((ast.Tuple() | ast.List() | ast.Starred()), _):
                self._bindings += [(name, value) for name in stored(target)]
            case ast.Attribute(attr=attr), _:
                self._bindings.append((f".{attr}", value))

    def _spread(self) -> None:
        """Follow the bindings until nothing new is found."""
        while True:
            before = len(self._foreign), len(self._attributes)
            for name, value in self._bindings:
                if value is not None and not self.is_foreign(value):
                    continue
                if name.startswith("."):
                    self._attributes.add(name[1:])
                else:
                    self._foreign.add(name)
            if before == (len(self._foreign), len(self._attributes)):
                return

    def is_foreign(self, node: ast.expr) -> bool:
        """Whether a value may be an object of the bot, or hold one."""
        match node:
            case ast.Name(id=name):
                return name in self._foreign
            case ast.Attribute(value=value, attr=attr):
                return attr in self._attributes or self.is_foreign(value)
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value):
                return self.is_foreign(value)
            case ast.NamedExpr(value=value):
                return self.is_foreign(value)
            case ast.Call():
                return self._is_call_foreign(node)
            case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
                return self.is_foreign(one) or self.is_foreign(other)
            case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values):
                return any(self.is_foreign(value) for value in values)
            case ast.Dict(values=values):
                return any(self.is_foreign(value) for value in values)
            case ast.ListComp(elt=value) | ast.SetComp(elt=value) | ast.GeneratorExp(elt=value):
                return self.is_foreign(value)
            case ast.DictComp(value=value):
                return self.is_foreign(value)
        return isinstance(node, (ast.Yield, ast.YieldFrom))

    def _is_same(self, name: str, node: ast.Call) -> bool:
        """Whether a function of the file gives back one of the bot's objects that it was handed."""
        return name in self._same and any(isinstance(one, ast.Name) and one.id in self.handed for one in node.args)

    def gives_own(self, node: Function) -> bool:
        """Whether all that the function gives back or yields was made here."""
        found = given(node)
        return bool(found) and not any(self.is_foreign(value) for value in found)

    def _is_call_foreign(self, node: ast.Call) -> bool:
        """Calls give what the project makes and what is read from records; the library passes on what it is given."""
        function = node.func
        if isinstance(function, ast.Attribute) and self._resolve(function) is None:
            root = function.value
            while isinstance(root, (ast.Attribute, ast.Subscript, ast.Call, ast.Await)):
                root = root.func if isinstance(root, ast.Call) else root.value
            passed = [value for value in node.args if "." in (self._resolve(value) or "")]
            if (
                function.attr in self._passing
                or self._is_same(function.attr, node)
                or (passed and isinstance(root, ast.Name) and root.id in {"self", "cls"})
            ):
                return True
            if isinstance(root, ast.Name) and root.id in self.handed | (self._makers - self.local):
                return False
            return self.is_foreign(function.value)
        full = self._resolve(function)
        if full is None:
            shared = any("." in (self._resolve(value) or "") for one in _arguments(node) for value in names(one))
            called = function.id if isinstance(function, ast.Name) else ""
            return shared or called in self._passing or self._is_same(called, node)
        if full.startswith(("bot.", "persais_core.")):
            return False
        spec = {"spec", "spec_set"} if full.startswith("unittest.mock.") else set()
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg not in spec)]
        return any(self.is_foreign(value) for value in given)


def given(node: Function) -> list[ast.expr]:
    """All that a function gives back or yields."""
    return [part.value for part in ast.walk(node) if isinstance(part, (ast.Return, ast.Yield)) and part.value]


def names(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """Names and dotted names in an expression, outermost first, but for those that are called."""
    match node:
        case ast.Call(func=function):
            if isinstance(function, ast.Attribute):
                yield from names(function.value)
            for one in _arguments(node):
                yield from names(one)
        case ast.Name() | ast.Attribute():
            yield node
        case _:
            for child in ast.iter_child_nodes(node):
                yield from names(child)


def _arguments(node: ast.Call) -> Iterator[ast.expr]:
    yield from node.args
    yield from (keyword.value for keyword in node.keywords)
