"""Alembic's environment of the core track: one connection, handed in; only schema `persais`."""

from typing import Any

from alembic import context

from persais_core.db import tables
from persais_core.db.tables.base import SCHEMA


def _ours(name: str | None, type_: str, parent_names: Any) -> bool:
    return name == SCHEMA if type_ == "schema" else True


def _object(thing: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    return not (type_ == "table" and str(name).startswith("alembic_version"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.METADATA,
    version_table="alembic_version_core",
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=_ours,
    include_object=_object,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
