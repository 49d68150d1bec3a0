"""The tables of a bot as values, and how they are read from the catalogue of the database.

Two readers make these values: `app_document`, from what the project's schemas declare, and `observe`, from what is
there. `app_steps` names what lies between the two, and `app_sql` writes it.

Only tables of the default schema whose names begin with `agent_` are the bot's. What the catalogue says about them is
taken as it is; what schemas say is held against the lists here.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

from persais_core import errors
from persais_core.domain.chats import Value

if TYPE_CHECKING:
    import psycopg

PREFIX = "agent_"
MAX_NAME = 63  # bytes, of Postgres

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_PLAIN = {
    "boolean": "boolean", "smallint": "smallint", "integer": "integer", "bigint": "bigint", "real": "real",
    "float": "double precision", "double precision": "double precision", "numeric": "numeric", "text": "text",
    "varchar": "character varying", "date": "date", "interval": "interval", "uuid": "uuid", "bytea": "bytea",
    "json": "json", "jsonb": "jsonb", "timestamp": "timestamp without time zone",
    "timestamp without time zone": "timestamp without time zone",
    "timestamp with time zone": "timestamp with time zone", "time without time zone": "time without time zone",
    "time with time zone": "time with time zone",
}  # fmt: skip
"""Types without a size: as SQLAlchemy writes them, and as Postgres shows them."""
CARRY = "persais_carry_"
"""Begins the name of a trigger that keeps two columns the same."""
ENUMS = "public."
"""Stands before the name of an enum where the type of a column is told."""
COUNTED = frozenset({"smallint", "integer", "bigint"})
"""Types that a sequence can count up."""
_SIZED = re.compile(r"(varchar|numeric|float|vector)\((\d{1,8})(?:, ?(\d{1,4}))?\)\Z")


class SchemaError(errors.ProjectError):
    """The project's schemas ask for something that cannot be stored. No table was touched."""


class Default(Value):
    """What a column holds where nothing is given: a literal, or the present moment."""

    text: str = ""
    is_now: bool = False


class Column(Value):
    """One column.

    Args:
        type: as `format_type` of Postgres shows it, or `public.` and the name of one of the schema's enums.
        default: kept in the database; an expression that is not a literal counts as none.
        fill: what existing rows get when the column is added or must not be empty any more.
        sequence: name of the sequence that counts it up.
    """

    name: str
    type: str
    nullable: bool = True
    default: Default | None = None
    fill: Default | None = None
    sequence: str | None = None


class Index(Value):
    """One index over whole columns; others are only known by name."""

    name: str
    columns: tuple[str, ...]
    is_unique: bool = False


class Unique(Value):
    """One unique constraint."""

    name: str
    columns: tuple[str, ...]


class ForeignKey(Value):
    """One reference to another table of the bot."""

    name: str
    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]
    on_delete: Literal["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"] = "NO ACTION"


class Carry(Value):
    """Two columns of one table that hold the same: one that was renamed, and the one that takes its place.

    A trigger of that table keeps them so while both are there, whichever of them is written.

    Args:
        before: the column that was renamed.
        after: the column by its new name.
        fill: what `after` gets, as JSON, where nothing was given for either and it must not be empty.
    """

    before: str
    after: str
    fill: str | None = None

    @property
    def trigger(self) -> str:
        """Name of its trigger; what it is about stands in the trigger's arguments."""
        return CARRY + hashlib.sha256(f"{self.before} {self.after}".encode()).hexdigest()[:12]


class Table(Value):
    """One table.

    Args:
        key: columns of its primary key.
        key_name: of the primary key.
        carries: columns that were renamed; only of a table that was observed.
        others: names of indexes that cannot be written as an `Index`; they go where the table goes.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    key_name: str
    indexes: tuple[Index, ...] = ()
    uniques: tuple[Unique, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    carries: tuple[Carry, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Index | Unique, ...]:
        """Its unique constraints, then its indexes."""
        return (*self.uniques, *self.indexes)

    def column(self, name: str) -> Column | None:
        """The column of a name."""
        return next((column for column in self.columns if column.name == name), None)


class Enum(Value):
    """A type with a fixed list of words."""

    name: str
    labels: tuple[str, ...]


class Schema(Value):
    """All tables of a bot.

    Args:
        foreign: tables that the project declares and the bot does not look after, as their names do not begin so.
        taken: names of types that are somebody else's; only of a schema that was observed.
    """

    tables: tuple[Table, ...] = ()
    enums: tuple[Enum, ...] = ()
    foreign: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()

    def table(self, name: str) -> Table | None:
        """The table of a name."""
        return next((table for table in self.tables if table.name == name), None)

    def enum(self, name: str) -> Enum | None:
        """The enum of a name, with or without `public.` before it."""
        return next((enum for enum in self.enums if enum.name == name.removeprefix(ENUMS)), None)


def known_type(written: str) -> str | None:
    """The name that Postgres shows for a type on our list, or None when it is not on it."""
    text = " ".join(written.lower().split())
    if text in _PLAIN:
        return _PLAIN[text]
    found = _SIZED.match(text)
    if found is None:
        return None
    kind, first, second = found[1], int(found[2]), found[3]
    if kind == "varchar" and second is None and 0 < first <= 10_485_760:
        return f"character varying({first})"
    if kind == "numeric" and 0 < first <= 1000 and int(second or 0) <= first:
        return f"numeric({first},{int(second or 0)})"
    if kind == "float" and second is None and 0 < first <= 53:
        return "real" if first < 25 else "double precision"
    if kind == "vector" and second is None and 0 < first <= 16_000:
        return f"vector({first})"
    return None


def short(name: str, room: int = 0) -> str:
    """A name that Postgres takes whole, with `room` characters to spare; a longer one ends in a digest."""
    longest = MAX_NAME - room
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull,
  case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
  (select s.relname from pg_depend p join pg_class s on s.oid = p.objid and s.relkind = 'S'
   where p.refobjid = c.oid and p.refobjsubid = a.attnum and p.deptype in ('a', 'i') limit 1),
  case when y.typtype = 'e' and y.typnamespace = 'public'::regnamespace then y.typname end
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type y on y.oid = a.atttypid
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'agent\\_%'
order by c.relname, a.attnum
"""
_INDEXES = """
select c.relname, x.relname, i.indisunique, i.indisprimary, k.contype is not null,
  array(select a.attname from unnest(i.indkey::int[]) with ordinality p(n, o)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = p.n order by p.o)::text[],
  i.indpred is null and i.indexprs is null and m.amname = 'btree' and i.indnatts = i.indnkeyatts
from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
join pg_am m on m.oid = x.relam
left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('u', 'p')
where c.relnamespace = 'public'::regnamespace and c.relname like 'agent\\_%' order by c.relname, x.relname
"""
_REFERENCES = """
select c.relname, k.conname, t.relname, k.confdeltype::text,
  array(select a.attname from unnest(k.conkey) with ordinality p(n, o)
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = p.n order by p.o)::text[],
  array(select a.attname from unnest(k.confkey) with ordinality p(n, o)
        join pg_attribute a on a.attrelid = k.confrelid and a.attnum = p.n order by p.o)::text[]
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
where k.contype = 'f' and c.relnamespace = 'public'::regnamespace and c.relname like 'agent\\_%'
order by c.relname, k.conname
"""
_CARRIES = """
select c.relname, t.tgargs from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = 'public'::regnamespace and c.relname like 'agent\\_%' and t.tgname like 'persais\\_carry\\_%'
order by c.relname, t.tgname
"""
_ENUMS = """
select y.typname, array(select enumlabel from pg_enum e where e.enumtypid = y.oid order by enumsortorder)::text[]
from pg_type y where y.typtype = 'e' and y.typnamespace = 'public'::regnamespace order by y.typname
"""
_TAKEN = """
select distinct typname from pg_type where pg_type_is_visible(oid)
  and not (typtype = 'e' and typnamespace = 'public'::regnamespace)
"""
_ON_DELETE = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "NO ACTION"}


def observe(connection: psycopg.Connection[Any]) -> Schema:
    """The bot's tables as they are in the database: all of `public` whose names begin with `agent_`.

    Names and types are taken as they are found, since they are there already.
    """
    columns: dict[str, list[Column]] = {}
    for table, name, kind, nullable, default, sequence, enum in connection.execute(_COLUMNS):
        columns.setdefault(table, []).append(
            Column(
                name=name,
                type=ENUMS + enum if enum else kind,
                nullable=nullable,
                default=None if sequence else _observed_default(default),
                sequence=sequence,
            )
        )
    keys: dict[str, tuple[str, tuple[str, ...]]] = {}
    indexes: dict[str, list[Index]] = {}
    uniques: dict[str, list[Unique]] = {}
    others: dict[str, list[str]] = {}
    for table, name, is_unique, is_key, is_constraint, names, is_plain in connection.execute(_INDEXES):
        if is_key:
            keys[table] = (name, tuple(names))
        elif not is_plain:
            others.setdefault(table, []).append(name)
        elif is_constraint:
            uniques.setdefault(table, []).append(Unique(name=name, columns=tuple(names)))
        else:
            indexes.setdefault(table, []).append(Index(name=name, columns=tuple(names), is_unique=is_unique))
    references: dict[str, list[ForeignKey]] = {}
    for table, name, target, action, names, targets in connection.execute(_REFERENCES):
        references.setdefault(table, []).append(
            ForeignKey.model_validate(
                {
                    "name": name,
                    "columns": names,
                    "table": target,
                    "targets": targets,
                    "on_delete": _ON_DELETE[action],
                }
            )
        )
    carries: dict[str, list[Carry]] = {}
    for table, told in connection.execute(_CARRIES):
        before, after, *fill = bytes(told).decode().split("\0")[:-1]
        carries.setdefault(table, []).append(Carry(before=before, after=after, fill=fill[0] if fill else None))
    return Schema(
        tables=tuple(
            Table(
                name=name,
                columns=tuple(found),
                key=keys.get(name, ("", ()))[1],
                key_name=keys.get(name, ("", ()))[0],
                indexes=tuple(indexes.get(name, ())),
                uniques=tuple(uniques.get(name, ())),
                foreign_keys=tuple(references.get(name, ())),
                carries=tuple(carries.get(name, ())),
                others=tuple(others.get(name, ())),
            )
            for name, found in columns.items()
        ),
        enums=tuple(Enum(name=name, labels=tuple(labels)) for name, labels in connection.execute(_ENUMS)),
        taken=frozenset(name for (name,) in connection.execute(_TAKEN)),
    )


def _observed_default(expression: str | None) -> Default | None:
    """The literal behind a default, or None where it is none or an expression."""
    if expression is None:
        return None
    if expression.lower() in {"now()", "current_timestamp"}:
        return Default(is_now=True)
    text = literal(expression)
    return None if text is None else Default(text=text)


_CAST = re.compile(r"\(?(?P<value>'(?:[^']|'')*'|-?[0-9]+(?:\.[0-9]+)?|true|false)\)?(?:::[a-z\"][a-z0-9_ \".(),]*)?\Z")


def literal(expression: str) -> str | None:
    """The value of a literal as SQL writes it, possibly with a cast behind."""
    found = _CAST.match(expression.strip())
    if found is None:
        return None
    value = found["value"]
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
