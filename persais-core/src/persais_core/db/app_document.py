"""What the project's schemas declare, on its way out of the process that imported them.

`describe` turns the metadata of imported schemas into a plain document. It runs wherever they are imported, which for
code that nobody has approved is the sandbox. `read` takes such a document from there and trusts nothing about it: a
name, type or value that is not on our lists is refused, so that what is made of the rest can be quoted and run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from persais_core.db import app_schema
from persais_core.db.app_schema import Column, Default, Enum, ForeignKey, Index, Schema, Table, Unique
from persais_core.domain.chats import Value

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy import Table as SqlTable

MAX_DOCUMENT = 400_000  # bytes
MAX_TABLES = 100
MAX_COLUMNS = 200
MAX_TEXT = 2_000  # characters of a default

TABLE = re.compile(r"agent_[a-z0-9_]{1,57}\Z")
# Unqualified names of the queue and the checkpoints are found after `public`, so no index may take one of those.
INDEX = re.compile(r"(ix_|uq_|idx_)?agent_[a-z0-9_]{1,57}\Z")
RESERVED_TYPES = ("pg_", "persais", "procrastinate", "checkpoint", "agent_")


def describe(metadata: MetaData) -> dict[str, Any]:
    """The declared tables as a document of plain JSON values, for `read`.

    It is not checked here: in a sandbox, whoever wrote the schemas could change this function's answer as well.
    """
    enums: dict[str, list[str]] = {}
    for table in metadata.tables.values():
        for column in table.columns:
            if name := _enum_name(column):
                enums[name] = [str(label) for label in getattr(column.type, "enums", ())]
    return {
        "tables": [_table_document(table) for table in metadata.tables.values()],
        "enums": [{"name": name, "labels": labels} for name, labels in sorted(enums.items())],
    }


def _table_document(table: SqlTable) -> dict[str, Any]:
    from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
    from sqlalchemy.dialects import postgresql

    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    keys = [column.name for column in table.primary_key.columns]
    counted = table.autoincrement_column
    uniques, references = [], []
    for constraint in sorted(table.constraints, key=lambda item: str(item.name)):
        if isinstance(constraint, UniqueConstraint):
            uniques.append({"name": constraint.name, "columns": [column.name for column in constraint.columns]})
        elif isinstance(constraint, ForeignKeyConstraint):
            references.append(
                {
                    "name": constraint.name,
                    "columns": [column.name for column in constraint.columns],
                    "table": constraint.elements[0].target_fullname.rpartition(".")[0],
                    "targets": [element.target_fullname.rpartition(".")[2] for element in constraint.elements],
                    "on_delete": constraint.ondelete,
                }
            )
    return {
        "name": table.fullname,
        "key": keys,
        "columns": [
            {
                "name": column.name,
                "type": _enum_name(column) or column.type.compile(dialect=dialect),
                "nullable": bool(column.nullable),
                "default": _server_default(column),
                "fill": _fill(column),
                "counted": column is counted,
                "computed": column.computed is not None,
            }
            for column in table.columns
        ],
        "indexes": [
            {
                "name": str(dialect.identifier_preparer.format_index(index)).strip('"'),
                "columns": [getattr(column, "name", None) for column in index.expressions],
                "unique": bool(index.unique),
                "plain": not any(value for key, value in index.dialect_kwargs.items() if value),
            }
            for index in sorted(table.indexes, key=lambda item: str(item.name))
        ],
        "uniques": uniques,
        "foreign_keys": references,
    }


def _enum_name(column: Any) -> str | None:
    """The type of a column that is an enum of the database."""
    from sqlalchemy import Enum as SqlEnum

    return str(column.type.name) if isinstance(column.type, SqlEnum) and column.type.native_enum else None


def _server_default(column: Any) -> Any:
    """The text of a default in the database, or None."""
    argument = getattr(column.server_default, "arg", None)
    if argument is None:
        return None
    if isinstance(argument, str):
        return {"text": argument}
    return {"sql": str(getattr(argument, "text", argument))}


def _fill(column: Any) -> Any:
    """What Python would give a new row, as a literal; None where it gives nothing that can be written down."""
    from datetime import date, datetime
    from enum import Enum as PyEnum

    if column.default is None or column.primary_key:
        return None
    value = column.default.arg
    if column.default.is_callable:
        try:
            value = value(None)
        except Exception:  # the schema's own function; without a value there is simply nothing to fill with
            return None
        if isinstance(value, (date, datetime)):
            return {"now": True}
    if isinstance(value, PyEnum):
        value = value.name if hasattr(column.type, "enums") else value.value
    if isinstance(value, bool):
        return {"text": "true" if value else "false"}
    if isinstance(value, bytes):
        return {"text": "\\x" + value.hex()}
    if isinstance(value, (dict, list)):
        return {"text": json.dumps(value)}
    if value is None or callable(value) or hasattr(value, "compile"):
        return None
    return {"text": str(value)}


class _Text(Value):
    text: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    sql: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    now: bool = False


Text = Annotated[str, Field(max_length=200)]
Names = Annotated[tuple[Text, ...], Field(max_length=32)]


class _Column(Value):
    name: Text
    type: Text
    nullable: bool
    default: _Text | None
    fill: _Text | None
    counted: bool
    computed: bool


class _Index(Value):
    name: Text
    columns: Annotated[tuple[Text | None, ...], Field(max_length=32)]
    unique: bool
    plain: bool


class _Unique(Value):
    name: Text | None
    columns: Names


class _Reference(Value):
    name: Text | None
    columns: Names
    table: Text
    targets: Names
    on_delete: Text | None


class _Table(Value):
    name: Text
    key: Names
    columns: Annotated[tuple[_Column, ...], Field(max_length=MAX_COLUMNS)]
    indexes: Annotated[tuple[_Index, ...], Field(max_length=50)]
    uniques: Annotated[tuple[_Unique, ...], Field(max_length=50)]
    foreign_keys: Annotated[tuple[_Reference, ...], Field(max_length=50)]


class _Enum(Value):
    name: Text
    labels: Annotated[tuple[Text, ...], Field(max_length=200)]


class _Document(Value):
    tables: Annotated[tuple[_Table, ...], Field(max_length=MAX_TABLES)]
    enums: Annotated[tuple[_Enum, ...], Field(max_length=MAX_TABLES)]


def read(document: bytes) -> Schema:
    """Take a document of `describe` from somebody who may have changed it.

    Args:
        document: UTF-8 JSON, at most `MAX_DOCUMENT` bytes.

    Raises:
        SchemaError: it is not such a document, or something in it cannot be a table of the bot; says what and what to
            do instead.
    """
    if len(document) > MAX_DOCUMENT:
        raise app_schema.SchemaError(
            f"the schemas together are larger than {MAX_DOCUMENT // 1000} kB; make them smaller"
        )
    try:
        found = _Document.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise app_schema.SchemaError(
            f"the schemas cannot be read ({place}: {first['msg']}); make them simpler"
        ) from None
    enums = tuple(_read_enum(enum) for enum in found.enums)
    names = {enum.name for enum in enums}
    own = [table for table in found.tables if table.name.startswith(app_schema.PREFIX)]
    tables = tuple(_read_table(table, names, {item.name for item in own}) for table in own)
    _refuse_twice("table", [table.name for table in tables])
    _refuse_twice("index", [name for table in tables for name in (*_index_names(table), table.key_name)])
    used = {column.type for table in tables for column in table.columns}
    foreign = tuple(sorted(table.name for table in found.tables if not table.name.startswith(app_schema.PREFIX)))
    for name in foreign:
        if not app_schema.NAME.match(name):
            raise app_schema.SchemaError(
                f"the table {_shown(name)} must be called {app_schema.PREFIX}…: set __tablename__"
            )
    return Schema(
        tables=tables, enums=tuple(enum for enum in enums if app_schema.ENUMS + enum.name in used), foreign=foreign
    )


def _index_names(table: Table) -> list[str]:
    return [part.name for part in table.parts]


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise app_schema.SchemaError(f"the {what} {name} is declared twice; give one of them another name")


def _read_enum(enum: _Enum) -> Enum:
    if not app_schema.NAME.match(enum.name) or enum.name.startswith(RESERVED_TYPES):
        raise app_schema.SchemaError(
            f"the enum {_shown(enum.name)} cannot be a type of the database; call its class differently"
        )
    for label in enum.labels:
        if not label.isprintable() or not 0 < len(label.encode()) <= app_schema.MAX_NAME:
            raise app_schema.SchemaError(f"the enum {enum.name} has a member that cannot be stored: {_shown(label)}")
    if not enum.labels or len(set(enum.labels)) != len(enum.labels):
        raise app_schema.SchemaError(f"the enum {enum.name} needs members, each of another name")
    return Enum(name=enum.name, labels=enum.labels)


def _read_table(table: _Table, enums: Collection[str], tables: Collection[str]) -> Table:
    name = table.name
    if not TABLE.match(name):
        raise app_schema.SchemaError(
            f"{_shown(name)} is no name for a table; use {app_schema.PREFIX} and a-z, 0-9 or _, at most 63 in all"
        )
    columns = tuple(_read_column(name, column, enums) for column in table.columns)
    known = [column.name for column in columns]
    _refuse_twice("column", [f"{name}.{column}" for column in known])
    if not table.key or not set(table.key) <= set(known):
        raise app_schema.SchemaError(f"{name} has no primary key; derive its class from Record")
    indexes = []
    for index in table.indexes:
        parts = [column for column in index.columns if column is not None]
        if not index.plain or len(parts) != len(index.columns) or not parts or not set(parts) <= set(known):
            raise app_schema.SchemaError(
                f"{name}: the index {_shown(index.name)} is more than plain columns; make it simpler"
            )
        if not INDEX.match(index.name):
            raise app_schema.SchemaError(
                f"{name}: the index {_shown(index.name)} must be called ix_{name}_… and its columns"
            )
        indexes.append(Index(name=index.name, columns=tuple(parts), is_unique=index.unique))
    uniques = []
    for unique in table.uniques:
        if not unique.columns or not set(unique.columns) <= set(known):
            raise app_schema.SchemaError(f"{name}: a unique constraint names a column that is not there; correct it")
        if unique.name is not None and not INDEX.match(unique.name):
            raise app_schema.SchemaError(
                f"{name}: the constraint {_shown(unique.name)} must be called uq_{name}_… and its columns"
            )
        uniques.append(
            Unique(
                name=unique.name or app_schema.short(f"{name}_{'_'.join(unique.columns)}_key"), columns=unique.columns
            )
        )
    return Table(
        name=name,
        columns=columns,
        key=table.key,
        key_name=app_schema.short(f"{name}_pkey"),
        indexes=tuple(indexes),
        uniques=tuple(uniques),
        foreign_keys=tuple(_read_reference(name, known, tables, item) for item in table.foreign_keys),
    )


def _read_column(table: str, column: _Column, enums: Collection[str]) -> Column:
    place = f"{table}.{column.name if app_schema.NAME.match(column.name) else _shown(column.name)}"
    if not app_schema.NAME.match(column.name):
        raise app_schema.SchemaError(f"{place} is no name for a column; use a-z, 0-9 and _, at most 63 characters")
    if column.computed:
        raise app_schema.SchemaError(f"{place}: a computed column cannot be kept here; compute it in Python")
    kind = app_schema.ENUMS + column.type if column.type in enums else app_schema.known_type(column.type)
    if kind is None:
        raise app_schema.SchemaError(
            f"{place}: the type {_shown(column.type)} cannot be stored; use str, int, float, bool, a date or time, "
            "Decimal, UUID, bytes, an enum, JSON or Vector"
        )
    default = None
    if column.default is not None:
        default = _read_default(column.default)
        if default is None or column.type in enums:
            raise app_schema.SchemaError(
                f"{place}: a default of the database must be a plain value; use default= instead"
            )
    fill = None if column.fill is None else _read_default(column.fill)
    return Column(
        name=column.name,
        type=kind,
        nullable=column.nullable,
        default=default,
        fill=fill,
        sequence=app_schema.short(f"{table}_{column.name}_seq")
        if column.counted and kind in app_schema.COUNTED
        else None,
    )


def _read_default(given: _Text) -> Default | None:
    """A literal, or None where it is none."""
    if given.now or (given.sql or "").strip().lower() in {"now()", "current_timestamp"}:
        return Default(is_now=True)
    text = given.text if given.text is not None else app_schema.literal(given.sql or "")
    return None if text is None or "\x00" in text else Default(text=text)


def _read_reference(table: str, known: Collection[str], tables: Collection[str], reference: _Reference) -> ForeignKey:
    if reference.table not in tables:
        raise app_schema.SchemaError(
            f"{table} refers to {_shown(reference.table)}, which is no table of the bot; do without it"
        )
    if (
        not reference.columns
        or len(reference.columns) != len(reference.targets)
        or not set(reference.columns) <= set(known)
        or not all(app_schema.NAME.match(name) for name in reference.targets)
    ):
        raise app_schema.SchemaError(
            f"{table}: a reference to {reference.table} names a column that is not there; correct it"
        )
    if reference.name is not None and not app_schema.NAME.match(reference.name):
        raise app_schema.SchemaError(
            f"{table}: {_shown(reference.name)} is no name for a reference; leave the name out"
        )
    action = (reference.on_delete or "NO ACTION").upper()
    if action not in {"NO ACTION", "RESTRICT", "CASCADE", "SET NULL"}:
        raise app_schema.SchemaError(
            f"{table}: {_shown(action)} cannot follow a removal; use CASCADE, SET NULL or RESTRICT"
        )
    return ForeignKey.model_validate(
        {
            "name": reference.name or app_schema.short(f"{table}_{'_'.join(reference.columns)}_fkey"),
            "columns": reference.columns,
            "table": reference.table,
            "targets": reference.targets,
            "on_delete": action,
        }
    )


def _shown(text: str) -> str:
    """A name nobody has checked, so that nothing hides in a sentence."""
    return ascii(text[:60])
