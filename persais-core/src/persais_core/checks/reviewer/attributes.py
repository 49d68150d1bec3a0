"""What may be reached behind a dot, and what may be set there."""

from __future__ import annotations

import ast
import re

from persais_core.checks.reviewer import bindings, characters, sizes, strangers
from persais_core.checks.reviewer.aliases import LOWER_CASE
from persais_core.checks.reviewer.bindings import COMMON
from persais_core.checks.reviewer.imports import Imports
from persais_core.checks.reviewer.templates import FIELD

# Frames, code objects and other doors to everything, and what reaches past a record's own rows.
CLOSED_ATTRIBUTES = {
    *("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_origin", "cr_await", "ag_frame", "ag_code"),
    *("ag_await", "f_globals", "f_locals", "f_builtins", "f_back", "f_code", "f_trace", "tb_frame", "tb_next"),
    *("co_code", "co_consts", "co_names", "mro", "func_globals", "func_code", "format_map", "with_traceback"),
    *("parse_raw", "parse_file", "from_orm", "model_rebuild", "update_forward_refs", "metadata", "registry"),
    *("get_loop", "get_event_loop", "get_coro", "get_context", "modules", "obj", "dispatch", "fget", "fset", "fdel"),
    # fields as pydantic keeps them hold the annotation, and that can be `type`
    *(
        "model_config",
        "model_fields",
        "model_computed_fields",
        "model_construct",
        "model_parametrized_name",  # names what is then found at the top of the file
        "annotation",
        "rebuild_annotation",
        "return_type",
    ),
    # sets what is named in a text, on whatever hangs on a stand-in
    *("configure_mock", "mock_add_spec", "attach_mock"),
    *("wrapped_property", "loggerDict", "get_stack", "print_stack", "traceback", "tb", "eval", "exec"),
    "push_async_exit",  # keeps a turn from ending
    # of an event loop, however somebody came by one
    *("subprocess_exec", "subprocess_shell", "run_in_executor", "connect_read_pipe", "connect_write_pipe"),
    *("create_datagram_endpoint", "create_unix_connection", "create_unix_server", "sendfile", "sock_connect"),
    *("add_reader", "add_writer", "add_signal_handler", "set_exception_handler", "set_task_factory"),
    *("set_default_executor", "call_soon_threadsafe", "call_exception_handler", "shutdown_default_executor"),
}
LOG_METHODS = {"critical", "debug", "error", "exception", "info", "isEnabledFor", "log", "warning"}
OPEN_MARKS = {"parametrize", "asyncio", "usefixtures"}
# Private names that a test may ask a class of the project for: none by which libraries know their own.
TESTED = re.compile(r"_(?!sa_|abc_|mock_|spec_)[a-z0-9][a-z0-9_]*[a-z0-9]")
# Special attributes that hold texts, or the members of an enum.
TELLING = {"__doc__", "__qualname__", "__members__"}
# What a named tuple can be asked for.
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
# Methods that do more by what they are called with, so they are called where they stand and never carried about.
CALLED_WHERE_TAKEN = {"copy", "format", "model_copy"}
# Methods that begin work which goes on in a context, and are told which.
STARTS = {"add_done_callback", "create_task"}
# Methods of columns that take a text for SQL.
SQL_OPERATORS = {"op", "bool_op"}
# Private names by which SQLAlchemy, abc and enum know their own.
PRIVATE_OF_OTHERS = re.compile(r"_sa_|_abc_|_.*_$")


class Attributes(Imports):
    """Judges attributes."""

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
        if isinstance(base, ast.Name) and self.is_logger(base) and node.attr not in LOG_METHODS:
            self.refuse(node, "attribute", f"{base.id}.{node.attr} may not be used; log with it: {base.id}.info(…)")
        full = self.full_name(node) or ""
        if full.startswith("pytest.mark."):
            if full.removeprefix("pytest.mark.") not in OPEN_MARKS:
                self.refuse(node, "test", f"{full} may not be used; every test runs and must pass")
            return
        if node.attr.isupper() and not isinstance(node.ctx, ast.Load):
            self.refuse(node, "store", f"{node.attr} is a constant; write its value in the class")
        is_on_super = isinstance(base, ast.Call) and self.full_name(base.func) == "super"
        if not isinstance(node.ctx, ast.Load) and isinstance(base, ast.Name) and base.id in {"cls", self.inside()}:
            self.class_attribute(node)
        if node.attr in {"__init__", "__post_init__"} and not is_on_super:
            self.refuse(node, "dunder", f"{node.attr} is only called on super()")
        if is_on_super:
            self.supers.add(id(base))
            if not self.is_first("self") and self.has_method(node.attr):
                self.refuse(node, "private", f"{node.attr} is a method; call it on an instance, not through the class")
        if is_on_super and node.attr in self.allowed.methods:
            self.expression(base)  # what this class does in another way than its base
            return
        is_tested = TESTED.fullmatch(node.attr) and self.is_subject(base)
        if not is_tested:
            of_self = isinstance(base, ast.Name) and self.is_own(base.id, node.attr)
            self.attribute_name(node, node.attr, of_self=of_self, is_made=self.is_made_here(base))
        owner = self.class_of(base) if isinstance(node.ctx, ast.Load) else None
        if isinstance(base, ast.Name) and base.id == "cls":
            owner = bindings.Class(frozenset(name for one in self.classes.values() for name in one.methods))
        if owner and node.attr in owner.methods:
            self.refuse(node, "private", f"{node.attr} is a method; call it on an instance, not through the class")
        if node.attr == "format":
            templates = self.templates.texts(base, self.variables())
            if templates is None:
                self.refuse(node, "format", "a computed template can reach anything; use an f-string")
            elif any(FIELD.search(template) for template in templates):
                self.refuse(node, "format", "a template that looks into a value; use an f-string")
            elif any(sizes.FIELD_WIDTH.search(template) for template in templates):
                self.refuse(node, "size", "this width fills the memory; choose a smaller one")
        if not isinstance(node.ctx, ast.Load) and isinstance(base, ast.Name) and base.id in self.names:
            self.refuse(node, "module", f"{base.id} belongs to everybody; do not set {node.attr} on it")
        elif not isinstance(node.ctx, ast.Load) and not (
            self.may_be_set(base) or self.is_field(base, node.attr) or self.is_of_double(node.attr)
        ):
            self.refuse(node, "store", f"{node.attr} may only be set on self, on a record and on what is made here")
        is_looked_up = isinstance(base, ast.Name) and base.id in self.kinds and node.attr == "get"
        is_named = isinstance(base, ast.Name) and (base.id == "cls" or self.is_logger(base))
        if self.class_of(base) or is_looked_up or is_named:
            self.mention(base)
        else:
            self.expression(base)

    def has_method(self, name: str) -> bool:
        """Whether a class of the project, as far as this file knows, has a method of that name."""
        return any(name in one.methods for one in (*self.classes.values(), *self.abroad.values()))

    def class_attribute(self, node: ast.Attribute) -> None:
        """What is set on a class: a name under which nobody looks for a type, as texts in annotations name them."""
        is_type = node.attr.lstrip("_")[:1].isupper() or any(one.endswith(f".{node.attr}") for one in LOWER_CASE)
        if is_type or node.attr in bindings.BUILTINS:
            self.refuse(node, "store", f"{node.attr} reads as the name of a type; choose another name")

    def taken(self, node: ast.AST, name: str) -> None:
        """The name of an attribute that is taken out of something: it may not be that of a class within another."""
        kind = self.class_of(ast.Attribute(ast.Constant(None), name, ast.Load()))
        if kind and (kind.is_guarded or kind.makes_classes):
            self.refuse(node, "private", f"{name} has private attributes: make one, do not pass the class on")

    def is_own_method(self, node: ast.Attribute) -> bool:
        """Whether something is a method of the class we are in, asked of its instance."""
        base = node.value
        owner = self.classes.get(self.inside())
        is_self = isinstance(base, ast.Name) and base.id == "self" and self.is_first("self")
        return is_self and owner is not None and owner.is_rooted and node.attr in owner.methods

    def is_logger(self, node: ast.Name) -> bool:
        """Whether a name stands for the file's logger, which hangs together with those of the bot."""
        return node.id in self.loggers and not any(scope.is_function and node.id in scope.sure for scope in self.scopes)

    def is_own(self, name: str, attribute: str) -> bool:
        """Whether a name is what a method is called on, or was asked whether it is an instance of the same class."""
        if self.is_first(name) or (name == self.inside() and not attribute.startswith("__")):
            return True
        for scope in reversed(self.scopes):
            if scope.is_function and name in scope.names:
                return name in scope.instances and name in scope.sure
        return False

    def may_be_set(self, base: ast.expr) -> bool:
        """Whether attributes may be set on a value: it is ours, not something that the bot has handed in."""
        root = base
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        if self.flow is None or not isinstance(root, ast.Name):
            return False
        if root.id in {"self", "cls"} or self.owner(root.id):
            if root.id != "self":
                kind = self.classes.get(self.owner(root.id))
                is_known = root.id in {"cls", self.inside()}
                return is_known and isinstance(base, ast.Name) and bool(kind and kind.is_rooted and not kind.is_enum)
            return self.is_first("self") and not self.flow.is_foreign(base)
        return root.id in self.flow.local and not self.flow.is_foreign(base)

    def is_field(self, base: ast.expr, name: str) -> bool:
        """Whether a name is that of a field of a class of this file, and of nothing that a stranger has."""
        return (
            isinstance(base, ast.Name)
            and self.flow is not None
            and base.id in self.flow.local - self.flow.handed - {"self", "cls"}
            and name in self.fields - strangers.NAMES
        )

    def inside(self) -> str:
        """The class of this file in a method of which we are; an empty string elsewhere."""
        found = next((scope.owner for scope in reversed(self.scopes) if scope.owner), "")
        return found if found and self.owner(found) else ""

    def is_subject(self, node: ast.expr) -> bool:
        """Whether a value in a test is a class of the project, or surely an instance of one: what is tested."""
        if not self.is_test:
            return False
        match node:
            case ast.Call(func=made):
                return self.is_class_of_project(made)
            case ast.Name(id=name):
                for scope in reversed(self.scopes):
                    if scope.is_function and name in scope.names:
                        found = scope.bound.get(name, [])
                        is_given = name in scope.steady and name in self.subjects
                        return is_given or (bool(found) and all(self.is_subject(one) for one in found))
                return self.is_class_of_project(node)
        return False

    def is_class_of_project(self, node: ast.expr) -> bool:
        """Whether a name stands for a class that a file of the project makes."""
        full = self.full_name(node) or ""
        return full.startswith("bot.") and full.rpartition(".")[2][:1].isupper()

    def is_of_double(self, name: str) -> bool:
        """Whether a name is one that stand-ins of `unittest.mock` have and nothing else has."""
        return self.is_test and name in {"return_value", "side_effect"}

    def is_plain_self(self, of_self: bool) -> bool:
        """Whether an attribute is one of an instance whose class has nothing but what stands in this file."""
        inside = next((scope for scope in reversed(self.scopes) if scope.owner), None)
        return of_self and inside is not None and self.classes[inside.owner].is_rooted

    def is_made_here(self, node: ast.expr) -> bool:
        """Whether a variable holds what was made of a class of this file just here, and nothing else."""
        if not isinstance(node, ast.Name):
            return False
        inside = next((scope for scope in reversed(self.scopes) if node.id in scope.names), None)
        found = inside.bound.get(node.id, []) if inside and inside.is_function else []
        return bool(found) and all(
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Name)
            and one.func.id in self.types
            and self.owner(one.func.id) == one.func.id
            and self.classes[one.func.id].is_rooted
            for one in found
        )

    def has_records(self) -> bool:
        """Whether there may be records in this file, or classes of them."""
        return any(
            one.startswith(("bot.", "sqlmodel", "sqlalchemy", "persais_core.Record")) or one == "persais_core"
            for one in (*self.modules.values(), *self.names.values())
        )

    def attribute_name(self, node: ast.AST, name: str, *, of_self: bool, is_made: bool = False) -> None:
        """The y of `x.y`, wherever it stands."""
        if not characters.is_name(name):
            self.refuse(node, "name", f"{name!a} mixes letters or looks like another name; use a-z, 0-9 and _")
        elif name.startswith("__") and not name.endswith("__") and of_self and name in self.own:
            return  # private to a class, by the name that Python gives it there
        elif name.startswith("__"):
            is_read = isinstance(getattr(node, "ctx", None), ast.Load)
            if name not in {"__name__", "__init__", "__post_init__"} and not (is_read and name in TELLING):
                self.refuse(node, "dunder", f"{name} may not be used; do without it")
        elif name in NAMED_TUPLE:
            return
        elif name.startswith("_") and not (of_self and name in self.own and not PRIVATE_OF_OTHERS.match(name)):
            self.refuse(node, "private", f"{name} is private to somebody else; use what is public")
        elif name in CLOSED_ATTRIBUTES and not (name in COMMON & self.own and (self.is_plain_self(of_self) or is_made)):
            instead = f"ask self.{name} in a method of its class" if name in COMMON & self.own else "do without it"
            self.refuse(node, "attribute", f".{name} may not be used; {instead}")
