"""What the types of columns have to do with each other: which has room for another, and what stands for nothing in one.

Types are called as `app_schema` calls them, as Postgres shows them.
"""

from __future__ import annotations

from persais_core.db import app_schema
from persais_core.db.app_schema import Column, Default, Schema

WIDENS = {
    ("smallint", "integer"), ("smallint", "bigint"), ("integer", "bigint"), ("real", "double precision"),
    ("character varying", "text"), ("json", "jsonb"),
}  # fmt: skip
"""Changes of a type after which every old value is still there as it was."""


def is_wider(old: str, new: str) -> bool:
    """Whether a type has room for all that another one holds, and is another one."""
    base, _, size = old.partition("(")
    new_base, _, new_size = new.partition("(")
    if base == new_base == "character varying":
        return not new_size or (bool(size) and int(size[:-1]) < int(new_size[:-1]))
    return (base, new_base) in WIDENS


_ZEROS = {
    "boolean": "false", "smallint": "0", "integer": "0", "bigint": "0", "real": "0", "double precision": "0",
    "numeric": "0", "text": "", "character varying": "", "interval": "0", "bytea": "", "json": "{}",
    "jsonb": "{}", "uuid": "00000000-0000-0000-0000-000000000000", "time without time zone": "00:00",
    "time with time zone": "00:00+00",
}  # fmt: skip


def zero(column: Column, schema: Schema) -> Default:
    """What stands in a field that must not be empty and that nobody fills any more."""
    if column.default is not None:
        return column.default
    base, _, size = column.type.partition("(")
    if base in _ZEROS:
        return Default(text=_ZEROS[base])
    if base == "vector" and size:
        return Default(text="[" + ",".join("0" * int(size[:-1])) + "]")
    if (enum := schema.enum(column.type)) is not None:
        return Default(text=enum.labels[0])
    if base == "date" or base.startswith("timestamp"):
        return Default(is_now=True)
    raise app_schema.SchemaError(
        f"the field {column.name} of type {column.type} cannot be let go of here; write a migration by hand"
    )
