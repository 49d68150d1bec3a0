"""The steps from the tables that are there to those that are wanted.

A step is safe when the release that serves now and the next one can both work after it. All others lose or bind data,
and wait for a tap of their own and until the next release is confirmed. So a field that goes takes two steps: first the
older and the newer release may both leave it out, and much later it goes.

A field that is called otherwise from now on is such a field and a new one, as the tables see it. Told of it, the steps
carry what is in the one over to the other, and keep the two the same until the old one goes: so both releases read all
that either has written, and going back loses nothing.

A table that nobody declares is left alone unless the caller says that it was declared before: it may be another
program's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from persais_core.db import app_schema, app_types
from persais_core.db.app_schema import Carry, Column, Default, ForeignKey, Index, Schema, Table, Unique
from persais_core.domain.chats import Value

Kind = Literal[
    "add-enum", "add-label", "drop-foreign-key", "drop-unique", "drop-index", "add-table", "add-column", "carry-over",
    "part-fields", "allow-empty", "set-default", "ease-column", "widen-type", "add-index", "add-unique",
    "add-foreign-key", "change-type", "forbid-empty", "drop-column", "drop-table",
]  # fmt: skip

SENTENCES: Mapping[str, str] = {
    "add-enum": "the type {name} is made",
    "add-label": "the type {name} learns the word {detail}",
    "add-table": "the table {table} is made",
    "add-column": "{table} gets the field {column} ({detail})",
    "carry-over": "{table}: the field {column} takes the place of {detail}, with what is in it",
    "part-fields": "{table}: the fields {detail} are not kept the same any more",
    "allow-empty": "{table}: the field {column} may be empty from now on",
    "set-default": "{table}: the field {column} gets a default",
    "ease-column": "{table}: the field {column} need not be given any more",
    "widen-type": "{table}: the field {column} becomes {detail}, with room for more",
    "add-index": "{table}: {detail} is found faster",
    "drop-index": "{table}: the index {name} goes",
    "drop-unique": "{table}: {detail} need not be unique any more",
    "drop-foreign-key": "{table}: {detail} need not refer to anything any more",
    "add-unique": "{table}: {detail} must be unique from now on; records that are not would stop it",
    "add-foreign-key": "{table}: {detail} must refer to something that is there from now on",
    "change-type": "{table}: the field {column} becomes {detail}; what it held is kept aside for 30 days",
    "forbid-empty": "{table}: the field {column} must not be empty from now on; empty ones get a value",
    "drop-column": "{table}: the field {column} goes; what is in it is kept aside for 30 days",
    "drop-table": "the table {table} goes with all its records; they are kept aside for 30 days",
}
"""What each step means, in English; the same in the bot's languages under `migration-<kind>`."""


class Operation(Value):
    """One step, with all that is needed to write it and to take it back.

    Args:
        is_lossy: it loses or binds data, so it has its own tap and runs after the new release is confirmed.
        detail: of the sentence: a type, or names with commas.
        old: the column before.
        new: the column after.
        made: the table that is made.
        gone: the table that goes.
        part: the index, constraint or reference that comes or goes.
        there: the column that takes another one's place, where the table had it all the time.
        carry: the two columns that are kept the same from now on, or in another way.
        carries: those that are not any more, or were in this way.
        twin: the column that has the same in it, and stays; its type may have more room, or less.
        is_left: an earlier change wanted it, and nobody has tapped for it yet; this change is not the cause.
        key: primary key of the table, by which values kept aside are found again.
    """

    kind: Kind
    is_lossy: bool = False
    table: str = ""
    name: str = ""
    detail: str = ""
    labels: tuple[str, ...] = ()
    old: Column | None = None
    new: Column | None = None
    made: Table | None = None
    gone: Table | None = None
    part: Index | Unique | ForeignKey | None = None
    there: Column | None = None
    carry: Carry | None = None
    carries: tuple[Carry, ...] = ()
    twin: Column | None = None
    is_left: bool = False
    key: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """Name of the column it is about, or empty."""
        found = self.new or self.old
        return found.name if found else ""

    @property
    def text_id(self) -> str:
        """Name of its sentence in the bot's languages."""
        return f"migration-{self.kind}"

    @property
    def values(self) -> dict[str, str]:
        """What stands in its sentence."""
        return {"table": self.table, "column": self.column, "name": self.name, "detail": self.detail}

    @property
    def sentence(self) -> str:
        """The step in plain English."""
        return SENTENCES[self.kind].format(**self.values)


class Rename(Value):
    """One field that is called otherwise from now on."""

    table: str
    before: str
    after: str


_ORDER: Sequence[Kind] = (
    "add-enum", "add-label", "drop-foreign-key", "drop-unique", "drop-index", "add-table", "add-column", "carry-over",
    "part-fields", "allow-empty", "set-default", "ease-column", "widen-type", "add-index", "change-type",
    "forbid-empty", "add-unique", "add-foreign-key", "drop-column", "drop-table",
)  # fmt: skip


def difference(
    now: Schema,
    wanted: Schema,
    *,
    only: Collection[str] | None = None,
    droppable: Collection[str] = (),
    renames: Collection[Rename] = (),
) -> tuple[Operation, ...]:
    """The steps that make what is there into what is wanted, safe ones first, in an order that works.

    A default, an index by another name, or a further word of an enum that only the database has is no difference.

    Args:
        now: from `observe`.
        wanted: from `read`.
        only: names of the tables to look at; all where not given.
        droppable: tables that were declared until now, and so go when they are not declared any more.
        renames: fields that are called otherwise from now on; those of tables that are not there have nothing in them.

    Raises:
        SchemaError: the way cannot be gone: a primary key would change, a field that must not be empty has no value for
            the records that are there, a name is taken, a field that is renamed is not there or has another type.
    """
    looked_at = [table for table in _by_reference(wanted) if only is None or table.name in only]
    steps = [*_enum_steps(now, wanted, {column.type for table in looked_at for column in table.columns})]
    for table in looked_at:
        before = now.table(table.name)
        if before is None:
            steps.append(Operation(kind="add-table", table=table.name, made=table))
        else:
            steps += _table_steps(before, table, now, [item for item in renames if item.table == table.name])
    steps += [
        Operation(kind="drop-table", is_lossy=True, table=table.name, gone=table)
        for table in now.tables
        if table.name in droppable and wanted.table(table.name) is None
    ]
    return tuple(sorted(steps, key=lambda step: (step.is_lossy, _ORDER.index(step.kind))))


def left_apart(now: Schema, wanted: Schema, steps: Collection[Operation]) -> tuple[Rename, ...]:
    """The fields that are new and could be ones that nobody declares any more, by another name.

    Args:
        now: before the steps.
        wanted: from `read`.
        steps: from `difference`.
    """
    found = []
    for step in steps:
        before, after = now.table(step.table), wanted.table(step.table)
        if step.kind == "add-column" and step.new and before and after:
            found += [
                Rename(table=step.table, before=old.name, after=step.new.name)
                for old in before.columns
                if after.column(old.name) is None
                and (old.type == step.new.type or app_types.is_wider(old.type, step.new.type))
                and not any(old.name in {carry.before, carry.after} for carry in before.carries)
            ]
    return tuple(found)


def _enum_steps(now: Schema, wanted: Schema, used: Collection[str]) -> Iterator[Operation]:
    for enum in wanted.enums:
        if app_schema.ENUMS + enum.name not in used:
            continue
        before = now.enum(enum.name)
        if before is None:
            if enum.name in now.taken:
                raise app_schema.SchemaError(
                    f"the enum {enum.name} has the name of another type; call its class differently"
                )
            yield Operation(kind="add-enum", name=enum.name, labels=enum.labels)
        elif new := tuple(label for label in enum.labels if label not in before.labels):
            yield Operation(kind="add-label", name=enum.name, detail=", ".join(new), labels=new)


def _by_reference(schema: Schema) -> list[Table]:
    """The tables, each after those it refers to."""
    order: list[Table] = []
    waiting = list(schema.tables)
    while waiting:
        done = {table.name for table in order}
        ready = [table for table in waiting if all(item.table in done | {table.name} for item in table.foreign_keys)]
        if not ready:
            names = ", ".join(sorted(table.name for table in waiting))
            raise app_schema.SchemaError(
                f"these tables refer to each other in a circle: {names}; leave one reference out"
            )
        order += ready
        waiting = [table for table in waiting if table not in ready]
    return order


def _table_steps(before: Table, after: Table, now: Schema, renames: Sequence[Rename]) -> Iterator[Operation]:
    table = after.name
    if before.key != after.key:
        raise app_schema.SchemaError(f"the primary key of {table} cannot be changed; make another table")

    def step(kind: Kind, **values: Any) -> Operation:
        return Operation(kind=kind, table=table, key=before.key, **values)

    carried = {item.after: _carry_over(step, before, after, item, now) for item in renames}
    yield from carried.values()
    ends = [carry for item in carried.values() for carry in item.carries]
    for carry in before.carries:
        if after.column(carry.before) and after.column(carry.after) and carry not in ends:
            yield step("part-fields", carries=(carry,), detail=f"{carry.before}, {carry.after}")
            ends.append(carry)
    there = [carry for carry in before.carries if before.column(carry.before) and before.column(carry.after)]
    kept = [carry for carry in there if carry not in ends]
    same = [*kept, *(item.carry for item in carried.values() if item.carry)]
    # Columns that only older releases know, and that another one with the same in it has taken the place of.
    stand_ins = {
        name
        for carry in kept
        for name in (carry.before, carry.after)
        if after.column(name) is None and any(map(after.column, _same_as(name, same)))
    }
    changed = [
        operation for carry in kept if (operation := _carried_otherwise(step, carry, before, after, now, stand_ins))
    ]
    yield from changed
    otherwise = {change.carries[0]: change.carry for change in changed if change.carry}
    before = before.model_copy(update={"carries": tuple(otherwise.get(carry, carry) for carry in before.carries)})
    added = set()
    for column in after.columns:
        old = before.column(column.name)
        if column.name in carried:
            if old is None:
                added.add(column.name)
                bare = column.model_copy(update={"nullable": True, "fill": None})
                yield step("add-column", new=bare, detail=column.type)
        elif old is None:
            if column.sequence or (not column.nullable and column.default is None and column.fill is None):
                raise app_schema.SchemaError(
                    f"{table}.{column.name}: the records that are there have no value for it; "
                    "give the field a default, or allow None"
                )
            added.add(column.name)
            yield step("add-column", new=column, detail=column.type)
        else:
            yield from _column_steps(step, old, column, kept)
    for old in before.columns:
        if after.column(old.name) is None:
            if replaced := next((item for item in carried.values() if item.old and item.old.name == old.name), None):
                yield _drop_column(step, _let_go(old), before, after, now, replaced)
                continue
            # Of one that is kept the same as others, a default would pass for what somebody has written into it.
            is_carried = any(old.name == carry.after for carry in kept)
            if not old.nullable and old.default is None and old.sequence is None and not is_carried:
                yield step("ease-column", old=old, new=old.model_copy(update={"default": app_types.zero(old, now)}))
            yield _drop_column(step, old, before, after, now)
    yield from _part_steps(step, before, after, added, {item.before: item.after for item in renames}, stand_ins)


def _same_as(name: str, carries: Sequence[Carry]) -> set[str]:
    """The columns that are kept the same as one, and that one."""
    found = {name}
    while more := {end for c in carries if found & {c.before, c.after} for end in (c.before, c.after)} - found:
        found |= more
    return found


def _carried_otherwise(
    step: Callable[..., Operation],
    carry: Carry,
    before: Table,
    after: Table,
    now: Schema,
    stand_ins: Collection[str],
) -> Operation | None:
    """The step that changes what a carried column gets where nothing was given for it by any of its names.

    It stands in place of a default: an older release writes into the column by another name, and what it has not
    written into this one would seem to be written, and newer.
    """
    old, new = before.column(carry.after), after.column(carry.after)
    if old is None:
        return None
    if new is None:
        if old.nullable or carry.fill is not None or carry.after in stand_ins:
            return None
        filled = carry.model_copy(update={"fill": _as_json(old.type, app_types.zero(old, now))})
        return step("ease-column", old=old, new=old, carry=filled, carries=(carry,))
    if new.nullable and not old.nullable:
        bare = carry.model_copy(update={"fill": None})
        return step("allow-empty", old=old, new=new, carry=bare, carries=(carry,))
    return None


def _carry_over(step: Callable[..., Operation], before: Table, after: Table, rename: Rename, now: Schema) -> Operation:
    """The step that fills a renamed column from the old one, once the two are found to go together."""
    where = f"{rename.before} of {after.name} is to be called {rename.after}"
    old, new, there = before.column(rename.before), after.column(rename.after), before.column(rename.after)
    if old is None:
        raise app_schema.SchemaError(f"{where}, but the table has no field {rename.before}; take its real name")
    if after.column(rename.before) is not None:
        raise app_schema.SchemaError(f"{where}, but the schema still has {rename.before}; take that out")
    if new is None:
        raise app_schema.SchemaError(f"{where}, but the schema has no field {rename.after}; add it")
    if old.sequence or new.sequence:
        raise app_schema.SchemaError(f"{where}, but it is counted up by the database; leave its name")
    # With more room only where what does not fit the old column is sure to be told from what does.
    if old.type != new.type and (old.type == "real" or not app_types.is_wider(old.type, new.type)):
        raise app_schema.SchemaError(f"{where}, but it was {old.type} and would be {new.type}; leave its type")
    if new.default is not None:
        raise app_schema.SchemaError(f"{where}; give it no server default, since that would hide what is to be carried")
    linked = tuple(carry for carry in before.carries if {carry.before, carry.after} == {rename.before, rename.after})
    # Where it is done already, the old one may be empty because of that, and the new one is not.
    is_full = bool(linked) and there is not None and not there.nullable
    if old.nullable and not new.nullable and new.fill is None and not is_full:
        raise app_schema.SchemaError(f"{where}, and may be empty until now; allow None for it, or give it a default")
    if there is not None and (not linked or there.type != new.type):
        raise app_schema.SchemaError(
            f"{where}, but the table still has an older field of that name; take another name for it"
        )
    # A release that leaves the old one to its default goes on doing so.
    fill = None if new.nullable else _as_json(new.type, new.fill or old.default)
    carry = Carry(before=old.name, after=new.name, fill=fill)
    old = old.model_copy(update={"fill": app_types.zero(old, now)})
    return step("carry-over", old=old, new=new, there=there, carry=carry, carries=linked, detail=old.name)


def _as_json(kind: str, fill: Default | None) -> str | None:
    """What fills a column of a type, as JSON."""
    if fill is None:
        return None
    if kind.startswith("json"):
        return fill.text
    return json.dumps("now" if fill.is_now else fill.text)


def _let_go(column: Column) -> Column:
    """A column after another one has taken its place: the trigger fills it, so nothing else does."""
    return column.model_copy(update={"nullable": True, "default": None})


def _drop_column(
    step: Callable[..., Operation],
    old: Column,
    before: Table,
    after: Table,
    now: Schema,
    replaced: Operation | None = None,
) -> Operation:
    """The step that drops a column, and with it what keeps it the same as another."""
    carries = [carry for carry in before.carries if old.name in {carry.before, carry.after}]
    if replaced is not None and replaced.carry is not None:
        carries = [*(carry for carry in carries if carry not in replaced.carries), replaced.carry]
    others = [carry.after if carry.before == old.name else carry.before for carry in carries]
    staying = [column for name in others if (column := after.column(name)) is not None]
    twin = next((column for column in staying if _go_together(column.type, old.type)), None)
    old = old.model_copy(update={"fill": app_types.zero(old, now)})
    return step("drop-column", is_lossy=True, old=old, carries=tuple(carries), twin=twin)


def _go_together(one: str, other: str) -> bool:
    """Whether what fits both of two types is the same in either."""
    return one == other or app_types.is_wider(one, other) or app_types.is_wider(other, one)


def _column_steps(
    step: Callable[..., Operation], old: Column, new: Column, carries: Sequence[Carry]
) -> Iterator[Operation]:
    if old.type != new.type:
        wider = app_types.is_wider(old.type, new.type)
        yield step("widen-type" if wider else "change-type", is_lossy=not wider, old=old, new=new, detail=new.type)
    if old.nullable and not new.nullable:
        yield step("forbid-empty", is_lossy=True, old=old, new=new)
    elif new.nullable and not old.nullable and all(new.name != carry.after for carry in carries):
        yield step("allow-empty", old=old, new=new)
    if old.type == new.type and new.default not in {None, old.default} and new.sequence is None:
        setting = step("set-default", old=old, new=new)
        if newer := next((carry for carry in carries if new.name == carry.after), None):
            raise app_schema.SchemaError(
                f"{setting.table}.{new.name} was called {newer.before}, and the table still has that, which a server "
                f"default would hide; give {new.name} a default of Python's instead, or drop {newer.before} first"
            )
        if all(new.name != carry.before for carry in carries):
            yield setting


def _part_steps(
    step: Callable[..., Operation],
    before: Table,
    after: Table,
    added: Collection[str],
    renamed: Mapping[str, str],
    stand_ins: set[str],
) -> Iterator[Operation]:
    """Indexes, unique constraints and references, told apart by what they are about and not by name.

    Those of a column that stands in for another go with it and not before: the release that knows it may come back.
    """
    unique = {True: _covered(after, unique=True), False: _covered(after, unique=False)}
    was_unique = {True: _covered(before, unique=True), False: _covered(before, unique=False)}
    for part in before.parts:
        is_unique = isinstance(part, Unique) or part.is_unique
        if part.columns not in unique[is_unique]:
            kind: Kind = "drop-unique" if is_unique else "drop-index"
            goes = {"is_lossy": not {*part.columns}.isdisjoint(stand_ins - {*renamed})}
            yield step(kind, **goes, name=part.name, part=part, detail=", ".join(part.columns))
    for part in after.parts:
        is_unique = isinstance(part, Unique) or part.is_unique
        if part.columns in was_unique[is_unique]:
            continue
        # Rows that are there have no value in a new column that may be empty, so they cannot collide.
        empty = {column.name for column in after.columns if column.name in added and column.nullable}
        empty -= set(renamed.values())
        was_kept = any(tuple(renamed.get(name, name) for name in names) == part.columns for names in was_unique[True])
        kind = "add-unique" if is_unique else "add-index"
        is_lossy = is_unique and not was_kept and not empty & set(part.columns)
        yield step(kind, is_lossy=is_lossy, name=part.name, part=part, detail=", ".join(part.columns))

    def about(reference: ForeignKey) -> tuple[object, ...]:
        return reference.columns, reference.table, reference.targets, reference.on_delete

    had, has = {about(item) for item in before.foreign_keys}, {about(item) for item in after.foreign_keys}
    for reference in before.foreign_keys:
        if about(reference) not in has:
            goes = {"is_lossy": not {*reference.columns}.isdisjoint(stand_ins - {*renamed})}
            listed = ", ".join(reference.columns)
            yield step("drop-foreign-key", **goes, name=reference.name, part=reference, detail=listed)
    for reference in after.foreign_keys:
        if about(reference) not in had:
            is_new = set(reference.columns) <= set(added)
            listed = ", ".join(reference.columns)
            yield step("add-foreign-key", is_lossy=not is_new, name=reference.name, part=reference, detail=listed)


def _covered(table: Table, *, unique: bool) -> set[tuple[str, ...]]:
    """The columns that have an index of a kind."""
    found = {index.columns for index in table.indexes if index.is_unique is unique}
    return found | {item.columns for item in table.uniques} if unique else found
