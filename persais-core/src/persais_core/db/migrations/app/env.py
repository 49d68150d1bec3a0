"""Alembic's environment of a bot's track: one connection and the bot's tables, both handed in."""

from typing import Any

from alembic import context

from persais_core.db import app_migrations


def _object(thing: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    # A table nobody declares is the core's, another program's, or a removed schema's: none is ours to drop.
    return not (kind == "table" and reflected and compare_to is None)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    version_table=app_migrations.VERSION_TABLE,
    version_table_schema=app_migrations.VERSION_SCHEMA,
    include_object=_object,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
