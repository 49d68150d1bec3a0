"""What the names of one file stand for: what they are bound to, classes and their methods.

The reviewer judges expressions one by one; what it must know beyond the expression is found here, in a tree that is
only read (`aliases` says which names are types). Which methods does a class have, and does it keep private attributes,
so that nobody may call these methods with something that is none of its instances?

All answers err on the side of refusing: names are followed without regard to order, and what is not understood is
taken for the worse case. Like all of the reviewer, this runs with the standard library only.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

# The module `site` adds some, and is not loaded where this runs.
BUILTINS = frozenset({*dir(builtins), "copyright", "credits", "exit", "help", "license", "quit"})
ERRORS = {name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException)}
ENUMS = {f"enum.{name}" for name in ("Enum", "Flag", "IntEnum", "IntFlag", "StrEnum")}
RECORDS = {"persais_core.Record", "sqlmodel.SQLModel"}
# Those with fields whose types are evaluated, the values of the bot among them.
READ = {"pydantic.BaseModel", "typing.NamedTuple", "typing.TypedDict", *RECORDS}
_VALUES = ("Button", "File", "Message", "Reply", "User")
READ |= {f"{home}.{name}" for home in ("persais_core", "persais_core.domain.chats") for name in _VALUES}
TYPE_MAKERS = {"typing.TypeVar", "typing.NewType", "typing.ParamSpec"}
NAMED_TUPLE = "collections.namedtuple"
# Protocols ask for names only, and whoever has an abstract class can register strangers with it.
SOLID = {"typing.Generic", "object", "Exception", "ValueError"}
ROOTS = {"abc.ABC", "typing.Generic", "typing.Protocol", "object", "Exception", "ValueError"}
# Classes that do no more when one is made than to take what they are given.
SIMPLE_BASES = {
    *("abc.ABC", "enum.Enum", "enum.Flag", "enum.IntEnum", "enum.IntFlag", "enum.StrEnum", "pydantic.BaseModel"),
    *(
        "typing.Generic",
        "typing.NamedTuple",
        "typing.Protocol",
        "typing.TypedDict",
        "str",
        "int",
        "float",
        "dict",
        "list",
    ),
    *("tuple", "object", "Exception", "ValueError"),
}
# Doors of somebody else's that are words of everyday life, so that a class may have attributes of these names. Where
# its methods look at them, they are called on its own instances only.
COMMON = {"annotation", "dispatch", "eval", "exec", "metadata", "modules", "registry"}
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Resolve: TypeAlias = Callable[[ast.expr], str | None]


class Class(NamedTuple):
    """One class, with all that it has from those it is made from.

    `methods` take an instance; `is_guarded` says that there are private attributes; `members` are those of an enum, and
    `is_record` says that its fields become columns, `is_simple` that making one runs next to nothing,
    `is_rooted` that it has nothing from a class of somebody else, `is_solid` that nothing but what was made of it can
    pass for its instance, `is_generic` that it takes types in brackets, `is_raised` that it is an error, and `is_read`
    that a library evaluates what its fields are annotated with.
    """

    methods: frozenset[str] = frozenset()
    is_guarded: bool = False
    is_enum: bool = False
    is_record: bool = False
    members: frozenset[str] = frozenset()
    is_simple: bool = True
    is_rooted: bool = True
    is_solid: bool = True
    is_generic: bool = False
    is_raised: bool = False
    is_read: bool = False

    @property
    def makes_classes(self) -> bool:
        """Whether something in brackets behind it makes a class, by somebody who evaluates the texts in it."""
        return self.is_generic and not self.is_rooted

    def on(self, base: Class) -> Class:
        """The class as it is when it is made from another."""
        return Class(
            self.methods | base.methods,
            self.is_guarded or base.is_guarded,
            self.is_enum or base.is_enum,
            self.is_record or base.is_record,
            self.members | base.members,
            self.is_simple and base.is_simple,
            self.is_rooted and base.is_rooted,
            self.is_solid and base.is_solid,
            self.is_generic or base.is_generic,
            self.is_raised or base.is_raised,
            self.is_read or base.is_read,
        )


class Made(NamedTuple):
    """What a module makes itself: its names, those of them that may stand in annotations, and its classes.

    `kept` are tables of texts that it fills in, and that must be in nobody else's hands.
    """

    names: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    classes: Mapping[str, Class] = {}
    kept: frozenset[str] = frozenset()


def bound(tree: ast.Module) -> Counter[str]:
    """How often each name is bound at the top of a file; a function that declares it global counts too."""
    every = Counter(stored(tree))
    every.update(declared(tree))
    return every


def declared(tree: ast.Module) -> Iterator[str]:
    """Names that functions declare to be global."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names


def assigned(tree: ast.Module) -> dict[str, list[ast.expr | None]]:
    """Names that are bound at the top of a file, and to what; None where that is no plain assignment."""
    found: dict[str, list[ast.expr | None]] = {}
    for node in tree.body:
        for name, value in values(node):
            found.setdefault(name, []).append(value if isinstance(value, ast.expr) else None)
    for name in imported(tree):
        found.setdefault(name, []).append(None)
    return found


def top(tree: ast.Module) -> Iterator[str]:
    """Names that a file makes at its top: functions, classes and what it assigns."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from stored(node)


def imported(tree: ast.Module) -> dict[str, str]:
    """Local names of what a file imports, and the full names behind them."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def absent(tree: ast.Module) -> set[str]:
    """Names that are imported under TYPE_CHECKING alone, and so are bound nowhere while the bot runs."""
    hidden = [one for node in tree.body if isinstance(node, ast.If) for one in ast.walk(node)]
    inside = {id(one) for one in hidden}
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found[id(node) in inside] |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return found[True] - found[False]


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


def loggers(tree: ast.Module) -> Iterator[str]:
    """Names at the top of a file that hold a logger."""
    imports = imported(tree)
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Call(func=function)) | ast.AnnAssign(value=ast.Call(func=function)) if (
                full_name(function, imports) == "logging.getLogger"
            ):
                yield from stored(node)


def values(node: ast.stmt) -> Iterator[tuple[str, ast.AST | None]]:
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
        full = {full_name(base, imports) for base in node.bases}
        is_simple = not (full - SIMPLE_BASES - {""}) and not any(_is_busy(item) for item in node.body)
        is_simple = is_simple and not ("__getitem__" in methods and not {"__iter__", "__len__"} & methods)
        found[node.name] = before.on(
            Class(
                frozenset(methods),
                _has_private(node),
                bool(full & ENUMS),
                bool(full & RECORDS),
                _members(node),
                is_simple,
                not (full - ROOTS - {""}),
                not (full - SOLID - {""}),
                "typing.Generic" in full or bool(getattr(node, "type_params", ())),
                bool(full & ERRORS),
                bool(full & READ),
            )
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


def _is_busy(item: ast.stmt) -> bool:
    """Whether something in a class body may run at length when an instance is made."""
    if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    if any("validator" in ast.unparse(one) for one in item.decorator_list):
        return True
    if item.name == "__next__" or (
        item.name == "__iter__" and any(isinstance(part, ast.While) for part in ast.walk(item))
    ):
        return True  # going through it may never end
    if item.name not in {"__init__", "__post_init__", "__call__", "__hash__", "__eq__"}:
        return False
    loops = (ast.For, ast.While, ast.AsyncFor, ast.Await, ast.Lambda, ast.Yield, ast.YieldFrom, ast.comprehension)
    return item.name == "__call__" or any(
        isinstance(part, loops) or (isinstance(part, ast.Call) and not _is_quick(part.func)) for part in ast.walk(item)
    )


def _is_quick(function: ast.expr) -> bool:
    """Whether a call is one of a builtin, or of a method of a text."""
    if isinstance(function, ast.Attribute):
        return function.attr in {"strip", "lower", "upper", "title", "casefold", "__init__", "__post_init__"}
    return isinstance(function, ast.Name) and function.id in BUILTINS


def properties(node: ast.ClassDef) -> Iterator[str]:
    """Names that a class binds by `@property` and by that property's own setters, and by nothing else."""
    every = Counter(stored(*node.body))
    made: dict[str, list[str]] = {}
    for item in node.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            made.setdefault(item.name, []).append("|".join(map(ast.unparse, item.decorator_list)))
    for name, found in made.items():
        steps = {f"{name}.setter", f"{name}.deleter"}
        if len(found) == every[name] and "property" in found[0].split("|") and set(found[1:]) <= steps:
            yield name


def takes_instance(node: Function) -> bool:
    """Whether a function in a class body gets an instance as its first argument."""
    return not {"staticmethod", "classmethod"} & {item.id for item in node.decorator_list if isinstance(item, ast.Name)}


def full_name(base: ast.expr, imports: Mapping[str, str]) -> str:
    """The full name of something that is imported or a builtin, else an empty string."""
    match base:
        case ast.Subscript(value=value):
            return full_name(value, imports)
        case ast.Name(id=name):
            return imports.get(name, name if name in BUILTINS else "")
        case ast.Attribute(value=ast.Name(id=name), attr=attr):
            return f"{imports.get(name)}.{attr}"
    return "?"


def _members(node: ast.ClassDef) -> frozenset[str]:
    """Names that are assigned in a class body, and made in it by no other means."""
    assigned = {name for item in node.body if isinstance(item, ast.Assign) for name in stored(item)}
    return frozenset(
        assigned - {name for item in node.body if not isinstance(item, ast.Assign) for name in stored(item)}
    )


def _has_private(node: ast.ClassDef) -> bool:
    """Whether a class declares private attributes, or looks at some, or at what is a door on somebody else."""
    return any(
        name.startswith("_") for item in node.body if isinstance(item, ast.AnnAssign) for name in stored(item)
    ) or any(
        name in COMMON or (name.startswith("_") and not name.endswith("__"))
        for part in ast.walk(node)
        for name in _looked_at(part)
    )


def _looked_at(node: ast.AST) -> Iterator[str]:
    """The attribute of a name that a node looks at, by a dot or by a text."""
    match node:
        case ast.Attribute(value=ast.Name(), attr=name):
            yield name
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            yield name
