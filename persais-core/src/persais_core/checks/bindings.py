"""What the names of one file stand for: types, classes and their methods, and what was handed in from outside.

The reviewer judges expressions one by one; what it must know beyond the expression is found here, in a tree that is
only read. Three questions are answered. May a name stand in an annotation, or could it hold a text, which pydantic
would run as code? Which methods does a class have, and does it keep private attributes, so that nobody may call these
methods with something that is none of its instances? Which names of a function hold objects of the bot rather than
objects that the function made or read from its records?

All answers err on the side of refusing: names are followed without regard to order, and what is not understood is
taken for the worse case. Like the reviewer, this runs with the standard library only.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

BUILTINS = frozenset(dir(builtins))
ENUMS = {f"enum.{name}" for name in ("Enum", "Flag", "IntEnum", "IntFlag", "StrEnum")}
RECORDS = {"persais_core.Record", "sqlmodel.SQLModel"}
TYPE_MAKERS = {"typing.TypeVar", "typing.NewType"}
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Resolve: TypeAlias = Callable[[ast.expr], str | None]


class Class(NamedTuple):
    """One class, with all that it has from those it is made from.

    `methods` take an instance; `is_guarded` says that there are private attributes; `members` are those of an enum, and
    `is_record` says that its fields become columns.
    """

    methods: frozenset[str] = frozenset()
    is_guarded: bool = False
    is_enum: bool = False
    is_record: bool = False
    members: frozenset[str] = frozenset()

    def on(self, base: Class) -> Class:
        """The class as it is when it is made from another."""
        return Class(
            self.methods | base.methods,
            self.is_guarded or base.is_guarded,
            self.is_enum or base.is_enum,
            self.is_record or base.is_record,
            self.members | base.members,
        )


class Made(NamedTuple):
    """What a module makes itself: its names, those of them that may stand in annotations, and its classes."""

    names: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    classes: Mapping[str, Class] = {}


def made(tree: ast.Module, known: Mapping[str, Class]) -> Made:
    """What a module makes.

    Args:
        tree: of the file.
        known: classes that it imports from other files of the project, by their local names.
    """
    return Made(frozenset(_top(tree)), types(tree), classes(tree, known))


def _top(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from stored(node)


def imported(tree: ast.Module) -> dict[str, str]:
    """Local names of what a file imports, and the full names behind them."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def stored(*nodes: ast.AST, in_loops: bool = True) -> Iterator[str]:
    """Names that are bound in some nodes, but not those in the functions and classes inside them.

    Args:
        nodes: of a tree.
        in_loops: whether names count that are bound within a comprehension, and mean something else outside it.
    """
    for node in nodes:
        if isinstance(node, ast.comprehension) and not in_loops:
            yield from stored(node.iter, *node.ifs, in_loops=False)
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            if not isinstance(node, ast.Lambda):
                yield node.name
            yield from stored(*_around(node), in_loops=in_loops)
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.ExceptHandler)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        yield from stored(*ast.iter_child_nodes(node), in_loops=in_loops)


def _around(node: Function | ast.Lambda | ast.ClassDef) -> Iterator[ast.AST]:
    """What is evaluated where a function or class stands, rather than inside it."""
    if isinstance(node, ast.ClassDef):
        yield from (*node.bases, *node.keywords, *node.decorator_list)
        return
    yield from (default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None)
    if not isinstance(node, ast.Lambda):
        yield from node.decorator_list


def parameters(found: ast.arguments) -> Iterator[ast.arg]:
    """All parameters of a function."""
    for argument in (*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg):
        if argument is not None:
            yield argument


# --- types ---


def types(tree: ast.Module) -> frozenset[str]:
    """Names of a file that stand for a type and can hold no text: classes, and aliases of types."""
    imports = imported(tree)
    bound: dict[str, list[ast.AST | None]] = {}
    for node in tree.body:
        for name, value in _values(node):
            bound.setdefault(name, []).append(value)
    found: set[str] = set()
    while True:
        more = {name for name, values in bound.items() if all(_is_type(value, found, imports) for value in values)}
        if more <= found:
            return frozenset(found)
        found |= more


def _values(node: ast.stmt) -> Iterator[tuple[str, ast.AST | None]]:
    """Names that a statement at the top binds, and to what; None where that cannot be said."""
    match node:
        case ast.ClassDef(name=name):
            yield name, node
            yield from ((other, None) for other in stored(*_around(node)))
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            if value is not None:
                yield name, value
                yield from ((other, None) for other in stored(value))
        case ast.Import() | ast.ImportFrom():
            return
        case _ if type(node).__name__ == "TypeAlias":
            yield from ((name, node) for name in stored(node))
        case _:
            yield from ((name, None) for name in stored(node))


def _is_type(value: ast.AST | None, found: set[str], imports: Mapping[str, str]) -> bool:
    """Whether a value is a type, whatever its parts are: these are judged where they stand."""
    match value:
        case ast.ClassDef():
            return True
        case ast.Name(id=name):
            return name in found or name in imports or name in BUILTINS
        case ast.Attribute(value=ast.Name(id=name)):
            return name in imports
        case ast.Subscript(value=inner):
            return _is_type(inner, found, imports)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_type(left, found, imports) and _is_type(right, found, imports)
        case ast.Constant(value=None):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return imports.get(name) in TYPE_MAKERS
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)):
            return f"{imports.get(name)}.{attr}" in TYPE_MAKERS
    return type(value).__name__ == "TypeAlias"


# --- classes ---


def classes(tree: ast.Module, known: Mapping[str, Class]) -> dict[str, Class]:
    """The classes of a file, those inside others and inside functions too; classes of one name count as one."""
    imports = imported(tree)
    found: dict[str, Class] = {}
    bases: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        before = found.get(node.name, Class())
        methods = {
            item.name
            for item in node.body
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and takes_instance(item)
        }
        full = {_full(base, imports) for base in node.bases}
        found[node.name] = before.on(
            Class(frozenset(methods), _has_private(node), bool(full & ENUMS), bool(full & RECORDS), _members(node))
        )
        bases.setdefault(node.name, set()).update(
            part.id if isinstance(part, ast.Name) else part.attr
            for base in node.bases
            for part in ast.walk(base)
            if isinstance(part, (ast.Name, ast.Attribute))
        )
    for _ in found:  # as often as a chain of bases can be long
        for name, one in found.items():
            for base in bases[name]:
                one = one.on(found.get(base) or known.get(base) or Class())
            found[name] = one
    return found


def takes_instance(node: Function) -> bool:
    """Whether a function in a class body gets an instance as its first argument."""
    return not {"staticmethod", "classmethod"} & {item.id for item in node.decorator_list if isinstance(item, ast.Name)}


def _full(base: ast.expr, imports: Mapping[str, str]) -> str:
    """The full name of a base that is imported, else an empty string."""
    match base:
        case ast.Subscript(value=value):
            return _full(value, imports)
        case ast.Name(id=name):
            return imports.get(name, "")
        case ast.Attribute(value=ast.Name(id=name), attr=attr):
            return f"{imports.get(name)}.{attr}"
    return ""


def _members(node: ast.ClassDef) -> frozenset[str]:
    """Names that are assigned in a class body, and made in it by no other means."""
    assigned = {name for item in node.body if isinstance(item, ast.Assign) for name in stored(item)}
    return frozenset(
        assigned - {name for item in node.body if not isinstance(item, ast.Assign) for name in stored(item)}
    )


def _has_private(node: ast.ClassDef) -> bool:
    """Whether a class declares private attributes, or looks at some."""
    return any(
        name.startswith("_") for item in node.body if isinstance(item, ast.AnnAssign) for name in stored(item)
    ) or any(
        isinstance(part, ast.Attribute)
        and part.attr.startswith("_")
        and not part.attr.startswith("__")
        and isinstance(part.value, ast.Name)
        for part in ast.walk(node)
    )


# --- where objects come from ---


class Flow:
    """Which names of one function, and of those inside it, may hold objects of the bot.

    Args:
        node: the function.
        is_ours: whether an annotation names a class of the project or a record.
        is_handed: whether an annotation names the context or another object of the bot.
        resolve: what a name or a dotted name stands for; None for names of the file.
        shared: names that are bound at the top of the file.
        makers: those of them that are classes, so that what their methods give is ours.
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
    ) -> None:
        self._resolve, self._attributes, self._makers = resolve, attributes, makers
        self._bindings: list[tuple[str, ast.expr | None]] = []
        self._handed: set[str] = set()
        self.local = {argument.arg for argument in parameters(node.args)}
        foreign: set[str] = set()
        for part in ast.walk(node):
            self._bind(part)
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            for argument in parameters(part.args):
                self.local.add(argument.arg)
                annotation = argument.annotation
                if annotation is not None and is_handed(annotation):
                    self._handed.add(argument.arg)
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

    def _is_call_foreign(self, node: ast.Call) -> bool:
        """Calls give what the project makes and what is read from records; the library passes on what it is given."""
        function = node.func
        if isinstance(function, ast.Attribute) and self._resolve(function) is None:
            root = function.value
            while isinstance(root, (ast.Attribute, ast.Subscript, ast.Call, ast.Await)):
                root = root.func if isinstance(root, ast.Call) else root.value
            if isinstance(root, ast.Name) and root.id in self._handed | (self._makers - self.local):
                return False
            return self.is_foreign(function.value)
        full = self._resolve(function)
        if full is None or full.startswith(("bot.", "persais_core.")):
            return False
        return any(self.is_foreign(value) for value in (*node.args, *(keyword.value for keyword in node.keywords)))
