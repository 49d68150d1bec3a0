"""What a file does, statement by statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from persais_core.checks.reviewer import bindings, kinds, sizes
from persais_core.checks.reviewer.attributes import CALLED_WHERE_TAKEN, CLOSED_ATTRIBUTES, SQL_OPERATORS, STARTS
from persais_core.checks.reviewer.bindings import BUILTINS
from persais_core.checks.reviewer.calls import FILLS, OF_INSTANCES
from persais_core.checks.reviewer.definitions import Definitions
from persais_core.checks.reviewer.names import FIELDS, LABELS
from persais_core.checks.reviewer.nodes import bound_by, called, is_literal


class Reader(Definitions):
    """Walks one syntax tree and collects findings."""

    def read(self, tree: ast.Module) -> None:
        """Judge a whole file."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                self.own.add(node.attr)
                self.fields.add(node.attr)
            elif isinstance(node, ast.ClassDef):
                self.own |= {name for item in node.body for name in bound_by(item)}
                self.fields |= {
                    name for item in node.body if isinstance(item, ast.AnnAssign) for name in bound_by(item)
                }
        for node in ast.walk(tree):  # also those in functions, wherever their names are used
            if isinstance(node, ast.Import):
                self.import_modules(node)
            elif isinstance(node, ast.ImportFrom):
                self.import_names(node)
        self.look_round(tree)
        self.look_for_quick(tree, bindings.bound(tree))
        for node in tree.body:
            self.top(node)

    def top(self, node: ast.stmt) -> None:
        """A statement at the top of the file."""
        match node:
            case ast.Import() | ast.ImportFrom():
                return
            case ast.Expr(value=ast.Constant(value=str(text))):
                self.text(node, text)  # what the file is for, or a constant, below it
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.shadow(node, node.name)
                self.statement(node)
            case ast.Assign() | ast.AnnAssign():
                for name in bound_by(node):
                    self.shadow(node, name)
                    if name.startswith("__") and not (name == "__all__" or (name in LABELS and is_literal(node.value))):
                        self.refuse(node, "dunder", f"{name} may not be set; remove it")
                    if name.startswith("pytest") and not self.is_async_mark(name, node.value):
                        self.refuse(node, "test", f"{name} steers the test run; remove it")
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        is_table = isinstance(target, ast.Subscript) and self.is_table(target.value)
                        if not isinstance(target, (ast.Name, ast.Tuple)) and not is_table:
                            self.refuse(node, "statement", "only names may be set at the top of a file")
                self.statement(node)
            case ast.Assert():
                self.statement(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name() as table, attr=attr))) if (
                attr in FILLS and self.is_table(table)
            ):
                self.statement(node)
            case ast.For(target=target, iter=items, body=body, orelse=[]):
                for name in bindings.stored(target):
                    self.shadow(node, name)
                self.expression(items)
                self.expression(target)
                self.filled(body)
            case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]) if self.is_import_tried(body, handlers):
                for handler in handlers:
                    self.handler(handler)
            case _ if type(node).__name__ == "TypeAlias":
                for name in bindings.stored(node):
                    self.shadow(node, name)
                self.statement(node)
            case ast.If(test=test, body=body, orelse=[]) if self.full_name(test) == "typing.TYPE_CHECKING":
                for inner in body:
                    if not isinstance(inner, (ast.Import, ast.ImportFrom, ast.Pass)):
                        self.refuse(inner, "statement", "only imports stand under TYPE_CHECKING")
            case ast.If(test=test, body=body, orelse=[]) if ast.unparse(test) == "__name__ == '__main__'":
                # Nobody starts a part of a bot as a program, so this never runs. It is judged all the same.
                self.functions += 1
                self.block(body)
                self.functions -= 1
            case ast.If(test=test, body=body, orelse=orelse) if self.depth:
                self.expression(test)
                self.filled([*body, *orelse])
            case _:
                self.refuse(node, "statement", "runs while the file is imported; put it into a function")

    def filled(self, body: list[ast.stmt]) -> None:
        """What is done in a loop or on a condition at the top of a file: names are set and tables filled."""
        self.depth += 1
        for inner in body:
            if isinstance(inner, (ast.Assign, ast.AnnAssign, ast.Expr, ast.For, ast.If)):
                self.top(inner)
            elif not isinstance(inner, ast.Pass):
                self.refuse(inner, "statement", "runs while the file is imported; put it into a function")
        self.depth -= 1

    def is_table(self, node: ast.expr) -> bool:
        """Whether a name stands for a table that is written out at the top of the file."""
        return isinstance(node, ast.Name) and node.id in self.plain

    def is_import_tried(self, body: list[ast.stmt], handlers: list[ast.ExceptHandler]) -> bool:
        """Whether `try:` holds imports, and sets what could not be imported to None."""
        inside = [statement for handler in handlers for statement in handler.body]
        return all(isinstance(one, (ast.Import, ast.ImportFrom)) for one in body) and all(
            isinstance(one, (ast.Import, ast.ImportFrom, ast.Pass))
            or (
                isinstance(one, ast.Assign)
                and isinstance(one.value, ast.Constant)
                and all(isinstance(target, ast.Name) and target.id in self.names for target in one.targets)
            )
            for one in inside
        )

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        match node:
            case ast.Import() | ast.ImportFrom():
                if self.functions == 0 or not self.scopes or not self.scopes[-1].is_function:
                    self.refuse(node, "import", "imports stand at the top of a file; move it there")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(node)
            case ast.ClassDef():
                self.klass(node)
            case ast.Global(names=names):
                if unknown := [name for name in names if name not in self.plain or name.startswith("__")]:
                    text = (
                        f"{', '.join(unknown)} is no plain value at the top of the file; keep it in context.records(…)"
                    )
                    self.refuse(node, "global", text)
            case ast.AnnAssign():
                self.declaration(node)
            case ast.If():
                self.condition(node)
            case ast.Try(handlers=handlers, body=body, finalbody=last):
                self.ending(last)
                for handler in handlers:
                    if handler.type is None and _waits(body):
                        text = "a bare except round an await also swallows the end of a turn; name the errors"
                        self.refuse(handler, "except", text)
                self.tried += 1
                self.pieces(node)
                self.tried -= 1
            case ast.While() if not self.tried and sizes.is_endless(node):
                self.refuse(node, "size", "this loop never ends; give it a condition, or leave it by break")
            case ast.For() if (
                sizes.is_for_ever(node)
                or sizes.turns(node, self.templates.top) > sizes.MOST_TIMES
                or sizes.doubles(node)
            ):
                self.refuse(node, "size", "this takes too many steps, or too long ones; choose smaller ranges")
                self.pieces(node)
            case ast.With() | ast.AsyncWith() | ast.For() | ast.AsyncFor() | ast.While():
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
                self.ending(getattr(node, "finalbody", []))
                self.pieces(node)
            case _:
                self.refuse(node, "statement", f"{type(node).__name__} may not be used; write it in simpler words")

    def condition(self, node: ast.If) -> None:
        """`if …:`. Where it asks what a parameter is an instance of, its private attributes may be used inside."""
        self.expression(node.test)
        found = self.asked(node.test)
        self.trust(found)
        self.block(node.body)
        self.distrust(found)
        self.block(node.orelse)

    def is_async_mark(self, name: str, value: ast.expr | None) -> bool:
        """Whether a test file only says that its tests are coroutines."""
        marks = value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]
        return name == "pytestmark" and all(
            mark is not None and self.full_name(called(mark)) == "pytest.mark.asyncio" for mark in marks
        )

    def declaration(self, node: ast.AnnAssign) -> None:
        """`x: int = 1`: a variable, or a field of a class."""
        scope = self.scopes[-1] if self.scopes else None
        # What is said of a variable in a function is evaluated by nobody.
        self.is_evaluated = not (scope and scope.is_function)
        is_part = scope is not None and scope.is_dataclass  # perhaps of a model, which looks into it
        is_asked = self.is_evaluated and (self.is_in_model() or is_part)
        with self.at_once(node, is_so=is_asked, is_late=not self.is_in_model()):
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
        if node.type is not None:
            ended = {
                self.full_name(part) for part in ast.walk(node.type) if isinstance(part, (ast.Name, ast.Attribute))
            }
            if "asyncio.CancelledError" in ended and not _passes_on(node.body):
                self.refuse(node, "except", "who is told to end must end; close the handler with `raise`")
            self.mention(node.type)
        self.variable(node, node.name)
        self.block(node.body)

    def ending(self, body: list[ast.stmt]) -> None:
        """`finally:`. Who leaves it by a jump goes on, whatever the turn was told."""
        for node in _jumps(body):
            word = type(node).__name__.lower()
            self.refuse(node, "except", f"{word} in finally also swallows the end of a turn; write it behind the try")

    def pattern(self, node: ast.MatchClass) -> None:
        """`case X(a, b=c):`. Which attributes a and b are is said by the class, so it must be known."""
        for name in node.kwd_attrs:
            self.attribute_name(node, name, of_self=False)
            self.taken(node, name)
            is_of_column = name in SQL_OPERATORS and not kinds.is_node_kind(self.full_name(node.cls) or "")
            if name in {*CALLED_WHERE_TAKEN, *STARTS, *OF_INSTANCES} or (is_of_column and self.has_records()):
                self.refuse(node, "match", f"{name} may not be taken out of a value; name what you need")
        if node.patterns and not (self.is_plain_class(node.cls) and not self.names_doors(node.cls)):
            self.refuse(node, "match", "give the names of the attributes: `case X(name=found)`")
        self.mention(node.cls)
        for inner in (*node.patterns, *node.kwd_patterns):
            self.pieces(ast.copy_location(ast.match_case(inner, None, []), inner))

    def names_doors(self, node: ast.expr) -> bool:
        """Whether strangers can pass for instances of a class of the file, which may name what is closed on them."""
        kind = self.classes.get(node.id) if isinstance(node, ast.Name) else None
        return kind is not None and not kind.is_solid and bool(self.fields & CLOSED_ATTRIBUTES)

    def is_plain_class(self, node: ast.expr) -> bool:
        """Whether a name in a pattern is a builtin or a class of the file, and nothing else."""
        if not isinstance(node, ast.Name) or any(node.id in scope.names for scope in self.scopes):
            return False
        if node.id in self.classes:
            return node.id in self.types and not self.classes[node.id].is_guarded
        return node.id in BUILTINS


def _passes_on(body: list[ast.stmt]) -> bool:
    """Whether statements end by raising again what was caught."""
    leaves = (ast.Return, ast.Continue, ast.Break)
    is_left = any(isinstance(part, leaves) for statement in body for part in ast.walk(statement))
    return isinstance(body[-1], ast.Raise) and body[-1].exc is None and not is_left


def _waits(body: list[ast.stmt]) -> bool:
    """Whether a turn can be ended from outside while these statements run."""
    kinds = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
    return any(
        isinstance(part, kinds) or (isinstance(part, ast.comprehension) and part.is_async)
        for statement in body
        for part in ast.walk(statement)
    )


def _jumps(body: list[ast.stmt], *, is_in_loop: bool = False) -> Iterator[ast.stmt]:
    """Where statements leave the block that they are in, other than by an error."""
    for node in body:
        if isinstance(node, ast.Return) or (isinstance(node, (ast.Break, ast.Continue)) and not is_in_loop):
            yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for name in ("body", "orelse", "finalbody"):
            is_loop = isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and name == "body"
            yield from _jumps(getattr(node, name, []), is_in_loop=is_in_loop or is_loop)
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _jumps(part.body, is_in_loop=is_in_loop)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}
