"""What a file holds, found out before any use of a name in it is judged.

Which of its names stand for classes, types, constants, decorators and fixtures is known for the whole file; what a name
means at one place, in the scopes round it, is said by `names`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from persais_core.checks.reviewer import (
    aliases,
    bindings,
    decorators,
    dictionaries,
    enums,
    flows,
    kinds,
    rebinding,
    sizes,
    templates,
)
from persais_core.checks.reviewer.names import HANDED, PASSES_ON, Names
from persais_core.checks.reviewer.nodes import bound_by, called, is_foreign, is_value, outermost


class Surroundings(Names):
    """Looks round in a file."""

    def look_round(self, tree: ast.Module) -> None:
        """Find out what the names of the file stand for, before any use of them is judged."""
        self.abroad = self.project.classes(tree)
        self.classes = bindings.classes(tree, self.abroad)
        every = bindings.bound(tree)
        self.classes |= {name: kind for name, kind in enums.written(tree, self.full_name) if every[name] == 1}
        self.called_otherwise = aliases.of_classes(tree, {**self.abroad, **self.classes})
        self.types = aliases.types(tree, self.project.names_type, self.takes_brackets)
        self.findings += rebinding.judge(tree)
        self.plain = {name for name, values in bindings.assigned(tree).items() if all(map(is_value, values))}
        for node in tree.body:  # in their order: what comes later is not there yet
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            if value is not None and self.is_plain(value):
                self.constants |= {name for name in bound_by(node) if every[name] == 1}
        self.absent = frozenset(bindings.absent(tree))
        self.lines = aliases.lines(tree)
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and every[node.name] == 1:
                self.defined.add(node.name)
            if isinstance(node, ast.FunctionDef):
                self.functions_at_top[node.name] = node
            if isinstance(node, ast.FunctionDef) and every[node.name] == 1:
                if decorators.is_wrapper(node):
                    self.wrappers[node.name] = node
                    self.copying |= {id(one) for one in decorators.copies(node)}
                if [self.full_name(one) for one in node.decorator_list] == ["functools.singledispatch"]:
                    self.dispatchers.add(node.name)
        self.dictionaries = {name for name in dictionaries.unchanged(tree, self.is_class) if every[name] == 1}
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

    def is_class(self, node: ast.expr) -> bool:
        """Whether a name at the top of the file stands for a class: a builtin, a library's or one of the project."""
        if isinstance(node, ast.Name) and node.id in self.shared:
            return node.id in self.types
        full = self.full_name(node) or ""
        return bool(full) and self.project.names_type(full)

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
