"""What is computed, and what is passed on."""

from __future__ import annotations

import ast

from persais_core.checks.reviewer import bindings, kinds, sizes
from persais_core.checks.reviewer.aliases import ANNOTATED
from persais_core.checks.reviewer.attributes import CALLED_WHERE_TAKEN, SQL_OPERATORS, STARTS
from persais_core.checks.reviewer.calls import LOOSE_DECORATORS, NAMED_ONLY
from persais_core.checks.reviewer.fields import Fields
from persais_core.checks.reviewer.names import FIELDS
from persais_core.checks.reviewer.nodes import is_foreign
from persais_core.checks.reviewer.scopes import Scope

# Under another name, or handed to somebody who calls them, these do more than when they are called here.
CALLED_ONLY = {
    *("super", "typing.TypeVar", "typing.NewType", "typing.ParamSpec", "copy.deepcopy", "getattr", "functools.wraps"),
    *("operator.attrgetter", "operator.methodcaller", "collections.namedtuple", "typing.get_args", "logging.getLogger"),
    *(
        "asyncio.CancelledError",
        "asyncio.create_task",
        "logging.Logger",
        "types.SimpleNamespace",
        "pydantic.PlainSerializer",
        "sqlalchemy.CheckConstraint",
        "time.sleep",
    ),
    *("unittest.mock.Mock", "unittest.mock.MagicMock", "unittest.mock.AsyncMock"),
}


# Whoever has them at hand could set something on them, for the whole bot.
EVERYBODYS = {
    *(f"persais_core.{name}" for name in ("Agent", "Context", "Message", "Record", "Reply", "Tool", "User")),
    *("pydantic.BaseModel", "sqlmodel.SQLModel"),
}
PLAIN_CLASSES = {"str", "int", "float", "bool", "list", "dict", "tuple", "set", "frozenset", "bytes", "complex"}


class Expressions(Fields):
    """Judges expressions."""

    def expression(self, node: ast.expr) -> None:
        """One expression and all that is in it."""
        match node:
            case ast.Name():
                self.mention(node)
                self.value(node)
            case ast.Subscript(ctx=ast.Load()) if self.is_type(node.value):
                self.in_brackets(node)
                self.passed_on(node)
            case ast.Attribute(value=ast.Call() as made, attr="__name__", ctx=ast.Load()) if self.is_class_of(made):
                self.call(made)
            case ast.Attribute(value=ast.Attribute(value=made, attr="__class__"), attr="__name__", ctx=ast.Load()):
                self.expression(made)  # the name of a class is a text
            case ast.Attribute():
                self.mention(node)
                self.value(node)
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.In() | ast.NotIn()]) if self.compares_classes(node):
                assert isinstance(node.left, ast.Call)
                self.call(node.left)
            case ast.Subscript(value=ast.Name(id="cls") as kind, ctx=ast.Load()) if (
                owner := self.owner("cls")
            ) and self.classes[owner].is_enum:
                self.mention(kind)  # a member by its name
                self.expression(node.slice)
            case ast.Subscript(value=ast.Name() as table, slice=ast.Call() as key, ctx=ast.Load()) if self.is_class_of(
                key
            ) and self.is_dictionary(table):
                self.call(key)
            case ast.Call(
                func=ast.Attribute(value=ast.Name() as table, attr="get"), args=[ast.Call() as key, *more]
            ) if self.is_class_of(key) and self.is_dictionary(table):
                self.call(key)
                for other in more:
                    self.expression(other)
            case ast.Subscript(value=ast.Name() as table, ctx=ast.Load()) if self.is_dictionary(table) and (
                table.id in self.kinds
            ):
                self.mention(table)
                self.expression(node.slice)
            case ast.Dict() | ast.Tuple() if id(node) in self.kind_tables:
                named = [one for one in kinds.table_parts(node) if kinds.is_node_kind(self.full_name(one) or "")]
                for one in named:
                    self.mention(one)
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr) and child not in named:
                        self.expression(child)
            case ast.BoolOp(op=ast.And(), values=values):
                found: set[str] = set()
                for one in values:
                    self.expression(one)
                    found |= (asked := self.asked(one))
                    self.trust(asked)
                self.distrust(found)
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
                self.scopes.append(Scope(is_function=True, names=bound, sure=bound))
                self.functions += 1
                self.expression(node.body)
                self.functions -= 1
                self.scopes.pop()
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() if (
                sizes.turns(node, self.templates.top) > sizes.MOST_TIMES
            ):
                self.refuse(node, "size", "these are too many steps; choose smaller ranges")
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self.loop_names(node)
                self.loop(node)
            case ast.NamedExpr(target=ast.Name(id=name)) if name in self.names and self.is_at_top():
                self.refuse(node, "shadow", f"{name} is imported; choose another name")
            case ast.BinOp() if sizes.is_huge(node) or any(map(self.width, sizes.stars(node))):
                self.refuse(node, "size", "this is too large to compute; choose smaller numbers")
            case ast.FormattedValue() if sizes.is_wide(node) or any(map(self.width, sizes.widths(node))):
                self.refuse(node, "size", "this width may fill the memory; choose a small one, as min(width, 200)")
            case _:
                self.pieces(node)

    def loop_names(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        """Names that mean something else within a comprehension only: nothing that is known outside it."""
        for name in bindings.stored(*(one.target for one in node.generators)):
            if name in self.names or (not self.functions and name in bindings.BUILTINS):
                self.refuse(node, "shadow", f"{name} already has a meaning here; choose another name")

    def loop(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        """A comprehension: what it goes through first is found outside it, and the rest sees its own names."""
        first, *more = node.generators
        self.expression(first.iter)
        bound = frozenset(bindings.stored(*(one.target for one in node.generators)))
        self.scopes.append(Scope(is_function=True, names=bound, sure=bound, is_brackets=True))
        self.expression(first.target)
        for one in first.ifs:
            self.expression(one)
        for other in more:
            self.pieces(other)
        for made in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.expression(made)
        self.scopes.pop()

    def is_at_top(self) -> bool:
        """Whether we are in no function and no class."""
        return all(scope.is_brackets for scope in self.scopes)

    def is_plain_enum(self) -> bool:
        """Whether cls is an enum, which nobody can inherit from, without private attributes."""
        kind = self.classes.get(self.owner("cls"))
        return kind is not None and kind.is_enum and not kind.is_guarded

    def compares_classes(self, node: ast.Compare) -> bool:
        """Whether `type(x) == …` asks for nothing but builtin classes, which keep nothing of what they are asked."""
        other = node.comparators[0]
        if isinstance(other, ast.Call) and self.is_class_of(other) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            self.call(other)
            return isinstance(node.left, ast.Call) and self.is_class_of(node.left)
        if isinstance(other, ast.Name) and isinstance(node.ops[0], (ast.In, ast.NotIn)) and self.is_dictionary(other):
            return isinstance(node.left, ast.Call) and self.is_class_of(node.left)
        sides = other.elts if isinstance(other, (ast.Tuple, ast.List, ast.Set)) else [other]
        return (
            isinstance(node.left, ast.Call)
            and self.is_class_of(node.left)
            and all(isinstance(side, ast.Name) and self.full_name(side) in PLAIN_CLASSES for side in sides)
        )

    def is_dictionary(self, node: ast.Name) -> bool:
        """Whether a name stands for a dictionary that is written out at the top of the file, and stays as it is."""
        return node.id in self.dictionaries and not any(node.id in scope.names for scope in self.scopes)

    def asked(self, test: ast.expr) -> set[str]:
        """Parameters that a condition knows to be instances of classes of this file."""
        match test:
            case ast.BoolOp(op=ast.And(), values=values):
                return {name for value in values for name in self.asked(value)}
            case ast.Call(func=function, args=[ast.Name(id=name), ast.Name(id=kind)], keywords=[]) if (
                self.full_name(function) == "isinstance"
                and self.owner(kind)
                and kind in self.types
                and self.classes[kind].is_solid
                and not self.has_stand_ins()
            ):
                inside = next((scope for scope in reversed(self.scopes) if name in scope.names), None)
                return {name} if inside and inside.is_function and name in inside.steady else set()
        return set()

    def trust(self, names: set[str]) -> None:
        """Take parameters for instances of classes of this file from here on."""
        for name in names:
            next(scope for scope in reversed(self.scopes) if name in scope.names).instances.add(name)

    def distrust(self, names: set[str]) -> None:
        """Take them for strangers again."""
        for name in names:
            next(scope for scope in reversed(self.scopes) if name in scope.names).instances.discard(name)

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
            case ast.Subscript(ctx=ast.Load()) if self.is_type(node.value) or self.is_generic(node.value):
                self.in_brackets(node)  # Box[int](…)
            case ast.Tuple(elts=items):
                for item in items:
                    self.mention(item)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.mention(left)
                self.mention(right)
            case _:
                self.expression(node)

    def is_generic(self, node: ast.expr) -> bool:
        """Whether something is a class of the project that takes types in brackets."""
        kind = self.class_of(node)
        return kind is not None and kind.is_generic and not kind.is_enum

    def in_brackets(self, node: ast.Subscript) -> None:
        """`Box[int]`, wherever it stands: types are in the brackets."""
        if self.full_name(node.value) in {"type", "typing.Type"}:
            self.refuse(node, "class", "type[…] makes classes when it is called; name the class")
        self.open_generic(node)
        with self.at_once(node, is_so=self.functions == 0, is_late=True):
            self.annotation(node)

    def passed_on(self, node: ast.expr) -> None:
        """A type as a value. Whoever asks `Box[int]` or `Annotated[Box, …]` for an attribute is answered by `Box`."""
        match node:
            case ast.Subscript(value=made, slice=ast.Tuple(elts=[first, *_])) if self.full_name(made) in ANNOTATED:
                self.passed_on(first)
            case ast.Subscript(value=made) if not is_foreign(self.full_name(made) or ""):
                self.passed_on(made)
            case ast.Name() | ast.Attribute():
                self.value(node)

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
        elif full in EVERYBODYS:
            self.refuse(node, "class", f"{shown} is everybody's class and no value; write a class of your own")
        elif kinds.is_node_kind(full):
            self.refuse(node, "class", f"{shown} is no value; ask isinstance(node, {shown}) or match it")
        elif (
            isinstance(node, ast.Name)
            and node.id in self.kinds
            and not any(node.id in scope.names for scope in self.scopes)
        ):
            self.refuse(node, "class", f"{shown} holds kinds of nodes and is no value; look them up: {shown}[type(x)]")
        elif (
            isinstance(node, ast.Attribute)
            and node.attr in (CALLED_WHERE_TAKEN - {"format"}) | STARTS
            and not full
            and not (node.attr in STARTS and self.is_own_method(node))
        ):
            self.refuse(node, "attribute", f"{shown} is no value; call it where it is needed")
        elif isinstance(node, ast.Attribute) and node.attr in SQL_OPERATORS and self.has_records():
            self.refuse(node, "schema", f"{shown} may be one of a column, which takes SQL; compare values in Python")
        elif full in NAMED_ONLY:
            self.refuse(node, "class", f"{shown} is a base class and no value; write `class X({shown}):`")
        elif full in self.allowed.decorators - LOOSE_DECORATORS:
            self.refuse(node, "decorator", f"{shown} is no value; write it behind @")
        elif (found := self.class_of(node)) and found.makes_classes:
            self.refuse(node, "class", f"{shown} makes classes by what stands in brackets; name it where it is needed")
        elif (found := self.class_of(node)) and found.is_guarded:
            self.refuse(node, "private", f"{shown} has private attributes: make one, do not pass the class on")
        elif isinstance(node, ast.Name) and node.id == "cls" and not self.is_plain_enum():
            self.refuse(node, "private", "cls may be called and asked for what is public; do not pass it on")
        elif isinstance(node, ast.Name) and self.is_logger(node):
            self.refuse(node, "attribute", f"{shown} is no value; log with it: {shown}.info(…)")
        elif isinstance(node, ast.Name) and node.id in self.methods_here():
            self.refuse(node, "private", f"{shown} is a method; call it on an instance")
