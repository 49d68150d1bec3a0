"""One function for each kind of step: the statements of up, of down, and of up again where they differ."""

from __future__ import annotations

from psycopg import sql

from persais_core.db import app_schema, app_types
from persais_core.db.app_schema import Column, ForeignKey, Index, Unique
from persais_core.db.app_sql.attic import (
    Side,
    fetch_column,
    fetch_table,
    kept_as,
    note,
    same_row,
    stash_column,
    stash_table,
    throw_away,
)
from persais_core.db.app_sql.carrying import FUNCTION, couple, uncouple
from persais_core.db.app_sql.definitions import (
    UNSEEN,
    Statements,
    add_reference,
    alter_column,
    column_line,
    create_enum,
    create_part,
    create_table,
    default_value,
    drop_part,
    drop_reference,
    in_public,
    listed,
    set_default,
    type_name,
)
from persais_core.db.app_steps import Operation

_Step = tuple[Statements, Statements, Statements | None]


def _add_enum(step: Operation, tag: str) -> _Step:
    # The attic's copies may still use the type, so it stays behind; a type that nobody uses is in nobody's way.
    made = sql.SQL("do $$ begin {}; exception when duplicate_object then null; end $$").format(
        create_enum(step.name, step.labels)
    )
    return [create_enum(step.name, step.labels)], [], [made]


def _add_label(step: Operation, tag: str) -> _Step:
    # A word cannot be taken from a type again; that the database knows one more does not hurt the older code.
    return (
        [
            sql.SQL("alter type {} add value if not exists {}").format(in_public(step.name), sql.Literal(label))
            for label in step.labels
        ],
        [],
        None,
    )


def _add_table(step: Operation, tag: str) -> _Step:
    assert step.made
    made = step.made
    parts = [create_part(made.name, part) for part in made.parts]
    references = [add_reference(made.name, item) for item in made.foreign_keys]
    return [*create_table(made), *parts, *references], stash_table(made, tag), fetch_table(made, tag)


def _drop_table(step: Operation, tag: str) -> _Step:
    assert step.gone
    return stash_table(step.gone, tag), fetch_table(step.gone, tag), None


def _add_column(step: Operation, tag: str) -> _Step:
    assert step.new
    # The release that serves now inserts without this column, so a filling stays as the column's default.
    default = step.new.default or (None if step.new.nullable else step.new.fill)
    up: Statements = [
        sql.SQL("alter table {} add column {}").format(in_public(step.table), column_line(step.new, default))
    ]
    down = [
        *stash_column(step.table, step.column, step.key, tag),
        sql.SQL("alter table {} drop column {}").format(in_public(step.table), sql.Identifier(step.column)),
    ]
    return up, down, [*up, *fetch_column(step.table, step.column, step.key, tag)]


def _carry_over(step: Operation, tag: str) -> _Step:
    assert step.old and step.new and step.carry
    table, old, new = step.table, step.old, step.new
    before, after = sql.Identifier(old.name), sql.Identifier(new.name)
    up: Statements = [FUNCTION, *(uncouple(table, carry) for carry in step.carries)]
    # What is there already is of an earlier "up", and what does not fit the old column is only there.
    up.append(
        sql.SQL("update {0} set {2} = {1} where {1} is not null and {2}::text is distinct from {1}::text").format(
            in_public(table), before, after
        )
    )
    down: Statements = [uncouple(table, step.carry)]
    if not new.nullable:
        if new.fill is not None:
            up.append(_fill_empty(table, new.name, new.fill))
        up.append(alter_column(table, new.name, "set not null"))
        if step.there is None or step.there.nullable:
            down.append(alter_column(table, new.name, "drop not null"))
    if old.default is not None:
        up.append(set_default(table, old.name, None))
        down.append(set_default(table, old.name, old.default))
    if not old.nullable:
        up.append(alter_column(table, old.name, "drop not null"))
        if old.fill is not None:  # for what is empty by its new name, or does not fit
            down.append(_fill_empty(table, old.name, old.fill))
        down.append(alter_column(table, old.name, "set not null"))
    up.append(couple(table, step.carry))
    down += [couple(table, carry) for carry in step.carries]
    return up, down, None


def _part_fields(step: Operation, tag: str) -> _Step:
    return (
        [uncouple(step.table, carry) for carry in step.carries],
        [FUNCTION, *(couple(step.table, carry) for carry in step.carries)],
        None,
    )


def _drop_column(step: Operation, tag: str) -> _Step:
    assert step.old
    old = step.old
    up = [
        *(uncouple(step.table, carry) for carry in step.carries),
        *stash_column(step.table, step.column, step.key, tag),
        sql.SQL("alter table {} drop column {}").format(in_public(step.table), sql.Identifier(step.column)),
    ]
    # As it was after `ease-column`: rows that came since have no value for it.
    default = old.default or (None if old.nullable else old.fill)
    bare = old.model_copy(update={"sequence": None})
    down = [
        sql.SQL("alter table {} add column {}").format(in_public(step.table), column_line(bare, default)),
        *fetch_column(step.table, step.column, step.key, tag, then=_from_twin(step, tag)),
    ]
    if old.default is None and default is not None and any(carry.after == step.column for carry in step.carries):
        down.append(set_default(step.table, step.column, None))  # what keeps it the same fills it
    if step.carries:
        down += [FUNCTION, *(couple(step.table, carry) for carry in step.carries)]
    return up, down, None


_FITS = {
    "smallint": "{} between -32768 and 32767",
    "integer": "{} between -2147483648 and 2147483647",
    "real": "({0} = 0 or abs({0}) between 1e-37 and 3.4e38 or {0}::text in ('NaN', 'Infinity', '-Infinity'))",
}
"""Whether a value of a type with more room has its place in a type as well; of those not named here, each has."""


def _fits(kind: str, value: sql.Composable) -> sql.Composable:
    base, _, size = kind.partition("(")
    if base == "character varying" and size:
        return sql.SQL("char_length({}) <= {}").format(value, sql.Literal(int(size[:-1])))
    return sql.SQL(_FITS.get(base, "true")).format(value)


def _from_twin(step: Operation, tag: str) -> Statements:
    """Give a column that comes back what was written meanwhile into the one that has the same in it.

    What does not fit it stands in the other one alone, as `carrying` has it too.
    """
    if not step.twin or not step.old:
        return []
    column = sql.Identifier(step.column)
    value = sql.SQL("t.{}").format(sql.Identifier(step.twin.name))
    # In the type with more room: what is cut down to the other one could look the same.
    has_more_room = app_types.is_wider(step.old.type, step.twin.type)
    wide = type_name(step.twin.type if has_more_room else step.old.type)
    told = sql.SQL("case when {} then {}::{} end").format(_fits(step.old.type, value), value, type_name(step.old.type))
    fetched = sql.SQL("update {0} t set {1} = {2} where t.{1}::{4}::text is distinct from {3}::{4}::text").format(
        in_public(step.table), column, told if has_more_room else value, value, wide
    )
    if not has_more_room and step.twin.type != step.old.type:
        fetched += sql.SQL(" and {} is not null").format(value)
    if any(carry.fill is not None for carry in step.carries):
        # One that was empty has a value by its new name only, since that may not be empty.
        fetched += sql.SQL(" and (t.{} is not null or not exists (select from attic.{} k where {}))").format(
            column, sql.Identifier(kept_as(step.table, tag, step.column)), same_row(step.key)
        )
    return [fetched]


def _allow_empty(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    fill = step.old.default or step.new.fill or step.old.fill
    down: Statements = [alter_column(step.table, step.column, "set not null")]
    if fill is not None:
        down.insert(0, _fill_empty(step.table, step.column, fill))
    carried, as_before = _carried_otherwise(step)
    return [alter_column(step.table, step.column, "drop not null"), *carried], [*as_before, *down], None


def _carried_otherwise(step: Operation) -> tuple[Statements, Statements]:
    """What changes how a column is kept the same as another, if it is; and what brings that back."""
    if step.carry is None:
        return [], []
    before = [couple(step.table, carry) for carry in step.carries]
    return [FUNCTION, couple(step.table, step.carry)], [FUNCTION, *before]


def _fill_empty(table: str, column: str, fill: app_schema.Default) -> sql.Composed:
    return sql.SQL("update {} set {} = {} where {} is null").format(
        in_public(table), sql.Identifier(column), default_value(fill), sql.Identifier(column)
    )


def _forbid_empty(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    up: Statements = [alter_column(step.table, step.column, "set not null")]
    down: Statements = [alter_column(step.table, step.column, "drop not null")]
    fill = step.new.default or step.new.fill
    if fill is None:
        return up, down, None
    # Which ones were empty is kept; one that somebody has written into since stays as it is.
    kept = kept_as(step.table, tag, step.column, "n")
    column = sql.Identifier(step.column)
    stash = [
        sql.SQL("create table attic.{} as select {} from {} where {} is null").format(
            sql.Identifier(kept), listed(step.key), in_public(step.table), column
        ),
        note(kept, tag),
    ]
    empty = sql.SQL("update {} t set {} = null from attic.{} k where {} and t.{}::text = {}::text").format(
        in_public(step.table), column, sql.Identifier(kept), same_row(step.key), column, _value(fill, step.new.type)
    )
    return [*stash, _fill_empty(step.table, step.column, fill), *up], [*down, empty, *throw_away(kept)], None


def _value(default: app_schema.Default, kind: str) -> sql.Composed:
    return sql.SQL("({}::{})").format(default_value(default), type_name(kind))


def _change_default(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    if step.carry is not None:  # where a default would pass for what somebody wrote
        return *_carried_otherwise(step), None
    return (
        [set_default(step.table, step.column, step.new.default)],
        [set_default(step.table, step.column, step.old.default)],
        None,
    )


def _change_type(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    return (
        _convert(step, step.old, step.new, tag, keep="u"),
        _convert(step, step.new, step.old, tag, keep="d", fetch="u"),
        _convert(step, step.old, step.new, tag, keep="u", fetch="d"),
    )


def _convert(
    step: Operation, old: Column, new: Column, tag: str, *, keep: Side, fetch: Side | None = None
) -> Statements:
    """Change the type of a column, keep what it held, and fetch what it held before an earlier change.

    Values that somebody has written since that earlier change stay as they are. To tell them apart, each kept value has
    beside it what became of it.
    """
    table, name = step.table, sql.Identifier(step.column)
    became = sql.Identifier(app_schema.short(f"{step.column}__became"))
    kept = sql.Identifier(kept_as(table, tag, step.column, keep))
    done = stash_column(table, step.column, step.key, tag, keep)
    if fetch is not None:
        done.append(
            sql.SQL("delete from attic.{} k using {} t where {} and t.{}::text is distinct from k.{}").format(
                sql.Identifier(kept_as(table, tag, step.column, fetch)),
                in_public(table),
                same_row(step.key),
                name,
                became,
            )
        )
    if old.default is not None:  # one of the old type may have no cast of its own
        done.append(set_default(table, step.column, None))
    kind = type_name(new.type)
    cast = sql.SQL("{}::text::{}" if _needs_text(old.type, new.type) else "{}::{}").format(name, kind)
    done.append(alter_column(table, step.column, "type {} using {}", kind, cast))
    if new.default is not None:
        done.append(set_default(table, step.column, new.default))
    if fetch is not None:
        done += fetch_column(table, step.column, step.key, tag, fetch)
    done.append(sql.SQL("alter table attic.{} add column {} text").format(kept, became))
    done.append(
        sql.SQL("update attic.{} k set {} = t.{}::text from {} t where {}").format(
            kept, became, name, in_public(table), same_row(step.key)
        )
    )
    return done


_NUMBERS = {"smallint", "integer", "bigint", "real", "double precision", "numeric"}


def _needs_text(old: str, new: str) -> bool:
    """Whether two types are only joined by the way they are written."""
    bases = {old.partition("(")[0], new.partition("(")[0]}
    return not (
        bases <= _NUMBERS or bases == {"boolean", "integer"} or all(b.startswith(("date", "time")) for b in bases)
    )


def _add_part(step: Operation, tag: str) -> _Step:
    assert isinstance(step.part, (Index, Unique))
    return [create_part(step.table, step.part)], [drop_part(step.table, step.part)], None


def _remove_part(step: Operation, tag: str) -> _Step:
    up, down, _ = _add_part(step, tag)
    return down, up, None


def _add_reference(step: Operation, tag: str) -> _Step:
    assert isinstance(step.part, ForeignKey)
    return [add_reference(step.table, step.part)], [drop_reference(step.table, step.part)], None


def _remove_reference(step: Operation, tag: str) -> _Step:
    assert isinstance(step.part, ForeignKey)
    return [drop_reference(step.table, step.part)], [add_reference(step.table, step.part, UNSEEN)], None


STEPS = {
    "add-enum": _add_enum,
    "add-label": _add_label,
    "add-table": _add_table,
    "add-column": _add_column,
    "carry-over": _carry_over,
    "part-fields": _part_fields,
    "allow-empty": _allow_empty,
    "set-default": _change_default,
    "ease-column": _change_default,
    "widen-type": _change_type,
    "add-index": _add_part,
    "drop-index": _remove_part,
    "add-unique": _add_part,
    "drop-unique": _remove_part,
    "add-foreign-key": _add_reference,
    "drop-foreign-key": _remove_reference,
    "change-type": _change_type,
    "forbid-empty": _forbid_empty,
    "drop-column": _drop_column,
    "drop-table": _drop_table,
}
"""By the kind of a step; it is told the word that names what lies in the attic because of it."""
