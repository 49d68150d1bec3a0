"""The steps between two schemas as SQL, written by us from checked values: up, down, and up again.

Nothing that somebody else wrote stands in it but names, types and literals that `app_document.read` let pass, and those
are quoted here. What is written here is what is proven, stored and run, to the letter.

`definitions` writes what defines a table, `attic` what moves something out of the way and back, `carrying` what keeps
two columns the same, `steps` joins them to one function for each kind of step, and here they become the scripts of a
whole change.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from persais_core.db.app_schema import Schema
from persais_core.db.app_sql.attic import ATTIC, KEPT_DAYS, needs_attic, purge
from persais_core.db.app_sql.carrying import FUNCTION, couple
from persais_core.db.app_sql.definitions import UNSEEN, add_reference, create_enum, create_part, create_table
from persais_core.db.app_sql.steps import STEPS
from persais_core.db.app_steps import Operation
from persais_core.domain.chats import Value

__all__ = ["ATTIC", "KEPT_DAYS", "Migration", "Script", "create", "needs_attic", "purge", "write"]


class Script(Value):
    """Some steps as SQL.

    Args:
        up: makes them.
        down: takes them back and keeps what they made.
        again: makes them after a `down`, with what that kept.
        tag: names what lies in the attic because of them.
    """

    up: str = ""
    down: str = ""
    again: str = ""
    tag: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.up)


class Migration(Value):
    """What one change does to the tables.

    Args:
        operations: all steps, in their order.
        safe: runs before the new release is proven.
        lossy: has its own tap, and runs after the new release is confirmed.
    """

    operations: tuple[Operation, ...] = ()
    safe: Script = Script()
    lossy: Script = Script()

    @property
    def losses(self) -> tuple[Operation, ...]:
        """The steps of this change that lose or bind data."""
        return tuple(step for step in self.operations if step.is_lossy and not step.is_left)

    @property
    def left(self) -> tuple[Operation, ...]:
        """The steps that do so too, and that an earlier change has left."""
        return tuple(step for step in self.operations if step.is_lossy and step.is_left)


def write(operations: Sequence[Operation], *, tag: str) -> Migration:
    """Write the steps as SQL.

    Args:
        operations: from `app_steps.difference`.
        tag: a word of a-z, 0-9 and _ that no other change uses, at most 16 characters.
    """
    return Migration(
        operations=tuple(operations),
        safe=_script([item for item in operations if not item.is_lossy], f"{tag}a"),
        lossy=_script([item for item in operations if item.is_lossy], f"{tag}b"),
    )


def _script(operations: Sequence[Operation], tag: str) -> Script:
    up: list[sql.Composable] = []
    down: list[sql.Composable] = []
    again: list[sql.Composable] = []
    for operation in operations:
        forward, backward, repeated = STEPS[operation.kind](operation, tag)
        up += forward
        down = [*backward, *down]
        again += forward if repeated is None else repeated
    return Script(up=_text(up), down=_text(down), again=_text(again), tag=tag) if operations else Script()


def _text(statements: Sequence[sql.Composable]) -> str:
    return "".join(f"{statement.as_string(None)};\n" for statement in statements)


def create(schema: Schema) -> tuple[str, str]:
    """The SQL that makes all tables of a schema anew, for a copy that is thrown away.

    Returns:
        Tables with their columns; then indexes, constraints, references without a look at the rows, and triggers.
    """
    first: list[sql.Composable] = []
    second: list[sql.Composable] = []
    for enum in schema.enums:
        first.append(create_enum(enum.name, enum.labels))
    for table in schema.tables:
        first += create_table(table)
        second += [create_part(table.name, part) for part in table.parts]
    for table in schema.tables:
        second += [add_reference(table.name, item, UNSEEN) for item in table.foreign_keys]
        if table.carries:
            second += [FUNCTION, *(couple(table.name, carry) for carry in table.carries)]
    return _text(first), _text(second)
