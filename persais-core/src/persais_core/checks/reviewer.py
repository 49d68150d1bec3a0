"""Reads code that the bot wrote for itself and names all that is not plainly allowed in it.

It runs as a script of its own (`python -I -S reviewer.py JSON`), with the standard library only: whoever wrote the file
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
# Assigned in a class body, and nowhere else.
CLASS_WORDS = {"__slots__", "__hash__"}
# Under another name, or handed to somebody who calls them, these do more than when they are called here.
CALLED_ONLY = {"super", "typing.TypeVar", "typing.NewType", "copy.deepcopy"}
ENUMS = {f"enum.{name}" for name in ("Enum", "Flag", "IntEnum", "IntFlag", "StrEnum")}
# Classes that make classes when they are called.
NAMED_ONLY = {"typing.NamedTuple", "typing.TypedDict", "typing.Protocol", "typing.Generic", *ENUMS}
FIELDS = {"dataclasses.field", "pydantic.Field", "sqlmodel.Field"}
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
ANNOTATION_NODES = (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List, ast.Constant, ast.BinOp, ast.Load)


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
    types. `first` is the parameter that is the instance, or with `is_class` the class, that a method was called on.
    """

    is_function: bool
    names: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    first: str = ""
    is_dataclass: bool = False
    is_method: bool = field(default=False)


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
        self.classes: set[str] = set()
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
                self.classes.add(node.name)
        for node in tree.body:
            if isinstance(node, ast.Import):
                self.import_modules(node)
            elif isinstance(node, ast.ImportFrom):
                self.import_names(node)
        for index, node in enumerate(tree.body):
            self.top(node, is_first=index == 0)

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
            if self.project.names(f"{module}.{name}") is None:
                self.refuse(node, "import", f"there is no {module}.{name}; import what is in the project")
            self.modules[local] = f"{module}.{name}"
        else:
            self.own_name(node, module, name)

    def own_name(self, node: ast.AST, module: str, name: str) -> None:
        """A name of a module of this project: it must be made there, not passed on."""
        made = self.project.names(module)
        if made is None:
            self.refuse(node, "import", f"there is no {module}; import what is in the project")
        elif name not in made or name.startswith("_"):
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
                self.annotation(node.annotation)
                self.expression(node.target)
                if node.value:
                    self.expression(node.value)
            case ast.Try() | ast.With() | ast.AsyncWith() | ast.If() | ast.For() | ast.AsyncFor() | ast.While():
                self.pieces(node)
            case ast.Match():
                self.pieces(node)
            case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Raise() | ast.Assert() | ast.Expr() | ast.Delete():
                self.pieces(node)
            case ast.Pass() | ast.Break() | ast.Continue() | ast.Nonlocal():
                return
            case _ if type(node).__name__ in {"TryStar", "TypeAlias"}:
                self.pieces(node)
            case _:
                self.refuse(node, "statement", f"{type(node).__name__} may not be used; write it in simpler words")

    def pieces(self, node: ast.AST) -> None:
        """All that a node is made of."""
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.stmt():
                    self.statement(child)
                case ast.expr():
                    self.expression(child)
                case ast.ExceptHandler():
                    if child.type is None:
                        self.refuse(child, "except", "a bare except also swallows the end of a turn; name the errors")
                    self.pieces(child)
                case ast.MatchClass():
                    for name in child.kwd_attrs:
                        self.attribute_name(child, name, of_self=False)
                    self.pieces(child)
                case ast.MatchAs() | ast.MatchStar() | ast.MatchMapping():
                    self.variable(child, getattr(child, "name", None) or getattr(child, "rest", None))
                    self.pieces(child)
                case _:
                    self.pieces(child)

    def variable(self, node: ast.AST, name: str | None) -> None:
        """A name that is bound by other means than an assignment."""
        if name:
            self.name(ast.copy_location(ast.Name(name, ast.Store()), node))

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function: decorators, defaults and annotations run at import, the body later."""
        self.special(node, node.name, in_class=True)
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.type_parameters(node)
        self.arguments(node.args, is_annotated=True)
        if node.returns:
            self.annotation(node.returns)
        self.functions += 1
        self.block(node.body)
        self.functions -= 1

    def type_parameters(self, node: ast.AST) -> None:
        """What stands in brackets behind a name since Python 3.12."""
        for parameter in getattr(node, "type_params", ()):
            self.pieces(parameter)

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

    def klass(self, node: ast.ClassDef) -> None:
        """A class: its bases, settings and body run at import."""
        self.special(node, node.name, in_class=False)
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.type_parameters(node)
        for base in node.bases:
            if any(isinstance(part, (ast.Call, ast.Lambda, ast.Starred)) for part in ast.walk(base)):
                self.refuse(base, "class", "a base class is named, not computed")
            self.expression(base)
        for setting in node.keywords:
            if setting.arg == "metaclass" or setting.arg is None or not isinstance(setting.value, ast.Constant):
                self.refuse(
                    node, "class", f"{setting.arg or '**'}: only plain values such as table=True may stand here"
                )
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
                        elif name.startswith("__") and name.endswith("__") and name not in CLASS_WORDS:
                            self.refuse(item, "dunder", f"{name} may not be set; do without it")
                    self.statement(item)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
                    self.statement(item)
                case _:
                    self.refuse(item, "class", "runs while the file is imported; put it into a method")

    def table(self, node: ast.Assign | ast.AnnAssign) -> None:
        """The table of a schema: one of the bot's own."""
        value = node.value
        if not (isinstance(value, ast.Constant) and re.fullmatch(r"agent_[a-z0-9_]{1,50}", str(value.value))):
            self.refuse(node, "schema", "a table is called agent_ and the schema's name")

    def decorator(self, node: ast.expr) -> None:
        """What stands behind @."""
        target = node.func if isinstance(node, ast.Call) else node
        name = self.full_name(target)
        if isinstance(target, ast.Attribute) and target.attr in {"setter", "deleter"} and name is None:
            self.expression(target.value)
            return
        if name is None or name not in self.allowed.decorators:
            self.refuse(
                node, "decorator", f"@{ast.unparse(target)[:60]} may not be used; call the function where needed"
            )
            return
        self.expression(target)
        if isinstance(node, ast.Call):
            self.keywords(node)
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
                self.expression(node)
            case ast.Constant(value=None) | ast.Constant(value=int()):
                return
            case ast.Constant() if node.value is ...:
                return
            case _:
                self.refuse(node, "annotation", f"{ast.unparse(node)[:40]!r} is no plain type; name the type")

    # --- expressions ---

    def expression(self, node: ast.expr) -> None:
        """One expression and all that is in it."""
        match node:
            case ast.Name():
                self.name(node)
                if node.id in self.modules and isinstance(node.ctx, ast.Load):
                    self.refuse(node, "module", f"{node.id} is a module and no value; name what you need of it")
                elif self.names.get(node.id) == "pytest.mark":
                    self.refuse(node, "test", "mark is no value; write the mark out")
            case ast.Subscript(ctx=ast.Load()) if self.is_type(node.value):
                self.annotation(node)
            case ast.Attribute():
                self.attribute(node)
            case ast.Call():
                self.call(node)
            case ast.Constant():
                self.text(node, node.value)
            case ast.Lambda():
                self.arguments(node.args, is_annotated=False)
                self.functions += 1
                self.expression(node.body)
                self.functions -= 1
            case ast.BinOp(op=ast.Pow() | ast.LShift(), right=ast.Constant(value=int(power))) if power > 10_000:
                self.refuse(node, "size", "this number is too large to compute")
            case ast.JoinedStr() | ast.FormattedValue():
                self.pieces(node)
            case _:
                self.pieces(node)

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
        elif isinstance(node.ctx, (ast.Store, ast.Del)) and name in {"super", "type", "hasattr"} and name != "type":
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
        self.attribute_name(node, node.attr, of_self=_is_self(base))
        if node.attr == "format":
            if not isinstance(base, ast.Constant):
                self.refuse(node, "format", "a computed template can reach anything; use an f-string")
            elif FIELD.search(str(base.value)):
                self.refuse(node, "format", "a template that looks into a value; use an f-string")
        if not isinstance(node.ctx, ast.Load) and isinstance(base, ast.Name) and base.id in self.names:
            self.refuse(node, "module", f"{base.id} belongs to everybody; do not set {node.attr} on it")
        self.expression(base)

    def attribute_name(self, node: ast.AST, name: str, *, of_self: bool) -> None:
        """The y of `x.y`, wherever it stands."""
        if not name.isascii():
            self.refuse(node, "name", f"{name!a} is not ASCII; name things in a-z, 0-9 and _")
        elif name.startswith("__"):
            if name not in {"__name__", "__init__", "__post_init__"}:
                self.refuse(node, "dunder", f"{name} may not be used; do without it")
        elif name.startswith("_") and not (of_self and name in self.own):
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
        if name == "type" and (len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred)):
            self.refuse(node, "class", "type(…) that makes a class; write a class")
        if name == "super" and (node.args or node.keywords):
            self.refuse(node, "class", "super takes no arguments here")
        if name in NOT_CALLED:
            self.refuse(node, "class", f"{name} is a base class; write `class X({name.rpartition('.')[2]}):`")
        if name in {"typing.TypeVar", "typing.NewType"} and any(
            isinstance(value, ast.Constant) and isinstance(value.value, str)
            for value in (*node.args[1:], *(keyword.value for keyword in node.keywords))
        ):
            self.refuse(node, "annotation", "name the type, without quotes")
        self.keywords(node)
        self.pieces(node)

    def keywords(self, node: ast.Call) -> None:
        """The names of arguments."""
        for keyword in node.keywords:
            if keyword.arg in TYPES_IN_ARGUMENTS and isinstance(keyword.value, ast.Constant):
                self.refuse(node, "annotation", f"{keyword.arg}: name the type, without quotes")
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
        # A class of the project, subscripted while the file is imported: Box["…"]
        return self.functions == 0 and isinstance(node, ast.Name) and (node.id in self.classes or node.id in self.names)

    def full_name(self, node: ast.expr) -> str | None:
        """What a name or a dotted name stands for: `module.name`, a builtin's name, or None when it is ours."""
        match node:
            case ast.Name(id=name):
                if name in self.names:
                    return self.names[name]
                return name if name in BUILTINS else self.modules.get(name)
            case ast.Attribute(value=value, attr=attr):
                base = self.full_name(value)
                return f"{base}.{attr}" if base else None
        return None


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


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
    task: dict[str, Any] = json.loads(sys.argv[1])
    allowed, project = Allowed.read(task["allowed"]), Project(task["root"])
    answer: dict[str, list[Finding]] = {}
    for path in task["paths"]:
        place = os.open(os.path.join(task["root"], path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(place, "rb") as file:
            answer[path] = review(path, file.read(task["max_bytes"] + 1)[: task["max_bytes"] + 1], project, allowed)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
