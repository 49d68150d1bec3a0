"""Reads code that the bot wrote for itself and names all that is not plainly allowed in it.

It runs in a process of its own (started by `imports`), with the standard library only: whoever wrote the file
chose what the parser is fed, so a parser that crashes or stalls must not take the bot along, and counts as a refusal.

Three passes. The bytes first, since what cannot be read as it will be run cannot be judged (encodings, hidden
characters, code at column 400). Then the words, where identifiers are still as they were written. Then the syntax tree,
against the lists of `allowed.toml`: names are allowed one by one, and what a name may be used for depends on what it is
bound to (`bindings` finds out). Modules are never values, nor is what would be dangerous under another name; private
names are those of the very instance; annotations hold types alone (pydantic evaluates them); nothing is set on what the
bot has handed in; and while a file is imported only harmless things are called.

This is a reviewer and no wall: the wall is the sandbox, and the approval of a person.
"""

# Paths are strings here, as pathlib alone would double the time to start.
# ruff: noqa: PTH113, PTH114, PTH118, PTH123

from __future__ import annotations

import ast
import io
import json
import os
import re
import sys
import tokenize
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from persais_core.checks import bindings
from persais_core.checks.bindings import BUILTINS

MAX_LINE = 200  # characters
MAX_NODES = 30_000
MAX_READ = 1 << 20  # bytes of a file that something is imported from
MAX_DEPTH = 80

DUNDER = re.compile(r"__[A-Za-z0-9_]+__")
COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
SILENCERS = re.compile(r"#\s*(noqa|type:\s*ignore|pyrefly:|pyright:|mypy:|ruff:|isort:|fmt:\s*(off|skip)|nosec)", re.I)
FIELD = re.compile(r"\{[^{}:!]*[.\[]")

# Frames, code objects and other doors to everything, and what reaches past a record's own rows.
CLOSED_ATTRIBUTES = {
    *("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_origin", "cr_await", "ag_frame", "ag_code"),
    *("ag_await", "f_globals", "f_locals", "f_builtins", "f_back", "f_code", "f_trace", "tb_frame", "tb_next"),
    *("co_code", "co_consts", "co_names", "mro", "func_globals", "func_code", "format_map", "with_traceback"),
    *("parse_raw", "parse_file", "from_orm", "model_rebuild", "update_forward_refs", "metadata", "registry"),
    *("get_loop", "get_event_loop", "get_coro", "modules", "obj", "dispatch", "fget", "fset", "fdel"),
    # fields as pydantic keeps them hold the annotation, and that can be `type`
    *("model_fields", "model_computed_fields", "model_construct", "annotation", "rebuild_annotation", "return_type"),
    "wrapped_property",
}
# Fixtures that reach into the test run itself.
CLOSED_FIXTURES = {
    *("monkeypatch", "request", "pytester", "testdir", "mocker", "pytestconfig", "config", "cache", "record_property"),
    *("record_testsuite_property", "record_xml_attribute", "tmp_path_factory", "tmpdir_factory", "doctest_namespace"),
    *("event_loop_policy", "unused_tcp_port_factory", "subtests"),
}
OPEN_MARKS = {"parametrize", "asyncio"}
# Arguments that pydantic evaluates when they are texts.
TYPES_IN_ARGUMENTS = {"return_type", "json_schema_input_type", "annotation"}
GENERIC_BUILTINS = {"dict", "frozenset", "list", "set", "tuple", "type"}
# Private names by which SQLAlchemy, abc and enum know their own.
PRIVATE_OF_OTHERS = re.compile(r"_sa_|_abc_|_.*_$")
# Assigned in a class body, and nowhere else.
CLASS_WORDS = {"__slots__", "__hash__"}
# Under another name, or handed to somebody who calls them, these do more than when they are called here.
CALLED_ONLY = {"super", "typing.TypeVar", "typing.NewType", "copy.deepcopy"}
# Classes that make classes when they are called.
NAMED_ONLY = {"typing.NamedTuple", "typing.TypedDict", "typing.Protocol", "typing.Generic", *bindings.ENUMS}
FIELDS = {"dataclasses.field", "pydantic.Field", "sqlmodel.Field"}
# Functions that give back what they are given.
PASSES_ON = {"max", "min", "map", "object", "sum"}
# Decorators that are of use as functions too.
LOOSE_DECORATORS = {"functools.cache", "functools.lru_cache", "pytest.mark.parametrize", "pytest.mark.asyncio"}
# Calls that a class with private attributes may be handed to.
TAKES_CLASSES = {"isinstance", "issubclass", "persais_core.testing.context_for", "pytest.raises"}
BASES = {"pydantic.BaseModel", "sqlmodel.SQLModel", "datetime.tzinfo", "decimal.Decimal", "fractions.Fraction"}
BASE_MODULES = {"abc", "collections", "collections.abc", "enum", "numbers", "persais_core", "typing"}
# Decorators that leave a method what it is: a function of an instance.
KEEPS_INSTANCE = {
    *("property", "classmethod", "abc.abstractmethod", "functools.cache", "functools.lru_cache", "typing.final"),
    *("functools.cached_property", "typing.overload", "typing.override", "pydantic.computed_field"),
}
NEVER_HIDDEN = {"super", "hasattr", "isinstance", "issubclass", "classmethod", "staticmethod", "property", "object"}
HANDED = {"typing.Any", "object", *(f"persais_core.{name}" for name in ("Agent", "Context", "Message", "Tool", "User"))}


class Finding(NamedTuple):
    """One thing that is not allowed: where, by which rule, what it is and what to do instead."""

    line: int
    rule: str
    text: str


class Allowed(NamedTuple):
    """The lists of `allowed.toml`."""

    builtins: frozenset[str]
    methods: frozenset[str]
    decorators: frozenset[str]
    at_import: frozenset[str]
    modules: Mapping[str, frozenset[str]]
    test_modules: Mapping[str, frozenset[str]]

    @classmethod
    def read(cls, path: str) -> Allowed:
        """Read the lists from a file."""
        with open(path, "rb") as file:
            found = tomllib.load(file)
        return cls(
            builtins=frozenset(found["builtins"]),
            methods=frozenset(found["methods"]),
            decorators=frozenset(found["decorators"]),
            at_import=frozenset(found["at_import"]),
            modules={name: frozenset(names) for name, names in found["modules"].items()},
            test_modules={name: frozenset(names) for name, names in found["test_modules"].items()},
        )


class Project:
    """What the files of a project define themselves, so that nothing is imported through them."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._known: dict[str, bindings.Made | None] = {}

    def made(self, module: str) -> bindings.Made | None:
        """What a module of the project makes itself; None when there is no such file."""
        if module not in self._known:
            path = os.path.join(self.root, *module.split(".")) + ".py"
            self._known[module] = None
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    self._known[module] = self._read(file.read(MAX_READ))
        return self._known[module]

    def _read(self, content: bytes) -> bindings.Made:
        try:
            tree = ast.parse(content)
            return bindings.made(tree, self.classes(tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return bindings.Made()

    def classes(self, tree: ast.Module) -> dict[str, bindings.Class]:
        """Classes that a file imports from other files of the project, by the names it may call them."""
        found: dict[str, bindings.Class] = {}
        for local, full in bindings.imported(tree).items():
            if not full.startswith("bot."):
                continue
            module, _, name = full.rpartition(".")
            whole, part = self.made(full), self.made(module)
            found |= whole.classes if whole else {}
            if part and name in part.classes:
                found[local] = part.classes[name]
        return found


@dataclass
class _Scope:
    """One function, lambda or class that we are in.

    `names` are all names it binds, `sure` those of them that mean the same everywhere in it, `kinds` those that are
    types, `texts` those of a class that may hold a text. `methods` are those of a class, `first` is the parameter that
    is the instance or class a method is called on. `is_brackets` are the type parameters behind a name.
    """

    is_function: bool
    names: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    first: str = ""
    is_dataclass: bool = False
    is_record: bool = False
    is_brackets: bool = False


def review(path: str, content: bytes, project: Project, allowed: Allowed) -> list[Finding]:
    """Review one file.

    Args:
        path: relative to the project; files under `tests/` may use a little more.
        content: as it stands on disk.
        project: the project the file is part of.
        allowed: the lists.

    Returns:
        Findings by line, none when all is allowed.
    """
    found = list(_bytes(content))
    if found:
        return found  # what is shown is not what is run, so nothing after this can be believed
    text = content.decode("utf-8")
    found = list(_words(text))
    if found:
        return found
    try:
        tree = ast.parse(text)
        _measure(tree)
    except SyntaxError as error:
        return [Finding(error.lineno or 1, "syntax", f"{error.msg}; write valid Python {_version()}")]
    except (ValueError, RecursionError, MemoryError):
        return [Finding(1, "size", "nested too deeply or too long to be read; split it")]
    reader = _Reader(path, project, allowed)
    try:
        reader.read(tree)
    except RecursionError:
        return [Finding(1, "size", "nested too deeply to be read; split it")]
    return sorted(set(reader.findings))


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _bytes(content: bytes) -> Iterator[Finding]:
    """What can be said of a file before it is read as text."""
    if content.startswith(b"\xef\xbb\xbf"):
        yield Finding(1, "encoding", "starts with a byte order mark; save it as plain UTF-8")
    for number, start in enumerate(content.split(b"\n", 2)[:2], 1):
        if COOKIE.match(start):
            yield Finding(number, "encoding", "declares an encoding; files are UTF-8 without saying so")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        yield Finding(line_number, "encoding", "is not UTF-8; save it as UTF-8")
        return
    # Split at \n alone: what other programs take for a line end is one of the things looked for.
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            yield Finding(number, "line-length", f"has {len(line)} characters; at most {MAX_LINE} are shown on a card")
        for index, character in enumerate(line):
            if character >= " " and character < "\x7f":
                continue
            if _is_hidden(line, index, character):
                yield Finding(
                    number, "hidden-character", f"holds U+{ord(character):04X}, which is not shown; remove it"
                )
                break


def _is_hidden(line: str, index: int, character: str) -> bool:
    """Whether a character is invisible or changes how others are shown."""
    if character == "\t":
        return False
    category = unicodedata.category(character)
    if character == "\u200d":  # joins emoji: 👩‍💻
        around = (line[index - 1 : index] or "a") + (line[index + 1 : index + 2] or "a")
        return not all(unicodedata.category(neighbour) in {"So", "Sk", "Mn"} for neighbour in around)
    return category in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} or (category == "Zs" and character not in " \u00a0\u202f")


def _words(text: str) -> Iterator[Finding]:
    """Identifiers as they are written (the parser would normalise them), and comments that silence a check."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                yield Finding(token.start[0], "name", f"{token.string!r} is not ASCII; name things in a-z, 0-9 and _")
            elif token.type == tokenize.ERRORTOKEN and not token.string.isascii():
                yield Finding(token.start[0], "name", f"{token.string!r} is no part of Python; remove it")
            elif token.type == tokenize.COMMENT and SILENCERS.match(token.string):
                yield Finding(token.start[0], "silenced", f"{token.string[:40]!r} silences a check; mend the cause")
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return  # the parser says it better


def _measure(tree: ast.AST) -> None:
    """Raise ValueError for a tree that is too large or too deep."""
    level, count, depth = [tree], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


class _Reader:
    """Walks one syntax tree and collects findings.

    `modules` maps a local name to the module it is bound to, `names` maps it to `module.name`; everything else that is
    bound in the file is plain. Both are filled before the walk, so a use above its import is judged too.
    """

    def __init__(self, path: str, project: Project, allowed: Allowed) -> None:
        self.findings: list[Finding] = []
        self.path, self.project, self.allowed = path, project, allowed
        self.is_test = path.startswith("tests/")
        self.known = {**allowed.modules, **(allowed.test_modules if self.is_test else {})}
        self.modules: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.own: set[str] = set()
        self.classes: dict[str, bindings.Class] = {}
        self.abroad: dict[str, bindings.Class] = {}  # classes of other files of the project
        self.constants: set[str] = set()  # names at the top of the file that hold nothing that can be called
        self.types: frozenset[str] = frozenset()
        self.shared: frozenset[str] = frozenset()
        self.makers: set[str] = set()  # functions that cannot be called with an argument
        self.scopes: list[_Scope] = []
        self.flows: dict[int, bindings.Flow] = {}
        self.flow: bindings.Flow | None = None
        self.is_evaluated = True  # whether the annotation that is read may be evaluated by somebody
        self.functions = 0  # how many function bodies we are in: at 0, code runs while the file is imported

    def refuse(self, node: ast.AST, rule: str, text: str) -> None:
        """Note a finding at a node."""
        self.findings.append(Finding(getattr(node, "lineno", 1), rule, text))

    def read(self, tree: ast.Module) -> None:
        """Judge a whole file."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                self.own.add(node.attr)
            elif isinstance(node, ast.ClassDef):
                self.own |= {name for item in node.body for name in _bound(item)}
        for node in tree.body:
            if isinstance(node, ast.Import):
                self.import_modules(node)
            elif isinstance(node, ast.ImportFrom):
                self.import_names(node)
        self.look_round(tree)
        for index, node in enumerate(tree.body):
            self.top(node, is_first=index == 0)

    def look_round(self, tree: ast.Module) -> None:
        """Find out what the names of the file stand for, before any use of them is judged."""
        self.abroad = self.project.classes(tree)
        self.classes = bindings.classes(tree, self.abroad)
        self.types = bindings.types(tree)
        every = Counter(bindings.stored(tree))
        for node in tree.body:  # in their order: what comes later is not there yet
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            if value is not None and self.is_plain(value):
                self.constants |= {name for name in _bound(node) if every[name] == 1}
        self.makers = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and not any(bindings.parameters(node.args)) and every[node.name] == 1
        }
        self.shared = frozenset(bindings.stored(tree)) | frozenset(bindings.imported(tree))
        attributes: set[str] = set()
        found = -1
        while found < len(attributes):  # what one function leaves in an attribute, another finds there
            found = len(attributes)
            for node in _outermost(tree):
                self.flows[id(node)] = bindings.Flow(
                    node,
                    is_ours=self.is_ours,
                    is_handed=self.is_handed,
                    resolve=self.full_name,
                    shared=self.shared,
                    makers=frozenset(self.classes),
                    attributes=attributes,
                )

    def is_plain(self, node: ast.expr) -> bool:
        """Whether a value is surely none that can be called: written out, a constant, or a member of an enum."""
        full = self.full_name(_called(node)) or ""
        match node:
            case ast.Constant() | ast.Tuple() | ast.List() | ast.Dict() | ast.Set() | ast.JoinedStr() | ast.Compare():
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
                return (kind.is_enum and attr in kind.members and "__call__" not in kind.methods) or _is_foreign(full)
            case ast.Name(id=name):
                return name in self.constants or _is_foreign(full)
        return False

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

    # --- imports ---

    def import_modules(self, node: ast.Import) -> None:
        """`import x`, `import x as y`."""
        for alias in node.names:
            name = alias.name
            if "." in name:
                self.refuse(node, "import", f"import {name} binds a package; use `from … import …`")
            elif name not in self.known:
                self.refuse(node, "import", f"{name} may not be imported; {self.instead(name)}")
            self.bind(node, alias.asname or name.partition(".")[0])
            self.modules[alias.asname or name.partition(".")[0]] = name

    def import_names(self, node: ast.ImportFrom) -> None:
        """`from x import y`."""
        module = node.module or ""
        if node.level:
            self.refuse(node, "import", "relative imports hide where a name comes from; use `from bot.… import …`")
            return
        for alias in node.names:
            local = alias.asname or alias.name
            if alias.name == "*":
                self.refuse(node, "import", f"`from {module} import *` hides what is imported; name it")
                continue
            self.bind(node, local)
            if module == "bot" or module.startswith("bot."):
                self.import_own(node, module, alias.name, local)
            elif f"{module}.{alias.name}" in self.known and alias.name not in self.known.get(module, ()):
                self.modules[local] = f"{module}.{alias.name}"
            elif module not in self.known:
                self.refuse(node, "import", f"{module} may not be imported; {self.instead(module)}")
            elif alias.name not in self.known[module]:
                self.refuse(node, "import", f"{module}.{alias.name} may not be used; {self.offer(module)}")
            self.names.setdefault(local, f"{module}.{alias.name}")

    def import_own(self, node: ast.ImportFrom, module: str, name: str, local: str) -> None:
        """`from bot.agents.echo import Echo`, `from bot.tools import notes`."""
        parts = module.split(".")
        if len(parts) < 2 or parts[1] not in {"agents", "tools", "schemas"} or len(parts) > 3:
            self.refuse(node, "import", f"{module} may not be imported; only bot.agents, bot.tools and bot.schemas may")
        elif len(parts) == 2:
            if self.project.made(f"{module}.{name}") is None:
                self.refuse(node, "import", f"there is no {module}.{name}; import what is in the project")
            self.modules[local] = f"{module}.{name}"
        else:
            self.own_name(node, module, name)

    def own_name(self, node: ast.AST, module: str, name: str) -> None:
        """A name of a module of this project: it must be made there, not passed on."""
        made = self.project.made(module)
        if made is None:
            self.refuse(node, "import", f"there is no {module}; import what is in the project")
        elif name not in made.names or name.startswith("_"):
            self.refuse(node, "import", f"{module} does not make {name} itself; import it from where it is made")

    def bind(self, node: ast.AST, name: str) -> None:
        """An import may not take a name that means something else."""
        if name in BUILTINS or name.startswith("__"):
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; import it under another name")
        if name in self.modules or name in self.names:
            self.refuse(node, "shadow", f"{name} is imported twice; import it once")

    def instead(self, module: str) -> str:
        """What to use instead of a module."""
        if module.partition(".")[0] in {"requests", "httpx", "urllib", "aiohttp", "socket", "http"}:
            return "generated code has no network"
        if module.partition(".")[0] in {"os", "sys", "pathlib", "subprocess", "shutil", "io", "tempfile", "sqlite3"}:
            return "keep data in a schema with context.records(…)"
        if module == "pytest" or module.startswith("persais_core."):
            return "use the public names of persais_core" + (" and persais_core.testing" if self.is_test else "")
        return "use the modules of checks/allowed.toml"

    def offer(self, module: str) -> str:
        """The names of a module that may be used."""
        names = sorted(self.known[module])
        return f"use {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"

    # --- statements ---

    def top(self, node: ast.stmt, *, is_first: bool) -> None:
        """A statement at the top of the file."""
        match node:
            case ast.Import() | ast.ImportFrom():
                return
            case ast.Expr(value=ast.Constant(value=str())):
                if not is_first:
                    self.refuse(node, "statement", "a string that stands alone does nothing; write a comment")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.shadow(node, node.name)
                self.statement(node)
            case ast.Assign() | ast.AnnAssign():
                for name in _bound(node):
                    self.shadow(node, name)
                    if name.startswith("__") and name != "__all__":
                        self.refuse(node, "dunder", f"{name} may not be set; remove it")
                    if name.startswith("pytest"):
                        self.refuse(node, "test", f"{name} steers the test run; remove it")
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        if not isinstance(target, (ast.Name, ast.Tuple)):
                            self.refuse(node, "statement", "only names may be set at the top of a file")
                self.statement(node)
            case _ if type(node).__name__ == "TypeAlias":
                self.statement(node)
            case _:
                self.refuse(node, "statement", "runs while the file is imported; put it into a function")

    def shadow(self, node: ast.AST, name: str) -> None:
        """A name of the file may not hide one that everybody knows."""
        if name in BUILTINS:
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")
        if name in self.modules or name in self.names:
            self.refuse(node, "shadow", f"{name} is imported; choose another name")

    def block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other."""
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        match node:
            case ast.Import() | ast.ImportFrom():
                self.refuse(node, "import", "imports stand at the top of a file; move it there")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(node)
            case ast.ClassDef():
                self.klass(node)
            case ast.Global():
                self.refuse(node, "global", "global state is shared by all users; keep it in context.records(…)")
            case ast.AnnAssign():
                self.declaration(node)
            case ast.Try() | ast.With() | ast.AsyncWith() | ast.If() | ast.For() | ast.AsyncFor() | ast.While():
                self.pieces(node)
            case ast.Match():
                self.pieces(node)
            case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Raise() | ast.Assert() | ast.Expr() | ast.Delete():
                self.pieces(node)
            case ast.Pass() | ast.Break() | ast.Continue() | ast.Nonlocal():
                return
            case _ if type(node).__name__ == "TypeAlias":
                self.type_alias(node)
            case _ if type(node).__name__ == "TryStar":
                self.pieces(node)
            case _:
                self.refuse(node, "statement", f"{type(node).__name__} may not be used; write it in simpler words")

    def type_alias(self, node: Any) -> None:
        """`type X = …`, since Python 3.12: pydantic evaluates it as it does annotations."""
        self.expression(node.name)
        self.scopes.append(self.type_parameters(node))
        self.annotation(node.value)
        self.scopes.pop()

    def declaration(self, node: ast.AnnAssign) -> None:
        """`x: int = 1`: a variable, or a field of a class."""
        scope = self.scopes[-1] if self.scopes else None
        # What is said of a variable in a function is evaluated by nobody.
        self.is_evaluated = not (scope and scope.is_function)
        self.annotation(node.annotation)
        self.is_evaluated = True
        self.expression(node.target)
        if scope and not scope.is_function:
            if any(isinstance(part, ast.Name) and part.id == "type" for part in ast.walk(node.annotation)):
                self.refuse(node, "class", "a field that holds a class keeps `type` in reach; name the class")
            if isinstance(node.value, ast.Call) and self.full_name(node.value.func) in FIELDS:
                self.field(node.value, is_dataclass=scope.is_dataclass)
                if scope.is_record:
                    for value in (*node.value.args, *(k.value for k in node.value.keywords if k.arg == "default")):
                        self.default(value)
                return
            if scope.is_record and node.value:
                self.default(node.value)
        if node.value:
            self.expression(node.value)

    def default(self, node: ast.expr) -> None:
        """What a column holds when nothing is said. SQLAlchemy calls what can be called, with an open connection."""
        if not self.is_plain(node):
            self.refuse(node, "schema", f"{ast.unparse(node)[:40]} is no plain default; write the value out")

    def pieces(self, node: ast.AST) -> None:
        """All that a node is made of."""
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.stmt():
                    self.statement(child)
                case ast.expr():
                    self.expression(child)
                case ast.ExceptHandler():
                    self.handler(child)
                case ast.MatchClass():
                    self.pattern(child)
                case ast.MatchAs() | ast.MatchStar() | ast.MatchMapping():
                    self.variable(child, getattr(child, "name", None) or getattr(child, "rest", None))
                    self.pieces(child)
                case _:
                    self.pieces(child)

    def handler(self, node: ast.ExceptHandler) -> None:
        """`except X as error:`."""
        if node.type is None:
            self.refuse(node, "except", "a bare except also swallows the end of a turn; name the errors")
        else:
            self.mention(node.type)
        self.variable(node, node.name)
        self.block(node.body)

    def pattern(self, node: ast.MatchClass) -> None:
        """`case X(a, b=c):`. Which attributes a and b are is said by the class, so it must be known."""
        for name in node.kwd_attrs:
            self.attribute_name(node, name, of_self=False)
            if name in {"format", "__init__", "__post_init__"}:
                self.refuse(node, "match", f"{name} may not be taken out of a value; name what you need")
        if node.patterns and not self.is_plain_class(node.cls):
            self.refuse(node, "match", "give the names of the attributes: `case X(name=found)`")
        self.mention(node.cls)
        for inner in (*node.patterns, *node.kwd_patterns):
            self.pieces(ast.copy_location(ast.match_case(inner, None, []), inner))

    def is_plain_class(self, node: ast.expr) -> bool:
        """Whether a name in a pattern is a builtin or a class of the file, and nothing else."""
        if not isinstance(node, ast.Name) or any(node.id in scope.names for scope in self.scopes):
            return False
        if node.id in self.classes:
            return node.id in self.types and not self.classes[node.id].is_guarded
        return node.id in BUILTINS

    def variable(self, node: ast.AST, name: str | None) -> None:
        """A name that is bound by other means than an assignment."""
        if name:
            self.name(ast.copy_location(ast.Name(name, ast.Store()), node))

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function: decorators, defaults and annotations run at import, the body later."""
        self.special(node, node.name, in_class=True)
        for decorator in node.decorator_list:
            self.decorator(decorator)
        owner = self.scopes[-1] if self.scopes and not self.scopes[-1].is_function else None
        inside = self.type_parameters(node)
        self.scopes.append(inside)
        self.arguments(node.args, is_annotated=True)
        if node.returns:
            self.annotation(node.returns)
        self.scopes.pop()
        bound = {argument.arg for argument in bindings.parameters(node.args)}
        inside.names |= bound | set(bindings.stored(*node.body))
        inside.sure |= bound | set(bindings.stored(*node.body, in_loops=False))
        inside.kinds = _kinds(inside, node.body, bound)
        inside.is_brackets = False
        inside.first = self.first(node) if owner else ""
        outside, self.flow = self.flow, self.flow or self.flows.get(id(node))
        self.scopes.append(inside)
        self.functions += 1
        self.block(node.body)
        self.functions -= 1
        self.scopes.pop()
        self.flow = outside

    def first(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """The parameter that a method is called on, when only instances and classes of its class can be that."""
        decorators = {self.full_name(item.func if isinstance(item, ast.Call) else item) for item in node.decorator_list}
        arguments = [*node.args.posonlyargs, *node.args.args]
        if "staticmethod" in decorators or not arguments:
            return ""
        name = arguments[0].arg
        if name in bindings.stored(*node.body):
            return ""  # it is given another meaning
        if "classmethod" in decorators and name != "cls":
            self.refuse(node, "class", "the first parameter of a classmethod is called cls")
        if name == "cls":
            return name
        after = any(
            isinstance(item, ast.Call)
            and self.full_name(item.func) == "pydantic.model_validator"
            and [ast.unparse(keyword) for keyword in item.keywords] == ["mode='after'"]
            for item in node.decorator_list
        )
        others = decorators - KEEPS_INSTANCE - ({"pydantic.model_validator"} if after else set())
        is_setter = all(
            isinstance(item, ast.Attribute) and item.attr in {"setter", "deleter"}
            for item in node.decorator_list
            if self.full_name(item.func if isinstance(item, ast.Call) else item) is None
        )
        return name if name == "self" and others <= {None} and is_setter else ""

    def type_parameters(self, node: ast.AST) -> _Scope:
        """What stands in brackets behind a name since Python 3.12."""
        found = frozenset(str(parameter.name) for parameter in getattr(node, "type_params", ()))
        for parameter in getattr(node, "type_params", ()):
            if getattr(parameter, "bound", None) is not None:
                self.annotation(parameter.bound)
            if getattr(parameter, "default_value", None) is not None:
                self.annotation(parameter.default_value)
        return _Scope(is_function=True, names=found, sure=found, kinds=found, is_brackets=True)

    def arguments(self, found: ast.arguments, *, is_annotated: bool) -> None:
        """Parameters and their defaults."""
        everything = [*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg]
        for argument in everything:
            if argument is None:
                continue
            self.variable(argument, argument.arg)
            if self.is_test and argument.arg in CLOSED_FIXTURES:
                self.refuse(argument, "test", f"{argument.arg} reaches into the test run; test with plain values")
            if is_annotated and argument.annotation:
                self.annotation(argument.annotation)
        for default in (*found.defaults, *found.kw_defaults):
            if default is not None:
                self.expression(default)

    def special(self, node: ast.AST, name: str, *, in_class: bool) -> None:
        """The name of a function or class."""
        if name.startswith("__") and not (in_class and name in self.allowed.methods):
            self.refuse(node, "dunder", f"{name} may not be written; do without it")
        if name.startswith("pytest_"):
            self.refuse(node, "test", f"{name} steers the test run; remove it")
        if name in NEVER_HIDDEN or name == "type":
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")

    def klass(self, node: ast.ClassDef) -> None:
        """A class: its bases, settings and body run at import."""
        self.special(node, node.name, in_class=False)
        for decorator in node.decorator_list:
            self.decorator(decorator)
        around = self.type_parameters(node)
        self.scopes.append(around)
        for base in node.bases:
            self.base(base)
        for setting in node.keywords:
            if setting.arg == "metaclass" or setting.arg is None or not isinstance(setting.value, ast.Constant):
                self.refuse(
                    node, "class", f"{setting.arg or '**'}: only plain values such as table=True may stand here"
                )
        kind = self.classes[node.name]
        if kind.is_record and len(node.bases) > 1:
            self.refuse(node, "schema", "a record has one base; what two share is written twice")
        if kind.is_enum and not any(self.is_member(item) for item in node.body):
            self.refuse(node, "class", "an enum has members, as one without makes classes; write them here")
        self.scopes.append(
            _Scope(
                is_function=False,
                names=frozenset(bindings.stored(*node.body)),
                texts=frozenset(
                    name for item in node.body if self.may_hold_text(item) for name in bindings.stored(item)
                ),
                methods=frozenset(
                    item.name
                    for item in node.body
                    if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and bindings.takes_instance(item)
                ),
                is_record=kind.is_record or any(keyword.arg == "table" for keyword in node.keywords),
                is_dataclass=any(
                    self.full_name(item.func if isinstance(item, ast.Call) else item) == "dataclasses.dataclass"
                    for item in node.decorator_list
                ),
            )
        )
        self.class_body(node)
        del self.scopes[-2:]

    def base(self, node: ast.expr) -> None:
        """One base of a class. What it inherits it may use, so the base must be one that is meant for that."""
        if any(isinstance(part, (ast.Call, ast.Lambda, ast.Starred, ast.NamedExpr)) for part in ast.walk(node)):
            self.refuse(node, "class", "a base class is named, not computed")
        target = node.value if isinstance(node, ast.Subscript) else node
        full = self.full_name(target)
        is_known = full in BASES or (full or "").rpartition(".")[0] in BASE_MODULES or (full or "").startswith("bot.")
        is_own = isinstance(target, ast.Name) and target.id in self.classes
        if full == "type" or not (is_known or is_own or (full in BUILTINS and full in self.allowed.builtins)):
            self.refuse(
                node, "class", f"{ast.unparse(node)[:40]} is no base for a class here; hold one in an attribute"
            )
        if isinstance(node, ast.Subscript):
            self.annotation(node)
        else:
            self.mention(node)

    def class_body(self, node: ast.ClassDef) -> None:
        """What stands in a class."""
        for index, item in enumerate(node.body):
            match item:
                case ast.Expr(value=ast.Constant(value=value)):
                    if not (value is ... or isinstance(value, str)) or (index and value is ...):
                        self.refuse(item, "class", "an expression that stands alone does nothing; remove it")
                    self.text(item, value)
                case ast.Assign() | ast.AnnAssign():
                    for name in _bound(item):
                        if name == "__tablename__":
                            self.table(item)
                        elif name in CLASS_WORDS and not _is_literal(item.value):
                            self.refuse(item, "dunder", f"{name} is written out, not computed")
                        elif name in CLOSED_ATTRIBUTES or (
                            name.startswith("_") and name.endswith("_") and name[1:2] != "_"
                        ):
                            self.refuse(item, "attribute", f"{name} means something to others; choose another name")
                        elif name.startswith("__") and name.endswith("__") and name not in CLASS_WORDS:
                            self.refuse(item, "dunder", f"{name} may not be set; do without it")
                    self.statement(item)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
                    self.statement(item)
                case _:
                    self.refuse(item, "class", "runs while the file is imported; put it into a method")

    def may_hold_text(self, node: ast.stmt) -> bool:
        """Whether something in a class body binds names to what may be a text."""
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            return False
        if isinstance(node.value, ast.Constant):
            return isinstance(node.value.value, (str, bytes))
        return not (isinstance(node.value, ast.Call) and self.full_name(node.value.func) in FIELDS)

    def is_member(self, node: ast.stmt) -> bool:
        """Whether something in the body of an enum is a member for sure."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=made)):
                return not name.startswith("_") and self.full_name(made) == "enum.auto"
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return not name.startswith("_") and _is_literal(value)
        return False

    def table(self, node: ast.Assign | ast.AnnAssign) -> None:
        """The table of a schema: one of the bot's own."""
        value = node.value
        if not (isinstance(value, ast.Constant) and re.fullmatch(r"agent_[a-z0-9_]{1,50}", str(value.value))):
            self.refuse(node, "schema", "a table is called agent_ and the schema's name")

    def decorator(self, node: ast.expr) -> None:
        """What stands behind @."""
        target = node.func if isinstance(node, ast.Call) else node
        name = self.full_name(target)
        if isinstance(target, ast.Attribute) and target.attr in {"setter", "deleter"}:
            own = self.scopes[-1].methods if self.scopes else ()
            if isinstance(target.value, ast.Name) and target.value.id in own and target is node:
                self.mention(target.value)
                return
        if name is None or name not in self.allowed.decorators:
            self.refuse(
                node, "decorator", f"@{ast.unparse(target)[:60]} may not be used; call the function where needed"
            )
            return
        self.mention(target)
        if isinstance(node, ast.Call):
            self.keywords(node)
            for keyword in node.keywords:
                if keyword.arg is None:
                    self.refuse(node, "decorator", "write the arguments of a decorator out")
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self.expression(argument)

    # --- annotations ---

    def annotation(self, node: ast.expr) -> None:
        """A type: names and subscripts. pydantic and SQLAlchemy evaluate it, strings in it too."""
        match node:
            case ast.Constant(value=str(text)):
                try:
                    inner = ast.parse(text.strip(), mode="eval").body
                except (SyntaxError, ValueError, MemoryError, RecursionError):
                    self.refuse(node, "annotation", f"{text[:40]!r} is no type")
                    return
                for part in ast.walk(inner):
                    ast.copy_location(part, node)
                self.annotation(inner)
            case ast.Subscript(value=value, slice=index):
                self.annotation(value)
                name = self.full_name(value)
                if name == "typing.Literal":
                    self.expression(index)
                elif name == "typing.Annotated" and isinstance(index, ast.Tuple):
                    self.annotation(index.elts[0])
                    for extra in index.elts[1:]:
                        outside, self.functions = self.functions, 0
                        if isinstance(extra, ast.Call) and self.full_name(extra.func) in FIELDS:
                            self.field(extra, is_dataclass=False)
                        else:
                            self.expression(extra)
                        self.functions = outside
                else:
                    self.annotation(index)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                for item in items:
                    self.annotation(item)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.annotation(left)
                self.annotation(right)
            case ast.Name() | ast.Attribute():
                self.mention(node)
                if not self.is_type_name(node):
                    self.refuse(node, "annotation", f"{ast.unparse(node)[:40]} may hold a text; name the type itself")
            case ast.Constant(value=None) | ast.Constant(value=int()):
                return
            case ast.Constant() if node.value is ...:
                return
            case _:
                self.refuse(node, "annotation", f"{ast.unparse(node)[:40]!r} is no plain type; name the type")

    def is_type_name(self, node: ast.Name | ast.Attribute) -> bool:
        """Whether a name in an annotation is a type and can be no text, which would be evaluated."""
        if isinstance(node, ast.Attribute):
            full = self.full_name(node) or ""
            module, _, name = full.rpartition(".")
            if module.startswith("bot."):
                made = self.project.made(module)
                return made is not None and name in made.types
            return bool(full)
        for scope in reversed(self.scopes if self.is_evaluated else ()):
            if scope.is_function and node.id in scope.names:
                return node.id in scope.kinds
            if not scope.is_function and node.id in scope.texts:
                return False
        if node.id in self.names:
            module, _, name = self.names[node.id].rpartition(".")
            made = self.project.made(module) if module.startswith("bot.") else None
            return made is None or name in made.types
        # What is bound nowhere is no type either, but says so itself as soon as it is used.
        return node.id in self.types or node.id not in self.shared

    # --- expressions ---

    def expression(self, node: ast.expr) -> None:
        """One expression and all that is in it."""
        match node:
            case ast.Name():
                self.mention(node)
                self.value(node)
            case ast.Subscript(ctx=ast.Load()) if self.is_type(node.value):
                if self.full_name(node.value) == "type":
                    self.refuse(node, "class", "type[…] makes classes when it is called; name the class")
                self.annotation(node)
            case ast.Attribute(value=ast.Call() as made, attr="__name__", ctx=ast.Load()) if self.is_class_of(made):
                self.call(made)
            case ast.Attribute():
                self.mention(node)
                self.value(node)
            case ast.Compare(ops=ops) if all(isinstance(op, (ast.Is, ast.IsNot)) for op in ops):
                for side in (node.left, *node.comparators):
                    self.kind(side)
            case ast.Call():
                if self.is_class_of(node):
                    self.refuse(
                        node, "class", "the class of a value may be named (type(x).__name__) or compared with is"
                    )
                self.call(node)
            case ast.Constant():
                self.text(node, node.value)
            case ast.Lambda():
                self.arguments(node.args, is_annotated=False)
                bound = frozenset(argument.arg for argument in bindings.parameters(node.args))
                bound |= frozenset(bindings.stored(node.body))
                self.scopes.append(_Scope(is_function=True, names=bound, sure=bound))
                self.functions += 1
                self.expression(node.body)
                self.functions -= 1
                self.scopes.pop()
            case ast.BinOp(op=ast.Pow() | ast.LShift(), right=ast.Constant(value=int(power))) if power > 10_000:
                self.refuse(node, "size", "this number is too large to compute")
            case _:
                self.pieces(node)

    def mention(self, node: ast.expr) -> None:
        """A name, or a dotted name, that is not passed on: it is called, or a type is named by it."""
        match node:
            case ast.Name():
                self.name(node)
                if node.id in self.modules and isinstance(node.ctx, ast.Load):
                    self.refuse(node, "module", f"{node.id} is a module and no value; name what you need of it")
                elif self.names.get(node.id) == "pytest.mark":
                    self.refuse(node, "test", "mark is no value; write the mark out")
            case ast.Attribute():
                self.attribute(node)
            case ast.Tuple(elts=items):
                for item in items:
                    self.mention(item)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.mention(left)
                self.mention(right)
            case _:
                self.expression(node)

    def kind(self, node: ast.expr) -> None:
        """One side of `is`, which keeps nothing of it: a class may stand there."""
        if isinstance(node, ast.Call):
            self.call(node)
        else:
            self.mention(node)

    def value(self, node: ast.Name | ast.Attribute) -> None:
        """A name that is passed on: whoever gets it may call it, under whatever name."""
        if not isinstance(node.ctx, ast.Load):
            return
        full = self.full_name(node) or ""
        shown = ast.unparse(node)[:40]
        if full == "type":
            self.refuse(node, "class", "type may only be asked for the class of one value: type(x)")
        elif full in CALLED_ONLY or full in FIELDS or full == "sqlalchemy.Column":
            self.refuse(node, "class", f"{shown} is no value; call it where it is needed")
        elif full in NAMED_ONLY:
            self.refuse(node, "class", f"{shown} is a base class and no value; write `class X({shown}):`")
        elif full in self.allowed.decorators - LOOSE_DECORATORS:
            self.refuse(node, "decorator", f"{shown} is no value; write it behind @")
        elif (found := self.class_of(node)) and found.is_guarded:
            self.refuse(node, "private", f"{shown} has private attributes: make one, do not pass the class on")
        elif isinstance(node, ast.Name) and node.id == "cls" and self.is_first("cls"):
            self.refuse(node, "private", "cls may be called and asked for what is public; do not pass it on")
        elif isinstance(node, ast.Name) and node.id in self.methods_here():
            self.refuse(node, "private", f"{shown} is a method; call it on an instance")

    def methods_here(self) -> frozenset[str]:
        """Methods of the class in whose body we are, not counting the functions in it."""
        here = next((scope for scope in reversed(self.scopes) if not scope.is_brackets), None)
        return here.methods if here else frozenset()

    def is_class_of(self, node: ast.Call) -> bool:
        """Whether a call is `type(x)`, whose result is `type` again when x is a class."""
        return self.full_name(node.func) == "type"

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
        if isinstance(value, str) and (found := DUNDER.search(value)):
            self.refuse(node, "dunder", f"{found[0]} stands in a string; say it in other words")

    def name(self, node: ast.Name) -> None:
        """A bare name."""
        name = node.id
        if not name.isascii():  # inside an f-string, where older tokenizers see no names
            self.refuse(node, "name", f"{name!a} is not ASCII; name things in a-z, 0-9 and _")
        elif name in BUILTINS and name not in self.allowed.builtins:
            self.refuse(node, "builtin", f"{name} may not be used, nor hidden; choose another name or way")
        elif name.startswith("__") and name not in {"__tablename__", "__slots__", "__all__", "__hash__"}:
            self.refuse(node, "dunder", f"{name} may not be used; do without it")
        elif isinstance(node.ctx, (ast.Store, ast.Del)) and name in self.modules:
            self.refuse(node, "shadow", f"{name} is an imported module; choose another name")
        elif isinstance(node.ctx, (ast.Store, ast.Del)) and name in NEVER_HIDDEN:
            self.refuse(node, "shadow", f"{name} already has a meaning in Python; choose another name")

    def attribute(self, node: ast.Attribute) -> None:
        """`x.y`."""
        base = node.value
        if isinstance(base, ast.Name) and base.id in self.modules:
            self.name(base)
            module = self.modules[base.id]
            if not isinstance(node.ctx, ast.Load):
                self.refuse(node, "module", f"{base.id}.{node.attr} belongs to everybody; do not set it")
            elif module.startswith("bot."):
                self.own_name(node, module, node.attr)
            elif module == "pytest" and node.attr == "mark":
                self.refuse(node, "test", "pytest.mark is no value; write the mark out")
            elif module in self.known and node.attr not in self.known[module]:
                self.refuse(node, "import", f"{module}.{node.attr} may not be used; {self.offer(module)}")
            return
        full = self.full_name(node) or ""
        if full.startswith("pytest.mark."):
            if full.removeprefix("pytest.mark.") not in OPEN_MARKS:
                self.refuse(node, "test", f"{full} may not be used; every test runs and must pass")
            return
        is_inner = node.attr in {"__init__", "__post_init__"}
        if is_inner and not (isinstance(base, ast.Call) and self.full_name(base.func) == "super"):
            self.refuse(node, "dunder", f"{node.attr} is only called on super()")
        self.attribute_name(node, node.attr, of_self=isinstance(base, ast.Name) and self.is_first(base.id))
        owner = self.class_of(base) if isinstance(node.ctx, ast.Load) else None
        if isinstance(base, ast.Name) and base.id == "cls" and self.is_first("cls"):
            owner = bindings.Class(frozenset(name for one in self.classes.values() for name in one.methods))
        if owner and node.attr in owner.methods:
            self.refuse(node, "private", f"{node.attr} is a method; call it on an instance, not through the class")
        if node.attr == "format":
            if not isinstance(base, ast.Constant):
                self.refuse(node, "format", "a computed template can reach anything; use an f-string")
            elif FIELD.search(str(base.value)):
                self.refuse(node, "format", "a template that looks into a value; use an f-string")
        if not isinstance(node.ctx, ast.Load) and isinstance(base, ast.Name) and base.id in self.names:
            self.refuse(node, "module", f"{base.id} belongs to everybody; do not set {node.attr} on it")
        elif not isinstance(node.ctx, ast.Load) and not self.may_be_set(base):
            self.refuse(node, "store", f"{node.attr} may only be set on self, on a record and on what is made here")
        if self.class_of(base) or (isinstance(base, ast.Name) and base.id == "cls"):
            self.mention(base)
        else:
            self.expression(base)

    def may_be_set(self, base: ast.expr) -> bool:
        """Whether attributes may be set on a value: it is ours, not something that the bot has handed in."""
        root = base
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        if self.flow is None or not isinstance(root, ast.Name):
            return False
        if root.id in {"self", "cls"}:
            return root.id == "self" and self.is_first("self") and not self.flow.is_foreign(base)
        return root.id in self.flow.local and not self.flow.is_foreign(base)

    def attribute_name(self, node: ast.AST, name: str, *, of_self: bool) -> None:
        """The y of `x.y`, wherever it stands."""
        if not name.isascii():
            self.refuse(node, "name", f"{name!a} is not ASCII; name things in a-z, 0-9 and _")
        elif name.startswith("__"):
            if name not in {"__name__", "__init__", "__post_init__"}:
                self.refuse(node, "dunder", f"{name} may not be used; do without it")
        elif name.startswith("_") and not (of_self and name in self.own and not PRIVATE_OF_OTHERS.match(name)):
            self.refuse(node, "private", f"{name} is private to somebody else; use what is public")
        elif name in CLOSED_ATTRIBUTES:
            self.refuse(node, "attribute", f".{name} may not be used; do without it")

    def call(self, node: ast.Call) -> None:
        """`f(x)`."""
        name = self.full_name(node.func)
        if self.functions == 0 and not self.is_harmless(node.func, name):
            self.refuse(
                node, "import-time", f"{ast.unparse(node.func)[:60]}(…) runs while the file is imported; move it"
            )
        if name in {"type", "copy.deepcopy"} and (
            len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred)
        ):
            self.refuse(node, "class", f"{name}(…) takes one value here; write a class if you want one")
        if name == "super" and (node.args or node.keywords):
            self.refuse(node, "class", "super takes no arguments here")
        if name in NAMED_ONLY:
            self.refuse(node, "class", f"{name} is a base class; write `class X({name.rpartition('.')[2]}):`")
        if name in FIELDS or name == "sqlalchemy.Column":
            self.refuse(node, "class", f"{name} stands in a class, behind the type of a field")
        elif name in self.allowed.decorators - LOOSE_DECORATORS:
            self.refuse(node, "decorator", f"{name} is no function here; write it behind @")
        self.keywords(node)
        self.mention(node.func)
        if name in bindings.TYPE_MAKERS:
            self.type_maker(node)
            return
        takes_classes = name in TAKES_CLASSES and not any(
            isinstance(node.func, ast.Name) and node.func.id in scope.names for scope in self.scopes
        )
        for index, argument in enumerate(node.args):
            if takes_classes and (index == 1 or name not in {"isinstance", "issubclass"}):
                self.mention(argument)
            else:
                self.expression(argument)
        for keyword in node.keywords:
            self.expression(keyword.value)

    def type_maker(self, node: ast.Call) -> None:
        """`TypeVar("T", bound=X)`: what is no setting is a type, and a text there would be evaluated."""
        for keyword in node.keywords:
            if not (isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)):
                self.typed(keyword.value)
        for index, argument in enumerate(node.args):
            if index:
                self.typed(argument)
            else:
                self.expression(argument)

    def typed(self, node: ast.expr) -> None:
        """A type that is an argument: it is written out, without quotes."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.refuse(node, "annotation", "name the type, without quotes")
        else:
            self.annotation(node)

    def field(self, node: ast.Call, *, is_dataclass: bool) -> None:
        """`Field(…)` behind the type of a field. SQLAlchemy calls some of its arguments with an open connection."""
        name = self.full_name(node.func)
        if name == "dataclasses.field" and not is_dataclass:
            self.refuse(node, "class", "field(…) stands in a dataclass")
        self.mention(node.func)
        self.keywords(node)
        for argument in node.args:
            self.expression(argument)
        for keyword in node.keywords:
            value = keyword.value
            match keyword.arg:
                case None | "sa_column_args" | "schema_extra":
                    self.refuse(node, "schema", f"{keyword.arg or '**'} may not be used in a field")
                case "sa_column":
                    self.column(value)
                case "sa_column_kwargs" if not _is_literal(value):
                    self.refuse(value, "schema", "sa_column_kwargs holds plain values only, written out")
                case "sa_type" if not (self.full_name(_called(value)) or "").startswith(("sqlalchemy.", "pgvector.")):
                    self.refuse(value, "schema", "sa_type is a type of sqlalchemy")
                case "default_factory" if name != "dataclasses.field" and not self.takes_nothing(value):
                    self.refuse(value, "schema", "default_factory takes no argument: write `lambda: …`")
            if keyword.arg != "sa_column":
                self.expression(value)

    def column(self, node: ast.expr) -> None:
        """`sa_column=Column(…)`."""
        if not isinstance(node, ast.Call) or self.full_name(node.func) != "sqlalchemy.Column":
            self.refuse(node, "schema", "sa_column is a Column(…), written out")
            return
        self.mention(node.func)
        for argument in node.args:
            self.expression(argument)
        for keyword in node.keywords:
            if not _is_literal(keyword.value) and (self.full_name(_called(keyword.value)) or "").partition(".")[0] != (
                "sqlalchemy"
            ):
                self.refuse(keyword.value, "schema", f"{keyword.arg or '**'} of a column is a plain value")
            self.expression(keyword.value)

    def takes_nothing(self, node: ast.expr) -> bool:
        """Whether something that makes a default cannot be handed anything."""
        if isinstance(node, ast.Lambda):
            return not any(bindings.parameters(node.args))
        if isinstance(node, ast.Subscript):
            return self.full_name(node.value) in GENERIC_BUILTINS
        full = self.full_name(node) or ""
        if isinstance(node, ast.Name) and not full:
            return node.id in self.makers
        return bool(full) and not full.startswith("bot.") and self.class_of(node) is None

    def keywords(self, node: ast.Call) -> None:
        """The names of arguments."""
        for keyword in node.keywords:
            if keyword.arg in TYPES_IN_ARGUMENTS:
                self.typed(keyword.value)
            if keyword.arg and keyword.arg.startswith("__"):
                self.refuse(node, "dunder", "an argument with two underscores; do without it")

    def is_harmless(self, function: ast.expr, name: str | None) -> bool:
        """Whether a call may run while the file is imported."""
        if name in self.allowed.at_import:
            return True
        if not isinstance(function, ast.Attribute):
            return False
        # methods of texts that stand in the file, and of what harmless calls return: dedent("…").strip()
        made = function.value
        return isinstance(made, ast.Constant) or (
            isinstance(made, ast.Call) and self.is_harmless(made.func, self.full_name(made.func))
        )

    def is_type(self, node: ast.expr) -> bool:
        """Whether subscripting this makes a type, so that strings inside it are types too."""
        name = self.full_name(node) or ""
        if name.startswith(("typing.", "collections.abc.")) or name in GENERIC_BUILTINS:
            return True
        if isinstance(node, ast.Name) and node.id in self.types and node.id not in self.classes:
            return True  # an alias: it is whatever it stands for
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


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _outermost(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that are in no other function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        else:
            yield from _outermost(node)


def _kinds(around: _Scope, body: list[ast.stmt], parameters: set[str]) -> frozenset[str]:
    """Names in a function that are types: its type parameters, and classes made in it."""
    every = Counter(bindings.stored(*body))
    kinds = Counter(_classes_in(body))
    return frozenset(
        name for name in around.kinds | set(kinds) if name not in parameters and every[name] == kinds[name]
    )


def _classes_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _classes_in(ast.iter_child_nodes(node))


def _is_literal(node: ast.expr | None) -> bool:
    """Whether a value is written out."""
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return all(_is_literal(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and _is_literal(key) for key in keys) and all(_is_literal(one) for one in values)
    return False


def _is_foreign(full: str) -> bool:
    """Whether a full name is that of the library's, and neither the project's nor a builtin."""
    return "." in full and not full.startswith("bot.")


def _called(node: ast.expr) -> ast.expr:
    """What is called, or the value itself."""
    return node.func if isinstance(node, ast.Call) else node


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that one statement binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def main() -> None:
    """Review the files named in the argument and print the findings as JSON."""
    task: dict[str, Any] = json.loads(sys.argv[-1])
    allowed, project = Allowed.read(task["allowed"]), Project(task["root"])
    answer: dict[str, list[Finding]] = {}
    for path in task["paths"]:
        place = os.open(os.path.join(task["root"], path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(place, "rb") as file:
            answer[path] = review(path, file.read(task["max_bytes"] + 1)[: task["max_bytes"] + 1], project, allowed)
    sys.stdout.write(json.dumps(answer))
