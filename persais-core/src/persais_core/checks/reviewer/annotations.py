"""Types: pydantic and SQLAlchemy evaluate them, and the texts in them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from typing import Any

from persais_core.checks.reviewer import characters
from persais_core.checks.reviewer.attributes import Attributes
from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.names import FIELDS, NEVER_HIDDEN
from persais_core.checks.reviewer.nodes import is_foreign
from persais_core.checks.reviewer.scopes import Scope

# Fixtures that reach into the test run itself.
CLOSED_FIXTURES = {
    *("monkeypatch", "request", "pytester", "testdir", "mocker", "pytestconfig", "config", "cache", "record_property"),
    *("record_testsuite_property", "record_xml_attribute", "tmp_path_factory", "tmpdir_factory", "doctest_namespace"),
    *("event_loop_policy", "unused_tcp_port_factory", "subtests"),
}

LATE = 1 << 30  # behind every line


class Annotations(Attributes):
    """Judges annotations, parameters and other places where types stand."""

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
                if not self.takes_brackets(value):
                    shown = ast.unparse(node)[:40]
                    self.refuse(node, "annotation", f"{shown} may be a member and hold a text; name the type itself")
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
                            self.mark(extra)
                        self.functions = outside
                else:
                    self.annotation(index)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                for item in items:
                    self.annotation(item)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.annotation(left)
                self.annotation(right)
            case ast.Attribute(value=ast.Name() as kind, attr="args" | "kwargs") if (
                self.full_name(kind) is None and self.class_of(kind) is None
            ):
                self.annotation(kind)  # of a ParamSpec
            case ast.Name() | ast.Attribute():
                self.mention(node)
                if not self.is_type_name(node):
                    self.refuse(node, "annotation", f"{ast.unparse(node)[:40]} may hold a text; name the type itself")
                elif self.asked_at is not None and not self.is_there(node, self.asked_at):
                    text = f"{ast.unparse(node)[:40]} is not there yet when this is made; put it further up"
                    self.refuse(node, "annotation", text)
            case ast.Constant(value=None) | ast.Constant(value=int()):
                return
            case ast.Constant() if node.value is ...:
                return
            case _:
                self.refuse(node, "annotation", f"{ast.unparse(node)[:40]!r} is no plain type; name the type")

    @contextlib.contextmanager
    def at_once(self, node: ast.AST, *, is_so: bool = True, is_late: bool = False) -> Iterator[None]:
        """Read annotations in this block that are evaluated where they stand, or `is_late`: when they are used.

        What is not there then, pydantic looks for again when a model is used first, and among the variables of whoever
        uses it: any text that one of them holds would be run as code.
        """
        line = LATE if is_late else getattr(node, "lineno", 1)
        outside, self.asked_at = self.asked_at, line if is_so else None
        yield
        self.asked_at = outside

    def is_in_model(self) -> bool:
        """Whether we are in the body of a class whose annotations a library evaluates, as those of a model."""
        here = next((scope for scope in reversed(self.scopes) if not scope.is_brackets), None)
        return here is not None and not here.is_function and self.classes[here.owner].is_read

    def is_there(self, node: ast.expr, line: int) -> bool:
        """Whether what a type is named by is bound for sure when the statement at a line is reached."""
        while isinstance(node, ast.Attribute):
            node = node.value
        name = node.id if isinstance(node, ast.Name) else ""
        if name in self.absent or line == LATE:
            return name not in self.absent
        if any(name == scope.owner or (not scope.is_function and name in scope.kinds) for scope in self.scopes):
            return True
        inside = [scope for scope in self.scopes if scope.is_function and not scope.is_brackets]
        if any(name in scope.names for scope in inside):
            return False  # made in a function, perhaps later, or on a condition
        return bool(inside) or self.lines.get(name, 0) <= line

    def is_type_name(self, node: ast.Name | ast.Attribute) -> bool:
        """Whether a name in an annotation is a type and can be no text, which would be evaluated."""
        if isinstance(node, ast.Attribute):
            full = self.full_name(node) or ""
            return bool(full) and self.project.names_type(full)
        if node.id.startswith("__"):
            return False  # as __doc__, which holds a text that nobody reads as code
        for scope in reversed(self.scopes if self.is_evaluated else ()):
            if scope.is_function and node.id in scope.names:
                return node.id in scope.kinds
            if scope is self.scopes[-1] and not scope.is_function and self.may_be_set_later(node.id):
                return False
            if not scope.is_function and node.id in scope.texts:
                return False
        if node.id in self.names:
            return self.project.names_type(self.names[node.id])
        if node.id in self.shared or not self.is_evaluated:
            return node.id in self.types or node.id not in self.shared
        # Bound nowhere here. Somebody may bind it on the class at run time, so it is a builtin or a class in this one.
        return node.id in BUILTINS or any(node.id in scope.kinds for scope in self.scopes)

    def may_be_set_later(self, name: str) -> bool:
        """Whether a base may set an attribute of that name on the class, where its types are looked up first."""
        is_ours = name in self.shared and not is_foreign(self.names.get(name, ""))
        return is_ours and not name.lstrip("_")[:1].isupper()

    def type_alias(self, node: Any) -> None:
        """`type X = …`, since Python 3.12: pydantic evaluates it as it does annotations."""
        self.expression(node.name)
        with self.at_once(node, is_late=True):
            self.scopes.append(self.type_parameters(node))
            self.annotation(node.value)
            self.scopes.pop()

    def type_parameters(self, node: ast.AST) -> Scope:
        """What stands in brackets behind a name since Python 3.12."""
        found = frozenset(str(parameter.name) for parameter in getattr(node, "type_params", ()))
        for parameter in getattr(node, "type_params", ()):
            if getattr(parameter, "bound", None) is not None:
                self.annotation(parameter.bound)
            if getattr(parameter, "default_value", None) is not None:
                self.annotation(parameter.default_value)
        return Scope(is_function=True, names=found, sure=found, kinds=found, is_brackets=True)

    def arguments(self, found: ast.arguments, *, is_annotated: bool) -> None:
        """Parameters and their defaults."""
        everything = [*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg]
        for argument in everything:
            if argument is None:
                continue
            self.parameter(argument)
            if self.is_test and argument.arg in CLOSED_FIXTURES:
                self.refuse(argument, "test", f"{argument.arg} reaches into the test run; test with plain values")
            if is_annotated and argument.annotation:
                self.annotation(argument.annotation)
        for default in (*found.defaults, *found.kw_defaults):
            if default is not None:
                self.expression(default)

    def parameter(self, argument: ast.arg) -> None:
        """A parameter. It may have the name of a builtin, as that is out of reach then."""
        if argument.arg == "model_config":  # the parameters of a tool become fields of a model
            self.refuse(argument, "name", "model_config means something to others; choose another name")
        if argument.arg not in BUILTINS or argument.arg in NEVER_HIDDEN or not characters.is_name(argument.arg):
            self.variable(argument, argument.arg)

    def variable(self, node: ast.AST, name: str | None) -> None:
        """A name that is bound by other means than an assignment."""
        if name:
            self.name(ast.copy_location(ast.Name(name, ast.Store()), node))

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
