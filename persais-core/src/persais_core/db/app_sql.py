"""The steps between two schemas as SQL, written by us from checked values: up, down, and up again.

Nothing that somebody else wrote stands in it but names, types and literals that `app_document.read` let pass, and those
are quoted here. What is written here is what is proven, stored and run, to the letter.

What goes is kept in the schema `attic` for 30 days. A table is moved there whole; of a column, the values are copied
first, with the primary key. `attic.contents` says since when each lies there and for which change, so that "down"
brings it back, and so that what a "down" itself takes away comes back when the change is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from persais_core.db import app_schema
from persais_core.db.app_schema import Column, ForeignKey, Index, Schema, Table, Unique
from persais_core.db.app_steps import Operation
from persais_core.domain.chats import Value

if TYPE_CHECKING:
    import psycopg

KEPT_DAYS = 30
ATTIC = """
create schema if not exists attic;
create table if not exists attic.contents
  (name text primary key, tag text not null, since timestamptz not null default now());
"""


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
        """The steps that lose or bind data."""
        return tuple(operation for operation in self.operations if operation.is_lossy)


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
        forward, backward, repeated = _STEPS[operation.kind](operation, tag)
        up += forward
        down = [*backward, *down]
        again += forward if repeated is None else repeated
    return Script(up=_text(up), down=_text(down), again=_text(again), tag=tag) if operations else Script()


def _text(statements: Sequence[sql.Composable]) -> str:
    return "".join(f"{statement.as_string(None)};\n" for statement in statements)


def create(schema: Schema) -> tuple[str, str]:
    """The SQL that makes all tables of a schema anew, for a copy that is thrown away.

    Returns:
        Tables with their columns; then indexes, constraints and references, the latter without a look at the rows.
    """
    first: list[sql.Composable] = []
    second: list[sql.Composable] = []
    for enum in schema.enums:
        first.append(_create_enum(enum.name, enum.labels))
    for table in schema.tables:
        first += _create_table(table)
        second += [_create_part(table.name, part) for part in table.parts]
    for table in schema.tables:
        second += [_reference(table.name, item, _UNSEEN) for item in table.foreign_keys]
    return _text(first), _text(second)


def needs_attic(script: str) -> bool:
    """Whether a script written here fetches something from the attic."""
    return "delete from attic.contents" in script


def purge(connection: psycopg.Connection[Any], *, days: int = KEPT_DAYS) -> tuple[str, ...]:
    """Throw away what has lain in the attic for longer than `days`.

    Returns:
        The names of what went.
    """
    connection.execute(ATTIC)
    gone = connection.execute(
        "delete from attic.contents where since < now() - make_interval(days => %s) returning name", (days,)
    ).fetchall()
    for (name,) in gone:
        connection.execute(sql.SQL("drop table if exists attic.{}").format(sql.Identifier(name)))
    return tuple(name for (name,) in gone)


# --- pieces ---

_Statements = list[sql.Composable]
_Step = tuple[_Statements, _Statements, _Statements | None]


def _name(*parts: str) -> sql.Identifier:
    return sql.Identifier(*parts)


def _table(name: str) -> sql.Identifier:
    return sql.Identifier("public", name)


def _list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _type(kind: str) -> sql.Composable:
    """A type: the name of an enum, else one that is on our list or stood in the catalogue."""
    if kind.startswith(app_schema.ENUMS):
        return _table(kind.removeprefix(app_schema.ENUMS))
    return sql.SQL(kind)


def _default(default: app_schema.Default) -> sql.Composable:
    return sql.SQL("now()") if default.is_now else sql.Literal(default.text)


def _column(column: Column, default: app_schema.Default | None) -> sql.Composed:
    made = sql.SQL("{} {}").format(_name(column.name), _type(column.type))
    if column.sequence:
        made += sql.SQL(" default nextval({}::regclass)").format(sql.Literal(_sequence(column.sequence)))
    elif default is not None:
        made += sql.SQL(" default {}").format(_default(default))
    return made if column.nullable else made + sql.SQL(" not null")


def _sequence(name: str) -> str:
    return sql.Identifier("public", name).as_string(None)


def _create_enum(name: str, labels: Sequence[str]) -> sql.Composed:
    return sql.SQL("create type {} as enum ({})").format(_table(name), sql.SQL(", ").join(map(sql.Literal, labels)))


def _create_table(table: Table) -> _Statements:
    made: _Statements = []
    counted = [column for column in table.columns if column.sequence]
    for column in counted:
        made.append(sql.SQL("create sequence {} as {}").format(_table(column.sequence or ""), _type(column.type)))
    lines: list[sql.Composable] = [_column(column, column.default) for column in table.columns]
    if table.key:
        lines.append(sql.SQL("constraint {} primary key ({})").format(_name(table.key_name), _list(table.key)))
    made.append(sql.SQL("create table {} (\n  {}\n)").format(_table(table.name), sql.SQL(",\n  ").join(lines)))
    for column in counted:
        made.append(
            sql.SQL("alter sequence {} owned by {}").format(
                _table(column.sequence or ""), _name("public", table.name, column.name)
            )
        )
    return made


def _create_part(table: str, part: Index | Unique) -> sql.Composed:
    if isinstance(part, Unique):
        return sql.SQL("alter table {} add constraint {} unique ({})").format(
            _table(table), _name(part.name), _list(part.columns)
        )
    unique = sql.SQL("unique ") if part.is_unique else sql.SQL("")
    return sql.SQL("create {}index {} on {} ({})").format(unique, _name(part.name), _table(table), _list(part.columns))


def _drop_part(table: str, part: Index | Unique) -> sql.Composed:
    if isinstance(part, Unique):
        return sql.SQL("alter table {} drop constraint {}").format(_table(table), _name(part.name))
    return sql.SQL("drop index {}").format(_table(part.name))


_SEEN, _UNSEEN = sql.SQL(""), sql.SQL(" not valid")
"""Whether the rows that are there must hold to a reference, or only those to come."""


def _drop_reference(table: str, reference: ForeignKey) -> sql.Composed:
    return sql.SQL("alter table {} drop constraint {}").format(_table(table), _name(reference.name))


def _reference(table: str, reference: ForeignKey, ending: sql.SQL = _SEEN) -> sql.Composed:
    return sql.SQL("alter table {} add constraint {} foreign key ({}) references {} ({}) on delete {}{}").format(
        _table(table),
        _name(reference.name),
        _list(reference.columns),
        _table(reference.table),
        _list(reference.targets),
        sql.SQL(reference.on_delete),
        ending,
    )


def _alter(table: str, column: str, what: str, *values: sql.Composable) -> sql.Composed:
    start = sql.SQL("alter table {} alter column {} ").format(_table(table), _name(column))
    return start + sql.SQL(what).format(*values)


def _set_default(table: str, column: str, default: app_schema.Default | None) -> sql.Composed:
    if default is None:
        return _alter(table, column, "drop default")
    return _alter(table, column, "set default {}", _default(default))


# --- the attic ---

Side = Literal["", "u", "d", "n"]
"""Which of a column's values: as it went, before "up", before "down", or which ones were empty."""


def _kept(name: str, tag: str, column: str = "", side: Side = "") -> str:
    """Where something lies in the attic: a table, or a column on one side of a change."""
    ending = f"__{tag}{side}"
    return app_schema.short(f"{name}__{column}" if column else name, len(ending)) + ending


def _note(name: str, tag: str) -> sql.Composed:
    return sql.SQL("insert into attic.contents (name, tag) values ({}, {})").format(sql.Literal(name), sql.Literal(tag))


def _forget(name: str) -> sql.Composed:
    return sql.SQL("delete from attic.contents where name = {}").format(sql.Literal(name))


def _belongings(table: Table) -> list[tuple[Literal["index", "sequence"], str]]:
    """(index or sequence, name) of all that moves with a table and whose name counts in its schema."""
    indexes = [part.name for part in table.parts] + [*table.others, table.key_name]
    found: list[tuple[Literal["index", "sequence"], str]] = [("index", name) for name in indexes if name]
    return found + [("sequence", column.sequence) for column in table.columns if column.sequence]


def _stash_table(table: Table, tag: str) -> _Statements:
    """Move a table into the attic, its indexes under names that leave the old ones free."""
    kept = _kept(table.name, tag)
    # What lies in the attic must not hold back what others remove.
    moved: _Statements = [_drop_reference(table.name, item) for item in table.foreign_keys]
    moved += [_rename(kind, name, _kept(name, tag)) for kind, name in _belongings(table)]
    moved.append(sql.SQL("alter table {} rename to {}").format(_table(table.name), _name(kept)))
    moved.append(sql.SQL("alter table {} set schema attic").format(_table(kept)))
    return [*moved, _note(kept, tag)]


def _fetch_table(table: Table, tag: str) -> _Statements:
    """Bring a table back from the attic."""
    kept = _kept(table.name, tag)
    moved: _Statements = [sql.SQL("alter table attic.{} set schema public").format(_name(kept))]
    moved.append(sql.SQL("alter table {} rename to {}").format(_table(kept), _name(table.name)))
    moved += [_rename(kind, _kept(name, tag), name) for kind, name in _belongings(table)]
    moved += [_reference(table.name, item, _UNSEEN) for item in table.foreign_keys]
    return [*moved, _forget(kept)]


def _rename(kind: Literal["index", "sequence"], old: str, new: str) -> sql.Composed:
    return sql.SQL("alter {} if exists {} rename to {}").format(sql.SQL(kind), _table(old), _name(new))


def _stash_column(table: str, column: str, key: Sequence[str], tag: str, side: Side = "") -> _Statements:
    """Copy a column into the attic, with the primary key."""
    kept = _kept(table, tag, column, side)
    return [
        sql.SQL("create table attic.{} as select {} from {}").format(
            _name(kept), _list(list(dict.fromkeys([*key, column]))), _table(table)
        ),
        _note(kept, tag),
    ]


def _fetch_column(table: str, column: str, key: Sequence[str], tag: str, side: Side = "") -> _Statements:
    """Give the rows that are still there their old values again."""
    kept = _kept(table, tag, column, side)
    return [
        sql.SQL("update {} t set {} = k.{} from attic.{} k where {}").format(
            _table(table), _name(column), _name(column), _name(kept), _same(key)
        ),
        *_throw_away(kept),
    ]


def _same(key: Sequence[str]) -> sql.Composed:
    """That a row t of the table and a row k that was kept are the same."""
    return sql.SQL(" and ").join(sql.SQL("t.{0} = k.{0}").format(_name(name)) for name in key)


def _throw_away(kept: str) -> _Statements:
    return [sql.SQL("drop table attic.{}").format(_name(kept)), _forget(kept)]


# --- one function for each kind of step: (up, down, up again where it differs) ---


def _add_enum(step: Operation, tag: str) -> _Step:
    # The attic's copies may still use the type, so it stays behind; a type that nobody uses is in nobody's way.
    made = sql.SQL("do $$ begin {}; exception when duplicate_object then null; end $$").format(
        _create_enum(step.name, step.labels)
    )
    return [_create_enum(step.name, step.labels)], [], [made]


def _add_label(step: Operation, tag: str) -> _Step:
    # A word cannot be taken from a type again; that the database knows one more does not hurt the older code.
    return (
        [
            sql.SQL("alter type {} add value if not exists {}").format(_table(step.name), sql.Literal(label))
            for label in step.labels
        ],
        [],
        None,
    )


def _add_table(step: Operation, tag: str) -> _Step:
    assert step.made
    made = step.made
    parts = [_create_part(made.name, part) for part in made.parts]
    references = [_reference(made.name, item) for item in made.foreign_keys]
    return [*_create_table(made), *parts, *references], _stash_table(made, tag), _fetch_table(made, tag)


def _drop_table(step: Operation, tag: str) -> _Step:
    assert step.gone
    return _stash_table(step.gone, tag), _fetch_table(step.gone, tag), None


def _add_column(step: Operation, tag: str) -> _Step:
    assert step.new
    # The release that serves now inserts without this column, so a filling stays as the column's default.
    default = step.new.default or (None if step.new.nullable else step.new.fill)
    up: _Statements = [sql.SQL("alter table {} add column {}").format(_table(step.table), _column(step.new, default))]
    down = [
        *_stash_column(step.table, step.column, step.key, tag),
        sql.SQL("alter table {} drop column {}").format(_table(step.table), _name(step.column)),
    ]
    return up, down, [*up, *_fetch_column(step.table, step.column, step.key, tag)]


def _drop_column(step: Operation, tag: str) -> _Step:
    assert step.old
    old = step.old
    up = [
        *_stash_column(step.table, step.column, step.key, tag),
        sql.SQL("alter table {} drop column {}").format(_table(step.table), _name(step.column)),
    ]
    # As it was after `ease-column`: rows that came since have no value for it.
    default = old.default or (None if old.nullable else old.fill)
    bare = old.model_copy(update={"sequence": None})
    down = [
        sql.SQL("alter table {} add column {}").format(_table(step.table), _column(bare, default)),
        *_fetch_column(step.table, step.column, step.key, tag),
    ]
    return up, down, None


def _allow_empty(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    fill = step.old.default or step.new.fill or step.old.fill
    down: _Statements = [_alter(step.table, step.column, "set not null")]
    if fill is not None:
        down.insert(0, _fill_empty(step.table, step.column, fill))
    return [_alter(step.table, step.column, "drop not null")], down, None


def _fill_empty(table: str, column: str, fill: app_schema.Default) -> sql.Composed:
    return sql.SQL("update {} set {} = {} where {} is null").format(
        _table(table), _name(column), _default(fill), _name(column)
    )


def _forbid_empty(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    up: _Statements = [_alter(step.table, step.column, "set not null")]
    down: _Statements = [_alter(step.table, step.column, "drop not null")]
    fill = step.new.default or step.new.fill
    if fill is None:
        return up, down, None
    # Which ones were empty is kept; one that somebody has written into since stays as it is.
    kept = _kept(step.table, tag, step.column, "n")
    column = _name(step.column)
    stash = [
        sql.SQL("create table attic.{} as select {} from {} where {} is null").format(
            _name(kept), _list(step.key), _table(step.table), column
        ),
        _note(kept, tag),
    ]
    empty = sql.SQL("update {} t set {} = null from attic.{} k where {} and t.{}::text = {}::text").format(
        _table(step.table), column, _name(kept), _same(step.key), column, _value(fill, step.new.type)
    )
    return [*stash, _fill_empty(step.table, step.column, fill), *up], [*down, empty, *_throw_away(kept)], None


def _value(default: app_schema.Default, kind: str) -> sql.Composed:
    return sql.SQL("({}::{})").format(_default(default), _type(kind))


def _change_default(step: Operation, tag: str) -> _Step:
    assert step.old and step.new
    return (
        [_set_default(step.table, step.column, step.new.default)],
        [_set_default(step.table, step.column, step.old.default)],
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
) -> _Statements:
    """Change the type of a column, keep what it held, and fetch what it held before an earlier change.

    Values that somebody has written since that earlier change stay as they are. To tell them apart, each kept value has
    beside it what became of it.
    """
    table, name = step.table, _name(step.column)
    became = _name(app_schema.short(f"{step.column}__became"))
    kept = _name(_kept(table, tag, step.column, keep))
    done = _stash_column(table, step.column, step.key, tag, keep)
    if fetch is not None:
        done.append(
            sql.SQL("delete from attic.{} k using {} t where {} and t.{}::text is distinct from k.{}").format(
                _name(_kept(table, tag, step.column, fetch)), _table(table), _same(step.key), name, became
            )
        )
    if old.default is not None:  # one of the old type may have no cast of its own
        done.append(_set_default(table, step.column, None))
    kind = _type(new.type)
    cast = sql.SQL("{}::text::{}" if _needs_text(old.type, new.type) else "{}::{}").format(name, kind)
    done.append(_alter(table, step.column, "type {} using {}", kind, cast))
    if new.default is not None:
        done.append(_set_default(table, step.column, new.default))
    if fetch is not None:
        done += _fetch_column(table, step.column, step.key, tag, fetch)
    done.append(sql.SQL("alter table attic.{} add column {} text").format(kept, became))
    done.append(
        sql.SQL("update attic.{} k set {} = t.{}::text from {} t where {}").format(
            kept, became, name, _table(table), _same(step.key)
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
    return [_create_part(step.table, step.part)], [_drop_part(step.table, step.part)], None


def _remove_part(step: Operation, tag: str) -> _Step:
    up, down, _ = _add_part(step, tag)
    return down, up, None


def _add_reference(step: Operation, tag: str) -> _Step:
    assert isinstance(step.part, ForeignKey)
    return [_reference(step.table, step.part)], [_drop_reference(step.table, step.part)], None


def _remove_reference(step: Operation, tag: str) -> _Step:
    assert isinstance(step.part, ForeignKey)
    return [_drop_reference(step.table, step.part)], [_reference(step.table, step.part, _UNSEEN)], None


_STEPS = {
    "add-enum": _add_enum,
    "add-label": _add_label,
    "add-table": _add_table,
    "add-column": _add_column,
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
