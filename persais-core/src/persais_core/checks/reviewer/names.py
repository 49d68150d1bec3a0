"""What the names of a file stand for, as far as the scope reaches that is being read.

Everything that judges a part of the syntax tree is built on this: it holds the findings and what is known of the file.
"""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod

from persais_core.checks.reviewer import (
    aliases,
    bindings,
    characters,
    flows,
)
from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.findings import Finding
from persais_core.checks.reviewer.lists import Allowed
from persais_core.checks.reviewer.nodes import is_literal
from persais_core.checks.reviewer.project import Project
from persais_core.checks.reviewer.scopes import Scope

# Special names that may be asked for, as they hold a text, and those that are set at the top or in a class.
READ_ONLY = {"__name__", "__main__", "__doc__", "__version__", "__author__"}
LABELS = {"__version__", "__author__", "__date__", "__email__", "__license__"}
CLASS_NAMES = {"__tablename__", "__table_args__", "__slots__", "__all__", "__hash__", *LABELS}
DUNDER = re.compile(r"__[A-Za-z0-9_]+__")
# Sentences that speak of such a name: nothing is filled into them, and no part of them is a path to it.
PROSE = re.compile(r"[^{}%\[\]]*")
PATH = re.compile(r"\.\s*__|__\s*[.(=]|__\s*,?\s*__")
FIELDS = {"dataclasses.field", "pydantic.Field", "sqlmodel.Field"}
GENERIC_BUILTINS = {"dict", "frozenset", "list", "set", "tuple", "type"}
# Functions that give back what they are given, or something that can be called.
PASSES_ON = {
    *("max", "min", "map", "object", "sum", "filter", "iter", "next", "functools.partial", "functools.cmp_to_key"),
    *("functools.reduce", "operator.attrgetter", "operator.itemgetter", "operator.methodcaller", "typing.cast"),
    *("typing.get_args", "collections.namedtuple", "logging.getLogger", "typing.NewType", "typing.TypeVar"),
    *("typing.ParamSpec", "itertools.accumulate", "itertools.starmap"),
}
NEVER_HIDDEN = {"super", "hasattr", "isinstance", "issubclass", "classmethod", "staticmethod", "property", "object"}
LONGEST_OFFER = 500  # characters; all but the longest lists fit
HANDED = {"typing.Any", "object", *(f"persais_core.{name}" for name in ("Agent", "Context", "Message", "Tool", "User"))}


class Names(ABC):
    """The file that is read, and the scopes we are in.

    `modules` maps a local name to the module it is bound to, `names` maps it to `module.name`; everything else that is
    bound in the file is plain. Both are filled before the walk, so a use above its import is judged too.
    """

    def __init__(self, path: str, project: Project, allowed: Allowed) -> None:
        self.findings: list[Finding] = []
        self.path, self.project, self.allowed = path, project, allowed
        self.is_test = path.startswith("tests/")
        self.known = dict(allowed.modules)
        for module, found in allowed.test_modules.items() if self.is_test else ():
            self.known[module] = self.known.get(module, frozenset()) | found
        self.modules: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.own: set[str] = set()
        self.fields: set[str] = set()  # those of them that instances hold
        self.classes: dict[str, bindings.Class] = {}
        self.abroad: dict[str, bindings.Class] = {}  # classes of other files of the project
        self.called_otherwise: dict[str, bindings.Class] = {}  # other names in this file for any of them
        self.supers: set[int] = set()  # where `super()` has a dot behind it
        self.dictionaries: set[str] = set()  # those written out at the top that nobody changes
        self.wrappers: dict[str, ast.FunctionDef] = {}  # own decorators
        self.copiers: frozenset[str] = frozenset()  # those of them that copy what a function says of itself
        self.copying: set[int] = set()  # where they do so
        self.defined: set[str] = set()  # functions at the top of the file
        self.dispatchers: set[str] = set()  # functions behind @singledispatch
        self.kinds: frozenset[str] = frozenset()  # tables at the top with kinds of nodes of `ast` in them
        self.kind_tables: set[int] = set()  # where these are written out
        self.plain: set[str] = set()  # names at the top that hold numbers, texts and tables, written out
        self.same: set[str] = set()  # functions that give back what they are given
        self.subjects: set[str] = set()  # fixtures that give an instance of a class of the project
        self.quick: set[str] = set()  # functions that may be called while the file is imported
        self.matches_wholly = False  # whether a pattern of the file may have to reach to the end of a text
        self.grown: frozenset[str] = frozenset()  # names that are multiplied by something step by step
        self.constants: set[str] = set()  # names at the top of the file that hold nothing that can be called
        self.types: frozenset[str] = frozenset()
        self.shared: frozenset[str] = frozenset()
        self.makers: set[str] = set()  # functions that cannot be called with an argument
        self.scopes: list[Scope] = []
        self.flows: dict[int, flows.Flow] = {}
        self.flow: flows.Flow | None = None
        self.absent: frozenset[str] = frozenset()  # imported for those who check types only
        self.lines: dict[str, int] = {}  # where names at the top are bound first
        self.functions_at_top: dict[str, ast.FunctionDef] = {}
        self.asked_at: int | None = None  # the line at which what the annotation that is read names must be there
        self.is_evaluated = True  # whether the annotation that is read may be evaluated by somebody
        self.depth = 0  # how many loops at the top of the file we are in
        self.tried = 0  # how many `try:` we are in
        self.functions = 0  # how many function bodies we are in: at 0, code runs while the file is imported

    def refuse(self, node: ast.AST, rule: str, text: str) -> None:
        """Note a finding at a node."""
        self.findings.append(Finding(getattr(node, "lineno", 1), rule, text))

    def own_name(self, node: ast.AST, module: str, name: str) -> None:
        """A name of a module of this project: it must be made there, not passed on."""
        if self.project.made(module) is None:
            self.refuse(node, "import", f"there is no {module}; import what is in the project")
        elif not self.project.makes(module, name) or name.startswith("__" if self.is_test else "_"):
            self.refuse(node, "import", f"{module} does not make {name} itself; import it from where it is made")
        elif self.project.keeps(module, name):
            self.refuse(node, "import", f"{module} keeps {name} to itself; call a function of it instead")

    def offer(self, module: str) -> str:
        """The names of a module that may be used."""
        names = sorted(self.known[module])
        told = f"use {', '.join(names)}"
        if module == "sqlmodel":
            told += ", and read records with context.records(Schema).list(...)"
        if len(told) <= LONGEST_OFFER:
            return told
        shown = told[:LONGEST_OFFER].rpartition(", ")[0]
        return f"{shown}, and {len(names) - shown.count(',') - 1} more"

    def shadow(self, node: ast.AST, name: str) -> None:
        """A name of the file may not hide one that everybody knows."""
        if name in BUILTINS:
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")
        if name in self.modules or name in self.names:
            self.refuse(node, "shadow", f"{name} is imported; choose another name")

    def special(self, node: ast.AST, name: str, *, in_class: bool) -> None:
        """The name of a function or class."""
        is_mangled = not name.endswith("__") and self.is_in_class()
        if name.startswith("__") and not (in_class and (name in self.allowed.methods or is_mangled)):
            instead = "keep the classes in a tuple or dict" if name == "__init_subclass__" else "do without it"
            self.refuse(node, "dunder", f"{name} may not be written; {instead}")
        if name == "model_parametrized_name":
            self.refuse(node, "class", f"{name} puts a class under any name of this file; leave it out")
        if name.startswith("pytest_"):
            self.refuse(node, "test", f"{name} steers the test run; remove it")
        if name in NEVER_HIDDEN or name == "type":
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")

    def owner(self, name: str) -> str:
        """The class of this file that a name stands for, or is an instance of; an empty string for all others."""
        if name in {"self", "cls"} and self.is_first(name):
            inside = next((scope for scope in reversed(self.scopes) if scope.owner), None)
            return inside.owner if inside else ""
        return name if name in self.classes and not any(name in scope.names for scope in self.scopes) else ""

    def variables(self) -> dict[str, list[ast.expr]]:
        """What the names of the functions we are in are set to; an empty list for what nobody knows."""
        found: dict[str, list[ast.expr]] = {}
        for scope in self.scopes:
            if scope.is_function:
                found |= {name: scope.bound.get(name, []) for name in scope.names}
        return found

    def methods_here(self) -> frozenset[str]:
        """Methods of the class in whose body we are, not counting the functions in it."""
        here = next((scope for scope in reversed(self.scopes) if not scope.is_brackets), None)
        return here.methods if here else frozenset()

    def is_in_class(self) -> bool:
        """Whether we are in the body of a class, and in no function of it."""
        here = next((scope for scope in reversed(self.scopes) if not scope.is_brackets), None)
        return here is not None and not here.is_function

    def is_class_of(self, node: ast.Call) -> bool:
        """Whether a call is `type(x)`, whose result is `type` again when x is a class."""
        return self.full_name(node.func) == "type" and not (len(node.args) == 1 and is_literal(node.args[0]))

    def class_of(self, node: ast.expr) -> bindings.Class | None:
        """The class of the project that a name, a dotted name or one of them in brackets stands for."""
        imports = {**self.modules, **self.names}
        own = aliases.class_in(node, self.classes, imports)
        if own and not isinstance(node, ast.Attribute):
            return own
        other = aliases.class_in(node, self.abroad, imports) or aliases.class_in(node, self.called_otherwise, imports)
        return own.on(other) if own and other else own or other

    def takes_brackets(self, node: ast.expr) -> bool:
        """Whether what stands in brackets behind something makes a type, and is not one of the members of an enum."""
        while isinstance(node, ast.Subscript):
            node = node.value
        known = {**self.called_otherwise, **self.abroad, **self.classes}
        if isinstance(node, ast.Attribute) and (kind := self.class_of(node)):
            return not kind.is_enum
        is_taken = self.project.takes_for_class(self.full_name(node) or "")
        return is_taken or aliases.takes_brackets(node, known, {**self.modules, **self.names})

    def is_first(self, name: str) -> bool:
        """Whether a name is what a method is called on, here or in the function round this one."""
        for scope in reversed(self.scopes):
            if name in scope.names and (scope.is_function or scope is self.scopes[-1]):
                return scope.first == name
        return False

    def text(self, node: ast.AST, value: object) -> None:
        """A constant: no names of Python's insides in strings, where format and friends would find them."""
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str) and len(value.split()) > 4 and PROSE.fullmatch(value) and not PATH.search(value):
            return
        for found in DUNDER.findall(value) if isinstance(value, str) else ():
            if found not in self.allowed.methods and found not in READ_ONLY:
                self.refuse(node, "dunder", f"{found} stands in a string; say it in other words")

    def name(self, node: ast.Name) -> None:
        """A bare name."""
        name, is_read = node.id, isinstance(node.ctx, ast.Load)
        if not characters.is_name(name):  # inside an f-string, where older tokenizers see no names
            self.refuse(node, "name", f"{name!a} mixes letters or looks like another name; use a-z, 0-9 and _")
        elif name in BUILTINS - READ_ONLY and name not in self.allowed.builtins and not self.is_local(node):
            self.refuse(node, "builtin", f"{name} may not be used, nor hidden; choose another name or way")
        elif name.startswith("__") and name not in CLASS_NAMES and not (name in READ_ONLY and is_read):
            if not is_read and not name.endswith("__") and self.is_in_class():
                return  # private to the class
            self.refuse(node, "dunder", f"{name} may not be used; do without it")
        elif is_read and name in self.copiers and not any(name in scope.names for scope in self.scopes):
            self.refuse(node, "decorator", f"{name} copies what a function says of itself; write it behind @")
        elif isinstance(node.ctx, (ast.Store, ast.Del)) and name in self.modules:
            self.refuse(node, "shadow", f"{name} is an imported module; choose another name")
        elif isinstance(node.ctx, (ast.Store, ast.Del)) and name in NEVER_HIDDEN:
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")

    def is_local(self, node: ast.Name) -> bool:
        """Whether a builtin's name is a variable here, so that the builtin is out of reach by it."""
        if isinstance(node.ctx, ast.Del) or node.id in NEVER_HIDDEN:
            return False
        here = next((scope for scope in reversed(self.scopes) if not scope.is_brackets), None)
        if isinstance(node.ctx, ast.Store) and here and not here.is_function:
            return True  # a field: in a class body it is only set, and elsewhere reached through an instance
        return any(scope.is_function and node.id in scope.sure for scope in self.scopes)

    def is_type(self, node: ast.expr) -> bool:
        """Whether subscripting this makes a type, so that strings inside it are types too."""
        while isinstance(node, ast.Subscript):
            node = node.value  # Box[T][…]
        name = self.full_name(node) or ""
        if name.startswith(("typing.", "collections.abc.")) or name in GENERIC_BUILTINS:
            return True
        if isinstance(node, ast.Name) and node.id in self.types and node.id not in self.classes:
            return True  # an alias: it is whatever it stands for
        kind = self.class_of(node)
        if kind is not None and kind.makes_classes:
            return True
        # A class of the project, subscripted while the file is imported: Box["…"]
        return self.functions == 0 and isinstance(node, ast.Name) and (node.id in self.classes or node.id in self.names)

    def full_name(self, node: ast.expr) -> str | None:
        """What a name or a dotted name stands for: `module.name`, a builtin's name, or None when it is ours."""
        match node:
            case ast.Name(id=name):
                if any(scope.is_function and name in scope.sure for scope in self.scopes):
                    return None  # a parameter or variable of this name
                if name in self.names:
                    return self.names[name]
                return name if name in BUILTINS else self.modules.get(name)
            case ast.Attribute(value=value, attr=attr):
                base = self.full_name(value)
                return f"{base}.{attr}" if base else None
        return None

    # --- what is said further up ---

    @abstractmethod
    def expression(self, node: ast.expr) -> None:
        """Judge an expression and all that is in it."""

    @abstractmethod
    def mention(self, node: ast.expr) -> None:
        """Judge a name, or a dotted name, that is not passed on."""

    @abstractmethod
    def field(self, node: ast.Call, *, is_dataclass: bool) -> None:
        """Judge `Field(…)`."""

    @abstractmethod
    def mark(self, node: ast.expr) -> None:
        """Judge what stands behind the type in `Annotated[…]`."""

    @abstractmethod
    def pieces(self, node: ast.AST) -> None:
        """Judge all that a node is made of."""

    @abstractmethod
    def statement(self, node: ast.stmt) -> None:
        """Judge a statement."""
