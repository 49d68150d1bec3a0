"""The fields of schemas and models. SQLAlchemy calls some of what stands there with an open connection."""

from __future__ import annotations

import ast
import re

from persais_core.checks.reviewer import bindings
from persais_core.checks.reviewer.calls import Calls
from persais_core.checks.reviewer.models import ALIASES
from persais_core.checks.reviewer.names import GENERIC_BUILTINS
from persais_core.checks.reviewer.nodes import called, is_literal, values_of

TABLE_PARTS = {"sqlalchemy.UniqueConstraint", "sqlalchemy.Index", "sqlalchemy.CheckConstraint"}


class Fields(Calls):
    """Judges fields, columns and tables."""

    def field(self, node: ast.Call, *, is_dataclass: bool) -> None:
        """`Field(…)` behind the type of a field. SQLAlchemy calls some of its arguments with an open connection."""
        name = self.full_name(node.func)
        if name == "dataclasses.field" and not is_dataclass:
            self.refuse(node, "class", "field(…) stands in a dataclass")
        self.mention(node.func)
        self.keywords(node)
        self.pattern_text(node, name)
        for argument in node.args:
            self.expression(argument)
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg in ALIASES:
                self.alias(value)
                continue
            match keyword.arg:
                case None | "sa_column_args" | "schema_extra":
                    self.refuse(node, "schema", f"{keyword.arg or '**'} may not be used in a field")
                case "sa_column":
                    self.column(value)
                case "sa_column_kwargs" if not is_literal(value):
                    self.refuse(value, "schema", "sa_column_kwargs holds plain values only, written out")
                case "sa_type" if not (self.full_name(called(value)) or "").startswith(("sqlalchemy.", "pgvector.")):
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
            if not is_literal(keyword.value) and (self.full_name(called(keyword.value)) or "").partition(".")[0] != (
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

    def default(self, node: ast.expr) -> None:
        """What a column holds when nothing is said. SQLAlchemy calls what can be called, with an open connection."""
        if not self.is_plain(node):
            self.refuse(node, "schema", f"{ast.unparse(node)[:40]} is no plain default; write the value out")

    def table_arguments(self, node: ast.Assign | ast.AnnAssign) -> None:
        """Constraints and indexes of a schema: a tuple of them, with names that are written out, and no settings."""
        owner = next((scope for scope in reversed(self.scopes) if scope.owner), None)
        items = node.value.elts if isinstance(node.value, ast.Tuple) else []
        if owner is None or not owner.is_record or not items:
            self.refuse(node, "schema", "__table_args__ of a schema is a tuple of constraints and indexes")
        for item in items:
            if not (isinstance(item, ast.Call) and self.full_name(item.func) in TABLE_PARTS):
                text = "in __table_args__ stand UniqueConstraint(…), Index(…) and CheckConstraint(…), and no settings"
                self.refuse(item, "schema", text)
            elif not all(isinstance(one, ast.Constant) for one in (*item.args, *values_of(item))) or not (
                {keyword.arg for keyword in item.keywords} <= {"name", "unique"}
            ):
                self.refuse(item, "schema", "columns and name= of a constraint are texts, written out")

    def table(self, node: ast.Assign | ast.AnnAssign) -> None:
        """The table of a schema: one of the bot's own."""
        value = node.value
        if not (isinstance(value, ast.Constant) and re.fullmatch(r"agent_[a-z0-9_]{1,50}", str(value.value))):
            self.refuse(node, "schema", "a table is called agent_ and the schema's name")
