"""What makes a library look for names that a file computes, or evaluate texts that it was handed.

pydantic reads attributes by the names that stand in a model's settings and aliases, and takes texts behind the name of
a generic model for types, which it evaluates. So settings and aliases are written out, and an alias is held against the
same rules as a name behind a dot. Other libraries believe what an object says of itself, under names with two
underscores; so nothing is made here whose attributes are named by data: no keywords from a dictionary for a namespace
or a node of a syntax tree, and none for a copy of a model.
"""

from __future__ import annotations

import ast

from persais_core.checks.reviewer import bindings, kinds
from persais_core.checks.reviewer.annotations import Annotations
from persais_core.checks.reviewer.attributes import CALLED_WHERE_TAKEN, SQL_OPERATORS
from persais_core.checks.reviewer.bindings import BUILTINS, COMMON
from persais_core.checks.reviewer.nodes import is_literal

# Names under which pydantic finds the settings of a model in the body of a class, and of those it is made from.
SETTINGS = {"model_config", "Config"}
SETTINGS_MAKER = "pydantic.ConfigDict"
# What may be set behind the name of a class, besides what `ConfigDict` takes.
CLASS_SETTINGS = {"table", "total", "boundary"}
OPEN_SETTINGS = {
    *("allow_inf_nan", "arbitrary_types_allowed", "coerce_numbers_to_str", "extra", "frozen", "hide_input_in_errors"),
    *("json_encoders", "json_schema_extra", "loc_by_alias", "populate_by_name", "regex_engine", "revalidate_instances"),
    *("ser_json_bytes", "ser_json_inf_nan", "ser_json_timedelta", "str_max_length", "str_min_length"),
    *("str_strip_whitespace", "str_to_lower", "str_to_upper", "strict", "title", "use_attribute_docstrings"),
    *("use_enum_values", "val_json_bytes", "validate_assignment", "validate_by_alias", "validate_by_name"),
    *("serialize_by_alias", "validate_default", "validate_return", "validation_error_cause", "protected_namespaces"),
}
# Arguments by which names, or texts to be filled in, are chosen that nobody sees.
CLOSED_ARGUMENTS = {"from_attributes", "orm_mode", "alias_generator", "schema_generator", "ref_template"}
ALIASES = {"alias", "validation_alias", "serialization_alias"}
# What may stand behind the type in Annotated[…]. pydantic asks everything else there what it wants to be.
MARKS = {
    "pydantic.AfterValidator",
    "pydantic.BeforeValidator",
    "pydantic.PlainSerializer",
    "pydantic.StringConstraints",
}
# Types of fields that cannot hold a method.
PLAIN_TYPES = {
    *("str", "int", "float", "bool", "bytes", "list", "dict", "tuple", "set", "frozenset", "datetime.date"),
    *("typing.Optional", "typing.Union", "typing.ClassVar", "typing.Final", "typing.List", "typing.Dict"),
    *("decimal.Decimal", "datetime.datetime"),
}
NAMESPACE = "types.SimpleNamespace"


class Models(Annotations):
    """Judges settings and aliases of models, and what is made by keywords."""

    # --- settings ---

    def settings(self, node: ast.stmt) -> None:
        """What a class body binds to a name under which pydantic looks for settings."""
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="model_config")], value=ast.Call(args=[]) as made)
                | ast.AnnAssign(target=ast.Name(id="model_config"), value=ast.Call(args=[]) as made)
            ) if self.full_name(made.func) == SETTINGS_MAKER:
                if isinstance(node, ast.AnnAssign):
                    self.annotation(node.annotation)
                self.expression(made)
                for keyword in made.keywords:
                    if keyword.arg not in OPEN_SETTINGS or not (
                        is_literal(keyword.value) or keyword.arg == "json_encoders"
                    ):
                        text = f"{keyword.arg or '**'} may not be set so; write a plain setting, or alias= in the field"
                        self.refuse(keyword.value, "schema", text)
            case _:
                text = "settings of a model are written out: `model_config = ConfigDict(frozen=True)`"
                self.refuse(node, "schema", text)

    def class_settings(self, node: ast.ClassDef) -> None:
        """What stands behind the bases of a class: `class Note(Record, table=True)`."""
        for one in node.keywords:
            name = one.arg or "**"
            if (
                one.arg == "metaclass"
                or not isinstance(one.value, ast.Constant)
                or (name not in OPEN_SETTINGS | CLASS_SETTINGS)
            ):
                self.refuse(node, "class", f"{name}: only plain values such as table=True may stand here")

    def hidden_bindings(self, item: ast.stmt) -> None:
        """A class body binds names by statements, so that all of them can be judged."""
        match item:
            case ast.Assign(value=value):
                parts: list[ast.AST] = [value]
            case ast.AnnAssign(value=value, annotation=annotation):
                parts = [annotation, *([value] if value else [])]
            case _:
                parts = [item]
        plain = set(bindings.stored(*parts, in_loops=False)) - {getattr(item, "name", "")}
        if plain:
            self.refuse(item, "class", f"{', '.join(sorted(plain))} is bound in passing; give it a line of its own")

    # --- aliases and fields ---

    def alias(self, node: ast.expr) -> None:
        """The name under which a field is found: written out, and one that might stand behind a dot."""
        match node:
            case ast.Constant(value=str(name)):
                self.alias_name(node, name)
            case ast.Constant(value=None):
                return
            case ast.Call(args=names, keywords=[]) if self.full_name(node.func) == "pydantic.AliasChoices":
                for one in names:
                    match one:
                        case ast.Constant(value=str(name)):
                            self.alias_name(one, name)
                        case _:
                            self.refuse(one, "schema", "the names of an alias are texts, written out")
            case _:
                self.refuse(node, "schema", "an alias is a text that is written out, or AliasChoices of such texts")

    def alias_name(self, node: ast.expr, name: str) -> None:
        """One alias."""
        inside = next((scope for scope in reversed(self.scopes) if scope.owner), None)
        is_plain_model = inside is not None and not inside.is_record
        if name.startswith("_"):
            self.refuse(node, "private", f"{name} is private to somebody else; choose another alias")
        elif name in CALLED_WHERE_TAKEN:
            self.refuse(node, "attribute", f"{name} is a method of others; choose another alias")
        elif name.isidentifier() and name.isascii() and not (name in COMMON and is_plain_model):
            self.attribute_name(node, name, of_self=False)

    def field_name(self, item: ast.AnnAssign, name: str) -> None:
        """A field with the name of a method that is only called where it stands: it may not come to hold that."""
        if name in CALLED_WHERE_TAKEN and not self.is_plain_type(item.annotation):
            self.refuse(item, "attribute", f"{name} is a method of others; give it a plain type or another name")

    def is_plain_type(self, node: ast.expr) -> bool:
        """Whether a type is one of texts, numbers and the like, and of nothing that can be called."""
        match node:
            case ast.Subscript(value=value) if self.full_name(value) == "typing.Literal":
                return True
            case ast.Subscript(value=value, slice=ast.Tuple(elts=[first, *_])) if (
                self.full_name(value) == "typing.Annotated"
            ):
                return self.is_plain_type(first)
            case ast.Subscript(value=value, slice=inner):
                return self.is_plain_type(value) and self.is_plain_type(inner)
            case ast.Tuple(elts=items):
                return all(map(self.is_plain_type, items))
            case ast.BinOp(left=left, right=right):
                return self.is_plain_type(left) and self.is_plain_type(right)
            case ast.Name() | ast.Attribute():
                kind = self.class_of(node)
                return self.full_name(node) in PLAIN_TYPES or (kind is not None and kind.is_enum)
        return isinstance(node, ast.Constant) and node.value is None

    def mark(self, node: ast.expr) -> None:
        """What stands behind the type in `Annotated[…]`."""
        match node:
            case ast.Constant():
                self.expression(node)
            case ast.Call(args=[*given], keywords=keywords) if self.full_name(node.func) in MARKS:
                self.expression(node)
                if self.full_name(node.func) == "pydantic.PlainSerializer":
                    self.serializer(node)
                if len(given) > 1 or any(keyword.arg is None for keyword in keywords):
                    self.refuse(node, "annotation", "name the arguments: PlainSerializer(function, return_type=str)")
            case _:
                text = f"{ast.unparse(node)[:40]} may not stand in Annotated; write Field(…) or a validator there"
                self.refuse(node, "annotation", text)
                self.expression(node)

    def serializer(self, node: ast.Call) -> None:
        """`PlainSerializer(function)`: what the function says that it returns is evaluated with the model."""
        if any(one.arg == "return_type" for one in node.keywords):
            return
        named = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "func")]
        for one in named:
            full = self.full_name(one) or ""
            if isinstance(one, ast.Lambda) or (full and not full.startswith("bot.")):
                continue
            function = self.functions_at_top.get(one.id) if isinstance(one, ast.Name) and not full else None
            if function is None or any(one.id in scope.names for scope in self.scopes if isinstance(one, ast.Name)):
                self.refuse(node, "annotation", "say what it returns: PlainSerializer(function, return_type=str)")
            elif function.returns is not None:
                outside, self.scopes = self.scopes, []
                with self.at_once(node):
                    self.annotation(function.returns)
                self.scopes = outside

    def open_generic(self, node: ast.Subscript) -> None:
        """`Box[…]` as a value. With a type variable it is `Box` again, and what comes in its brackets is evaluated."""
        kind = self.class_of(node.value)
        if kind is None or not kind.makes_classes:
            return
        for part in ast.walk(node.slice):
            if isinstance(part, ast.Name) and not self.is_closed_type(part):
                shown = ast.unparse(node)[:40]
                self.refuse(node, "class", f"{shown} still makes classes; name a type in the brackets, as Box[int]")

    def is_closed_type(self, node: ast.Name) -> bool:
        """Whether a name stands for a class, and for no type variable."""
        full = self.full_name(node) or ""
        if full.startswith("bot."):
            return node.id in self.abroad or self.project.takes_for_class(full)
        return node.id in self.classes or (bool(full) and full != "typing.AnyStr")

    # --- things made by keywords ---

    def made_by_keywords(self, node: ast.Call, name: str | None) -> None:
        """A call whose keywords become attributes."""
        function = node.func
        attr = function.attr if isinstance(function, ast.Attribute) and name is None else ""
        if name == NAMESPACE or kinds.is_node_kind(name or ""):
            is_spread = any(one.arg is None or one.arg.startswith("_") for one in node.keywords)
            is_starred = any(isinstance(one, ast.Starred) for one in node.args)
            if is_spread or is_starred or (node.args and name == NAMESPACE):
                self.refuse(node, "attribute", "attributes are named one by one here; write the names out")
        is_ours = isinstance(function, ast.Name) and (
            name in BUILTINS or (function.id in self.shared and name is None) or (name or "").startswith("bot.")
        )
        is_ours = is_ours or (
            attr not in CALLED_WHERE_TAKEN and any(attr in one.methods for one in self.classes.values())
        )
        for one in node.keywords:
            if one.arg in CLOSED_ARGUMENTS:
                self.refuse(node, "schema", f"{one.arg} may not be used; write the fields out")
            elif one.arg is None and attr in CALLED_WHERE_TAKEN - {"format"}:
                self.refuse(node, "attribute", f"the arguments of {attr} are written out")
            elif one.arg == "update" and not is_ours and not _is_plain_update(one.value):
                self.refuse(one.value, "attribute", "what a copy changes is written out: update={'title': title}")
        if attr in SQL_OPERATORS and not any(attr in one.methods for one in self.classes.values()):
            self.refuse(node, "schema", f"{attr} of a column takes SQL; compare values in Python")
        if attr == "register" and isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            base = self.full_name(function.value) or ""
            is_imported = base.startswith("bot.") and base.rpartition(".")[2][:1].islower()
            if function.value.id in self.dispatchers or is_imported:
                self.refuse(node, "decorator", "register stands behind @, on a function that is written out")


def _is_plain_update(node: ast.expr) -> bool:
    """Whether the changes of a copy are a dictionary with keys that are written out and public."""
    match node:
        case ast.Constant():
            return True
        case ast.Dict(keys=keys):
            return all(
                isinstance(key, ast.Constant) and isinstance(key.value, str) and not key.value.startswith("_")
                for key in keys
            )
    return False
