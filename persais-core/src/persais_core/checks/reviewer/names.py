"""What the names of a file stand for, as far as the scope reaches that is being read.

Everything that judges a part of the syntax tree is built on this: it holds the findings and what is known of the file.
"""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from persais_core.checks.reviewer import bindings, characters, decorators, enums, flows, kinds, sizes, templates
from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.findings import Finding
from persais_core.checks.reviewer.lists import Allowed
from persais_core.checks.reviewer.nodes import bound_by, called, is_foreign, is_literal, is_value, outermost
from persais_core.checks.reviewer.project import Project

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
HANDED = {"typing.Any", "object", *(f"persais_core.{name}" for name in ("Agent", "Context", "Message", "Tool", "User"))}


@dataclass
class Scope:
    """One function, lambda or class that we are in.

    `names` are all names it binds, `sure` those of them that mean the same everywhere in it, `kinds` those that are
    types, `texts` those of a class that may hold a text. `methods` are those of a class, whose name is `owner`; `first`
    is the parameter that is the instance or class a method is called on. `bound` is what the variables of a function
    are set to where that is all there is to know, `steady` its parameters that are given no other value, `instances`
    those of them that are known to be instances of a class of this file, where we are. `is_brackets` are the type
    parameters behind a name.
    """

    is_function: bool
    names: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    first: str = ""
    owner: str = ""
    bound: Mapping[str, list[ast.expr]] = field(default_factory=dict)
    steady: frozenset[str] = frozenset()
    instances: set[str] = field(default_factory=set)
    is_dataclass: bool = False
    is_record: bool = False
    is_brackets: bool = False


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
        self.dictionaries: set[str] = set()  # constants that are plain dictionaries, written out
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
        self.is_evaluated = True  # whether the annotation that is read may be evaluated by somebody
        self.depth = 0  # how many loops at the top of the file we are in
        self.tried = 0  # how many `try:` we are in
        self.functions = 0  # how many function bodies we are in: at 0, code runs while the file is imported

    def refuse(self, node: ast.AST, rule: str, text: str) -> None:
        """Note a finding at a node."""
        self.findings.append(Finding(getattr(node, "lineno", 1), rule, text))

    def look_round(self, tree: ast.Module) -> None:
        """Find out what the names of the file stand for, before any use of them is judged."""
        self.abroad = self.project.classes(tree)
        self.classes = bindings.classes(tree, self.abroad)
        self.types = bindings.types(tree)
        every = bindings.bound(tree)
        self.classes |= {name: kind for name, kind in enums.written(tree, self.full_name) if every[name] == 1}
        self.plain = {name for name, values in bindings.assigned(tree).items() if all(map(is_value, values))}
        for node in tree.body:  # in their order: what comes later is not there yet
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            if value is not None and self.is_plain(value):
                self.constants |= {name for name in bound_by(node) if every[name] == 1}
                if isinstance(value, ast.Dict):
                    self.dictionaries |= {name for name in bound_by(node) if every[name] == 1}
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and every[node.name] == 1:
                self.defined.add(node.name)
            if isinstance(node, ast.FunctionDef) and every[node.name] == 1:
                if decorators.is_wrapper(node):
                    self.wrappers[node.name] = node
                    self.copying |= {id(one) for one in decorators.copies(node)}
                if [self.full_name(one) for one in node.decorator_list] == ["functools.singledispatch"]:
                    self.dispatchers.add(node.name)
        tables = kinds.node_tables(tree)
        self.kinds, self.kind_tables = frozenset(tables), {id(table) for table in tables.values()}
        self.copiers = frozenset(decorators.copying(tree))
        self.loggers = frozenset(bindings.loggers(tree))
        self.grown = frozenset(sizes.grown(tree))
        self.matches_wholly = any(isinstance(one, ast.Attribute) and one.attr == "fullmatch" for one in ast.walk(tree))
        self.templates = templates.Templates(tree, every, self.owner)
        self.makers = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and not any(bindings.parameters(node.args)) and every[node.name] == 1
        }
        self.shared = frozenset(bindings.stored(tree)) | frozenset(bindings.imported(tree))
        passing = frozenset(self.passing(tree))
        self.fixtures = frozenset(self.clear_fixtures(tree))
        attributes: set[str] = set()
        doubles: set[str] = set()
        found = -1
        while found < len(attributes) + len(doubles):  # what one function leaves in an attribute, another finds there
            found = len(attributes) + len(doubles)
            for node in outermost(tree):
                flow = self.flows[id(node)] = flows.Flow(
                    node,
                    is_ours=self.is_ours,
                    is_handed=self.is_handed,
                    resolve=self.full_name,
                    shared=self.shared,
                    makers=frozenset(self.classes),
                    attributes=attributes,
                    doubles=doubles,
                    passing=passing,
                    same=self.same,
                )
                if (fixture := self.fixture(node)) and fixture in self.fixtures and flow.gives_own(node):
                    doubles.add(fixture)
                    if all(self.is_made(value) for value in flows.given(node)):
                        self.subjects.add(fixture)

    def passing(self, tree: ast.Module) -> Iterator[str]:
        """Functions of the file that give back something imported, as a class that everybody shares."""
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for value in flows.given(node):
                    used = {id(part.func) for part in ast.walk(value) if isinstance(part, ast.Call)}
                    if any(is_foreign(self.full_name(one) or "") for one in flows.names(value) if id(one) not in used):
                        yield node.name
                        break
                    if isinstance(value, ast.Name) and value.id in {one.arg for one in bindings.parameters(node.args)}:
                        self.same.add(node.name)

    def clear_fixtures(self, tree: ast.Module) -> Iterator[str]:
        """Fixtures that nothing else in the file has the name of: no other fixture, and no parameter that is given."""
        functions = [one for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
        found = Counter(self.fixture(one) or one.name for one in functions)
        taken = [
            ast.unparse(one.args[0]) if one.args else "*"
            for one in ast.walk(tree)
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "parametrize"
        ]
        if all(one[:1] in "'\"([" for one in taken):
            given = {word for one in taken for word in re.findall(r"\w+", one)}
            yield from (name for name, times in found.items() if times == 1 and name not in given)

    def is_made(self, node: ast.expr) -> bool:
        """Whether a value is made of a class of the project where it stands."""
        full = self.full_name(called(node)) or ""
        return isinstance(node, ast.Call) and full.startswith("bot.") and full.rpartition(".")[2][:1].isupper()

    def fixture(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """The name under which a function of a test file is handed out as a fixture; empty for all others."""
        for one in node.decorator_list if self.is_test else ():
            if self.full_name(called(one)) in {"pytest.fixture", "pytest_asyncio.fixture"}:
                for keyword in one.keywords if isinstance(one, ast.Call) else ():
                    if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                        return str(keyword.value.value)
                return node.name
        return ""

    def is_plain(self, node: ast.expr) -> bool:
        """Whether a value is surely none that can be called: written out, a constant, or a member of an enum."""
        full = self.full_name(called(node)) or ""
        match node:
            case ast.Constant() | ast.Tuple() | ast.List() | ast.Dict() | ast.Set() | ast.JoinedStr() | ast.Compare():
                return True
            case ast.ListComp() | ast.SetComp() | ast.DictComp():
                return True
            case ast.UnaryOp(operand=operand):
                return self.is_plain(operand)
            case ast.BinOp(left=left, right=right):
                return self.is_plain(left) and self.is_plain(right)
            case ast.Call(func=ast.Attribute(value=ast.Constant())):
                return True
            case ast.Call(func=ast.Attribute(value=ast.Call(func=inner))) if self.full_name(inner) == "textwrap.dedent":
                return True
            case ast.Call():
                return full in self.allowed.at_import - PASSES_ON
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                kind = self.classes.get(name) or self.abroad.get(name) or bindings.Class()
                is_member = kind.is_enum and attr in kind.members and "__call__" not in kind.methods
                return is_member or is_foreign(full) or self.project.takes_for_member(full)
            case ast.Name(id=name):
                return name in self.constants or is_foreign(full)
        return False

    def has_stand_ins(self) -> bool:
        """Whether the file makes objects that pass for instances of any class."""
        return any(full.startswith("unittest.mock") for full in (*self.modules.values(), *self.names.values()))

    def is_ours(self, annotation: ast.expr) -> bool:
        """Whether a parameter holds what the project makes, or its records."""
        return any(
            name in self.classes
            or name in self.types
            or full in {"typing.Self", "persais_core.Record"}
            or full.startswith("bot.")
            for name, full in self.named(annotation)
        )

    def is_handed(self, annotation: ast.expr) -> bool:
        """Whether a parameter holds what the bot has handed in."""
        return any(full in HANDED for _, full in self.named(annotation))

    def named(self, annotation: ast.expr) -> Iterator[tuple[str, str]]:
        """The names in an annotation, texts in it included, and their full names."""
        for part in ast.walk(annotation):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    yield from self.named(ast.parse(part.value.strip(), mode="eval").body)
                except (SyntaxError, ValueError, MemoryError, RecursionError):
                    continue
            elif isinstance(part, (ast.Name, ast.Attribute)):
                yield getattr(part, "id", ""), self.full_name(part) or ""

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
        return f"use {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"

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
            self.refuse(node, "dunder", f"{name} may not be written; do without it")
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
        """The class of the project that a name or a dotted name stands for."""
        if isinstance(node, ast.Name):
            return self.classes.get(node.id) or self.abroad.get(node.id)
        if isinstance(node, ast.Attribute):
            return self.classes.get(node.attr) or self.abroad.get(node.attr)
        return None

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
