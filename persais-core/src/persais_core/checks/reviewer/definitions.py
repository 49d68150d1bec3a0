"""Functions and classes: what runs when they are made, and what they hold."""

from __future__ import annotations

import ast

from persais_core.checks.reviewer import bindings, decorators
from persais_core.checks.reviewer.annotations import CLOSED_FIXTURES
from persais_core.checks.reviewer.attributes import CLOSED_ATTRIBUTES
from persais_core.checks.reviewer.bindings import BUILTINS, COMMON
from persais_core.checks.reviewer.calls import READS
from persais_core.checks.reviewer.expressions import Expressions
from persais_core.checks.reviewer.models import SETTINGS
from persais_core.checks.reviewer.names import FIELDS, PASSES_ON
from persais_core.checks.reviewer.nodes import bound_by, called, is_literal, kept_kinds, kinds_in, set_to
from persais_core.checks.reviewer.scopes import Scope
from persais_core.checks.reviewer.templates import FIELD

# Assigned in a class body, and nowhere else.
CLASS_WORDS = {"__slots__", "__hash__"}
BASES = {
    *("pydantic.BaseModel", "sqlmodel.SQLModel", "datetime.tzinfo", "decimal.Decimal", "fractions.Fraction"),
    *("ast.NodeVisitor", "json.JSONEncoder"),
}
BASE_MODULES = {"abc", "collections", "collections.abc", "contextlib", "enum", "numbers", "persais_core", "typing"}
# Decorators that make a method of a class of what they are given.
VALIDATORS = {"pydantic.field_validator", "pydantic.model_validator"}
# Decorators of a class that leave it what it is, and keep it nowhere.
OF_CLASSES = {
    *("dataclasses.dataclass", "enum.unique", "functools.total_ordering", "typing.final", "typing.runtime_checkable"),
}
# Methods by which an enum makes its members.
MAKES_MEMBERS = {"__init__", "_generate_next_value_"}
# What is told how a block ended, and may keep that from going on.
ON_METHOD = (
    "list the method in a table, COMMANDS = ((pattern, 'reverse'), …), and choose by it in a match statement, "
    "or decorate a function of the module"
)
EXITS = {"__exit__", "__aexit__"}
LEAVES_EXIT = {"abc.abstractmethod", "typing.final", "typing.override"}
# Decorators that leave a method what it is: a function of an instance.
KEEPS_INSTANCE = {
    *("property", "classmethod", "abc.abstractmethod", "functools.cache", "functools.lru_cache", "typing.final"),
    *("functools.cached_property", "typing.overload", "typing.override", "pydantic.computed_field"),
}


class Definitions(Expressions):
    """Judges functions and classes."""

    def block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other."""
        after: set[str] = set()
        for node in body:
            self.statement(node)
            match node:  # if not isinstance(other, Money): return NotImplemented
                case ast.If(
                    test=ast.UnaryOp(op=ast.Not(), operand=test), body=[*_, ast.Return() | ast.Raise()], orelse=[]
                ):
                    found = self.asked(test)
                    self.trust(found)
                    after |= found
        self.distrust(after)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function: decorators, defaults and annotations run at import, the body later."""
        self.special(node, node.name, in_class=True)
        if node.name == "__init_subclass__":  # refused as a whole, and what it does says nothing new
            return
        for decorator in node.decorator_list:
            self.decorator(decorator)
        owner = self.scopes[-1] if self.scopes and not self.scopes[-1].is_function else None
        if node.name in EXITS and owner:
            self.exit(node)
        inside = self.type_parameters(node)
        is_read = self.is_in_model() and any(
            (self.full_name(called(one)) or "").startswith("pydantic.") for one in node.decorator_list
        )
        self.scopes.append(inside)
        self.arguments(node.args, is_annotated=True)
        if node.returns:
            with self.at_once(node, is_so=is_read):
                self.annotation(node.returns)
        self.scopes.pop()
        bound = {argument.arg for argument in bindings.parameters(node.args)}
        inside.names |= bound | set(bindings.stored(*node.body))
        inside.sure |= bound | set(bindings.stored(*node.body, in_loops=False))
        inside.kinds = kinds_in(inside.kinds, node.body, bound)
        inside.is_brackets = False
        inside.steady = frozenset(bound - set(bindings.stored(*node.body)))
        inside.bound = set_to(node.body)
        inside.first = self.first(node) if owner else ""
        outside, self.flow = self.flow, self.flow or self.flows.get(id(node))
        self.scopes.append(inside)
        self.functions += 1
        self.block(node.body)
        self.functions -= 1
        self.scopes.pop()
        self.flow = outside

    def exit(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """What ends a `with`: it says neither yes nor anything else, as that would swallow the end of a turn."""
        others = {self.full_name(called(one)) for one in node.decorator_list} - LEAVES_EXIT
        given = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
        says_no = all(isinstance(one, ast.Constant) and one.value in (None, False) for one in given)
        is_plain = not any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node))
        is_awaited = isinstance(node, ast.FunctionDef) or node.name == "__aexit__"
        if others or not (says_no and is_plain and is_awaited):
            self.refuse(node, "except", f"{node.name} swallows nothing here; return None, and catch errors by except")
        for kept in kept_kinds(node):
            text = "who knows the class that ends a turn could catch it later; ask it with is, or issubclass(kind, X)"
            self.refuse(kept, "except", text)

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
        after = any(
            isinstance(item, ast.Call)
            and self.full_name(item.func) == "pydantic.model_validator"
            and [ast.unparse(keyword) for keyword in item.keywords] == ["mode='after'"]
            for item in node.decorator_list
        )
        kept = VALIDATORS if name == "cls" else {"pydantic.model_validator"} if after else set()
        others = decorators - KEEPS_INSTANCE - kept
        is_setter = all(
            isinstance(item, ast.Attribute) and item.attr in {"setter", "deleter"}
            for item in node.decorator_list
            if self.full_name(called(item)) is None and not self.keeps_instance(item)
        )
        return name if name in {"self", "cls"} and others <= {None} and is_setter else ""

    def keeps_instance(self, decorator: ast.expr) -> bool:
        """Whether a decorator is one of this file, and calls what it wraps on what it was called on."""
        target = called(decorator)
        return (
            isinstance(target, ast.Name)
            and self.is_wrapper(decorator)
            and decorators.keeps_instance(self.wrappers[target.id])
        )

    def is_wrapper(self, decorator: ast.expr) -> bool:
        """Whether a decorator is one that this file makes, and does next to nothing."""
        target = called(decorator)
        return (
            isinstance(target, ast.Name)
            and target.id in self.wrappers
            and not any(target.id in scope.names for scope in self.scopes)
            and decorators.is_wrapper(self.wrappers[target.id], is_called=isinstance(decorator, ast.Call))
        )

    def is_function_here(self, name: str) -> bool:
        """Whether a name is that of a function at the top of the file, and of nothing else."""
        return name in self.defined and not any(name in scope.names for scope in self.scopes)

    def klass(self, node: ast.ClassDef) -> None:
        """A class: its bases, settings and body run at import."""
        self.special(node, node.name, in_class=False)
        for decorator in node.decorator_list:
            self.decorator(decorator)
            if not self.is_wrapper(decorator) and self.full_name(called(decorator)) not in OF_CLASSES:
                shown = ast.unparse(called(decorator))[:40]
                self.refuse(decorator, "decorator", f"@{shown} stands on a function; write a function for it")
            if self.is_wrapper(decorator) and self.classes[node.name].is_guarded:
                self.refuse(node, "private", f"{node.name} has private attributes; do not pass the class on")
        with self.at_once(node, is_so=self.classes[node.name].is_read):
            around = self.type_parameters(node)
        self.scopes.append(around)
        for base in node.bases:
            self.base(base)
        self.class_settings(node)
        kind = self.classes[node.name]
        if kind.is_record and len(node.bases) > 1:
            self.refuse(node, "schema", "a record has one base; what two share is written twice")
        if kind.is_raised and kind.is_guarded:
            text = f"who ends a block is handed the class of an error, so {node.name} keeps nothing private; "
            self.refuse(node, "private", f"{text}use public attributes")
        if kind.is_enum:
            self.enum(node)
        if kind.is_enum and not any(self.is_member(item) for item in node.body):
            self.refuse(node, "class", "an enum has members, as one without makes classes; write them here")
        self.scopes.append(
            Scope(
                is_function=False,
                owner=node.name,
                names=frozenset(bindings.stored(*node.body)),
                texts=frozenset(
                    name for item in node.body if self.may_hold_text(item) for name in bindings.stored(item)
                ),
                kinds=kinds_in(frozenset(), node.body, set()),
                methods=frozenset(
                    item.name
                    for item in node.body
                    if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and bindings.takes_instance(item)
                ),
                properties=frozenset(bindings.properties(node)),
                is_record=kind.is_record or any(keyword.arg == "table" for keyword in node.keywords),
                is_dataclass=any(
                    self.full_name(item.func if isinstance(item, ast.Call) else item) == "dataclasses.dataclass"
                    for item in node.decorator_list
                ),
            )
        )
        self.class_body(node)
        del self.scopes[-2:]

    def enum(self, node: ast.ClassDef) -> None:
        """An enum makes its members while the file is imported, and so runs what makes them."""
        for item in node.body if self.functions == 0 else ():
            if isinstance(item, ast.FunctionDef) and item.name in MAKES_MEMBERS and not self.is_short(item):
                self.refuse(item, "import-time", f"{item.name} runs while the file is imported; compute nothing in it")
        for base in node.bases if self.functions == 0 else ():
            kind = self.class_of(base)
            if kind is not None and not kind.is_simple:
                text = f"what makes a {ast.unparse(base)[:40]} runs while the file is imported; compute nothing there"
                self.refuse(base, "import-time", text)

    def is_short(self, node: ast.FunctionDef) -> bool:
        """Whether a function comes to an end soon, as it calls nothing but what may run while a file is imported."""
        return not any(
            isinstance(part, ast.While)
            or (
                isinstance(part, ast.Call)
                and not (isinstance(part.func, ast.Attribute) and part.func.attr in {*READS, "__init__"})
                and not self.is_harmless(part.func, self.full_name(part.func) or "")
                and self.full_name(part.func) != "super"
            )
            for part in ast.walk(node)
        )

    def base(self, node: ast.expr) -> None:
        """One base of a class. What it inherits it may use, so the base must be one that is meant for that."""
        if isinstance(node, ast.Call) and self.full_name(node.func) == bindings.NAMED_TUPLE:
            self.call(node)
            return
        if any(isinstance(part, (ast.Call, ast.Lambda, ast.Starred, ast.NamedExpr)) for part in ast.walk(node)):
            self.refuse(node, "class", "a base class is named, not computed")
        target = node.value if isinstance(node, ast.Subscript) else node
        full = self.full_name(target)
        is_known = full in BASES or (full or "").rpartition(".")[0] in BASE_MODULES or (full or "").startswith("bot.")
        if (full or "").startswith("contextlib.") and "Abstract" not in (full or ""):
            is_known = False
        is_own = isinstance(target, ast.Name) and target.id in self.classes
        if full == "type" or not (is_known or is_own or (full in BUILTINS and full in self.allowed.builtins)):
            self.refuse(
                node, "class", f"{ast.unparse(node)[:40]} is no base for a class here; hold one in an attribute"
            )
        if isinstance(node, ast.Subscript):
            with self.at_once(node):
                self.annotation(node)
        else:
            self.mention(node)

    def class_body(self, node: ast.ClassDef) -> None:
        """What stands in a class."""
        for index, item in enumerate(node.body):
            self.hidden_bindings(item)
            if SETTINGS & set(bound_by(item)):
                self.settings(item)
                continue
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self.field_name(item, item.target.id)
            match item:
                case ast.Expr(value=ast.Constant(value=value)):
                    if not (value is ... or isinstance(value, str)) or (index and value is ...):
                        self.refuse(item, "class", "an expression that stands alone does nothing; remove it")
                    self.text(item, value)
                case ast.Assign() | ast.AnnAssign():
                    for name in bound_by(item):
                        if name == "__tablename__":
                            self.table(item)
                        elif name == "__table_args__":
                            self.table_arguments(item)
                        elif name.isupper() and not self.is_safe_constant(node, item.value):
                            self.refuse(item, "format", f"{name} may be filled in by a base; write its text out")
                        elif name in CLASS_WORDS and not is_literal(item.value):
                            self.refuse(item, "dunder", f"{name} is written out, not computed")
                        elif (
                            name in CLOSED_ATTRIBUTES and not (name in COMMON and self.classes[node.name].is_rooted)
                        ) or (name.startswith("_") and name.endswith("_") and name[1:2] != "_"):
                            self.refuse(item, "attribute", f"{name} means something to others; choose another name")
                        elif self.is_same_method(name, item.value):
                            break  # __rmul__ = __mul__
                        elif name.startswith("__") and name.endswith("__") and name not in CLASS_WORDS:
                            self.refuse(item, "dunder", f"{name} may not be set; do without it")
                    else:
                        self.statement(item)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
                    self.statement(item)
                case _:
                    self.refuse(item, "class", "runs while the file is imported; put it into a method")

    def is_same_method(self, name: str, value: ast.expr | None) -> bool:
        """Whether a special method of the class gets a second name that is special too."""
        return (
            name in self.allowed.methods - EXITS
            and isinstance(value, ast.Name)
            and value.id in self.allowed.methods & self.methods_here()
        )

    def names_fixtures(self, node: ast.expr) -> bool:
        """Whether `usefixtures("a", "b")` asks for none that reach into the test run."""
        return isinstance(node, ast.Call) and all(
            isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value not in CLOSED_FIXTURES
            for one in (*node.args, *(keyword.value for keyword in node.keywords))
        )

    def is_safe_constant(self, node: ast.ClassDef, value: ast.expr | None) -> bool:
        """Whether a constant may stand in a class whose base might fill a constant of this name in with `format`."""
        full = {self.full_name(base) or "" for base in node.bases}
        if not any(not name or name.startswith("bot.") for name in full):
            return True
        match value:
            case None | ast.Dict() | ast.List() | ast.Set() | ast.Tuple():
                return True
            case ast.Constant(value=str(text)):
                return not FIELD.search(text)
            case ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                return True
            case ast.Call():
                return (self.full_name(value.func) or "") in self.allowed.at_import - PASSES_ON - {"str"}
        return False

    def may_hold_text(self, node: ast.stmt) -> bool:
        """Whether something in a class body binds names to what may be a text, the default of a field among it."""
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            return False
        held = [node.value]
        if isinstance(node.value, ast.Call) and self.full_name(node.value.func) in FIELDS:
            held = [*node.value.args[:1], *(one.value for one in node.value.keywords if one.arg in {None, "default"})]
        return not all(isinstance(one, ast.Constant) and not isinstance(one.value, (str, bytes)) for one in held)

    def is_member(self, node: ast.stmt) -> bool:
        """Whether something in the body of an enum is a member for sure."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=made)):
                return not name.startswith("_") and self.full_name(made) == "enum.auto"
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return not name.startswith("_") and is_literal(value)
        return False

    def decorator(self, node: ast.expr) -> None:
        """What stands behind @."""
        target = node.func if isinstance(node, ast.Call) else node
        name = self.full_name(target)
        if isinstance(target, ast.Attribute) and target.attr in {"setter", "deleter"}:
            own = self.scopes[-1].properties if self.scopes else ()
            if isinstance(target.value, ast.Name) and target.value.id in own and target is node:
                self.mention(target.value)
                return
        if self.is_wrapper(node):
            if isinstance(node, ast.Call):
                self.keywords(node)
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    self.expression(argument)
            return
        if isinstance(target, ast.Attribute) and target.attr == "register" and isinstance(target.value, ast.Name):
            one = target.value.id
            if one in self.dispatchers and not any(one in scope.names for scope in self.scopes):
                for argument in node.args if isinstance(node, ast.Call) else ():
                    self.typed(argument)
                return
        if name == decorators.WRAPS:
            match node:
                case ast.Call(args=[ast.Name() as wrapped], keywords=[]):
                    self.mention(target)
                    self.expression(wrapped)
                    if id(node) not in self.copying and not self.is_function_here(wrapped.id):
                        text = "wraps copies what a function says of itself, so it takes what stands below @ here; "
                        self.refuse(node, "decorator", f"{text}write `def decorate(function): @wraps(function) …`")
                case _:
                    self.refuse(node, "decorator", "wraps takes the function and no more: @wraps(function)")
            return
        if name is None or name not in self.allowed.decorators:
            instead = ON_METHOD if self.is_in_class() else "call the function where needed"
            self.refuse(node, "decorator", f"@{ast.unparse(target)[:60]} may not be used; {instead}")
            return
        if name == "pytest.mark.usefixtures" and not self.names_fixtures(node):
            self.refuse(node, "test", "usefixtures takes the names of fixtures, written out; test with plain values")
        self.mention(target)
        if isinstance(node, ast.Call):
            self.keywords(node)
            for keyword in node.keywords:
                if keyword.arg is None:
                    self.refuse(node, "decorator", "write the arguments of a decorator out")
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self.expression(argument)
