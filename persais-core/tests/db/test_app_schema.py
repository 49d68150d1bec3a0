"""The bot's tables as values: what is read from schemas, what from the database, and the steps between them."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql

import tables
from persais_core.db import app_document, app_schema, app_steps
from persais_core.db.app_schema import Schema


class Stage(enum.StrEnum):
    NEW = "new"
    DONE = "done"


def everything() -> dict[str, Sequence[Any]]:
    """Each kind of column; made anew each time, as a column belongs to one table."""
    return {
        "agent_places": (sa.Column("name", sa.String(40), nullable=False),),
        "agent_things": (
            sa.Column("text", sa.String, nullable=False, default="x"),
            sa.Column("long", sa.Text),
            sa.Column("amount", sa.Numeric(10, 2), nullable=False, server_default="0"),
            sa.Column("share", sa.Float),
            sa.Column("day", sa.Date),
            sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
            sa.Column("naive", sa.DateTime),
            sa.Column("time", sa.Time),
            sa.Column("took", sa.Interval),
            sa.Column("code", sa.Uuid, unique=True),
            sa.Column("raw", sa.LargeBinary),
            sa.Column("stage", sa.Enum(Stage), nullable=False, default=Stage.NEW),
            sa.Column("data", sa.JSON),
            sa.Column("more", postgresql.JSONB, server_default="{}"),
            sa.Column("sense", Vector(3)),
            sa.Column("order", sa.SmallInteger, index=True),
            sa.Column("said", sa.String, server_default="it's"),
            sa.Column("place", sa.ForeignKey("agent_places.id", ondelete="CASCADE")),
            sa.UniqueConstraint("text", "day"),
            sa.Index("ix_agent_things_text_amount", "text", "amount", unique=True),
        ),
    }


def test_tables_that_were_made_are_seen_as_they_were_declared(own_url: str) -> None:
    wanted = tables.declared(everything())
    tables.make(own_url, wanted)
    with psycopg.connect(own_url) as connection:
        seen = app_schema.observe(connection)
    assert app_steps.difference(seen, wanted) == ()
    for table in wanted.tables:
        found = seen.table(table.name)
        assert found is not None
        bare = [column.model_copy(update={"fill": None}) for column in table.columns]
        assert list(found.columns) == bare
        assert (found.key, found.key_name) == (table.key, table.key_name)
        assert set(found.foreign_keys) == set(table.foreign_keys)


def test_alembic_sees_no_difference_either(own_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from persais_core.db.engine import sqlalchemy_url

    tables.make(own_url, tables.declared(everything()))
    engine = create_engine(sqlalchemy_url(own_url))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"include_object": lambda o, n, k, reflected, c: not (k == "table" and reflected and c is None)},
            )
            assert compare_metadata(context, tables.metadata(everything())) == []
    finally:
        engine.dispose()


def test_other_tables_are_not_the_bots(own_url: str) -> None:
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute("create table notes (id int); create table agentx (id int)")
        connection.execute("create schema other; create table other.agent_notes (id int)")
    assert tables.names(own_url) == set()


def test_a_table_nobody_declares_is_left_alone_unless_it_was_declared_before(own_url: str) -> None:
    tables.make(own_url, tables.declared(everything()))
    assert tables.migration(own_url, Schema()).operations == ()
    gone = tables.migration(own_url, Schema(), droppable=["agent_things", "agent_never"])
    assert [(step.kind, step.table, step.is_lossy) for step in gone.operations] == [
        ("drop-table", "agent_things", True)
    ]


# --- what lies between ---


def text() -> sa.Column[str]:
    return sa.Column("text", sa.String, nullable=False)


STEPS: list[tuple[str, Sequence[Any], Sequence[Any], list[str]]] = [
    ("a field that may be empty", [text()], [text(), sa.Column("tag", sa.String)], ["add-column"]),
    ("a field with a value", [text()], [text(), sa.Column("n", sa.Integer, nullable=False, default=3)], ["add-column"]),
    ("a field with an index", [text()], [text(), sa.Column("tag", sa.String, index=True)], ["add-column", "add-index"]),
    ("a field goes", [text()], [], ["ease-column", "!drop-column"]),
    ("a field that may be empty goes", [sa.Column("tag", sa.String)], [], ["!drop-column"]),
    ("a field is renamed", [text()], [sa.Column("body", sa.String)], ["add-column", "ease-column", "!drop-column"]),
    ("a type changes", [sa.Column("n", sa.Integer)], [sa.Column("n", sa.Boolean)], ["!change-type"]),
    ("a type widens", [sa.Column("n", sa.Integer)], [sa.Column("n", sa.BigInteger)], ["widen-type"]),
    ("a text gets longer", [sa.Column("t", sa.String(9))], [sa.Column("t", sa.String(10))], ["widen-type"]),
    ("a text gets any length", [sa.Column("t", sa.String(9))], [sa.Column("t", sa.Text)], ["widen-type"]),
    ("a text gets shorter", [sa.Column("t", sa.String(9))], [sa.Column("t", sa.String(8))], ["!change-type"]),
    ("must be given", [sa.Column("t", sa.String)], [sa.Column("t", sa.String, nullable=False)], ["!forbid-empty"]),
    ("need not be given", [text()], [sa.Column("text", sa.String)], ["allow-empty"]),
    ("an index comes", [text()], [sa.Column("text", sa.String, nullable=False, index=True)], ["add-index"]),
    ("an index goes", [sa.Column("text", sa.String, index=True)], [sa.Column("text", sa.String)], ["drop-index"]),
    ("unique", [text()], [sa.Column("text", sa.String, nullable=False, unique=True)], ["!add-unique"]),
    ("not unique", [sa.Column("t", sa.String, unique=True)], [sa.Column("t", sa.String)], ["drop-unique"]),
    (
        "an index becomes unique",
        [sa.Column("t", sa.String, index=True)],
        [sa.Column("t", sa.String, index=True, unique=True)],
        ["drop-index", "!add-unique"],
    ),
    ("a new field is unique", [text()], [text(), sa.Column("t", sa.String, unique=True)], ["add-column", "add-unique"]),
    ("a default", [text()], [sa.Column("text", sa.String, nullable=False, server_default="x")], ["set-default"]),
    ("a default in Python only", [text()], [sa.Column("text", sa.String, nullable=False, default="x")], []),
    ("an enum", [text()], [text(), sa.Column("stage", sa.Enum(Stage))], ["add-enum", "add-column"]),
    (
        "another name of an index",
        [text(), sa.Index("ix_agent_notes_a", "text")],
        [text(), sa.Index("ix_agent_notes_b", "text")],
        [],
    ),
    (
        "an enum with an awkward name",
        [text()],
        [text(), sa.Column("o", sa.Enum("A", name="order"))],
        ["add-enum", "add-column"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "kinds"), [item[1:] for item in STEPS], ids=[item[0] for item in STEPS])
def test_steps_are_named_and_told_apart(
    own_url: str, before: Sequence[Any], after: Sequence[Any], kinds: list[str]
) -> None:
    tables.make(own_url, tables.declared({"agent_notes": before}))
    steps = tables.migration(own_url, tables.declared({"agent_notes": after})).operations
    assert [("!" if step.is_lossy else "") + step.kind for step in steps] == kinds
    assert all(step.sentence and "{" not in step.sentence for step in steps)


def test_a_word_more_of_an_enum_is_learnt_and_a_word_less_is_kept(own_url: str) -> None:
    def stage(*labels: str) -> Schema:
        return tables.declared({"agent_notes": [sa.Column("stage", sa.Enum(*labels, name="stage"))]})

    tables.make(own_url, stage("NEW", "DONE"))
    more = tables.migration(own_url, stage("NEW", "MIDDLE", "DONE")).operations
    assert [(step.kind, step.labels) for step in more] == [("add-label", ("MIDDLE",))]
    assert tables.migration(own_url, stage("NEW")).operations == ()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([text(), sa.Column("n", sa.Integer, nullable=False)], "have no value for it"),
        ([text(), sa.Column("m", sa.Integer, primary_key=True)], "primary key"),
        ([text(), sa.Column("s", sa.Enum("A", name="vector"))], "another type"),
        ([text(), sa.Column("s", sa.Enum("A", name="json"))], "another type"),
    ],
)
def test_what_cannot_be_reached_is_said(own_url: str, after: Sequence[Any], said: str) -> None:
    tables.make(own_url, tables.declared({"agent_notes": [text()]}))
    with pytest.raises(app_schema.SchemaError, match=said):
        tables.migration(own_url, tables.declared({"agent_notes": after}))


def test_tables_that_refer_to_each_other_in_a_circle_are_refused() -> None:
    circle = tables.declared(
        {
            "agent_a": [sa.Column("b", sa.ForeignKey("agent_b.id", use_alter=True))],
            "agent_b": [sa.Column("a", sa.ForeignKey("agent_a.id"))],
        }
    )
    with pytest.raises(app_schema.SchemaError, match="circle"):
        app_steps.difference(Schema(), circle)


# --- hostile documents ---


def sample() -> dict[str, Any]:
    return app_document.describe(tables.metadata(everything()))


def things(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(table for table in document["tables"] if table["name"] == "agent_things")
    return found


def column(document: dict[str, Any], name: str = "text") -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in things(document)["columns"] if item["name"] == name)
    return found


def set_in(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change at a place of the document, such as `columns.0.name` of the table agent_things."""

    def change(document: dict[str, Any]) -> None:
        place: Any = things(document)
        *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
        for part in way:
            place = place[part]
        place[last] = value

    return change


QUOTE = 'x"; drop table persais.people; --'
HOSTILE: list[Callable[[dict[str, Any]], None]] = [
    *(
        set_in("name", name)
        for name in (f"agent_{QUOTE}", "agent_", "agent_" + "x" * 58, "agent_Ü", "agent_a\n", "agent_a.b")
    ),
    *(
        set_in("columns.2.name", name)
        for name in (QUOTE, "", "Text", "a" * 64, "1a", "a\x00b", "a b", "text\n", "ctid\u202e")
    ),
    *(
        set_in("columns.2.type", kind)
        for kind in (
            "text; drop table persais.people", "TEXT COLLATE evil", "regclass", "oid", "character varying(0)",
            "VARCHAR(99999999999)", "VARCHAR(9); select 1", "NUMERIC(2, 9)", "VECTOR(99999)", "TEXT[]", "public.stage",
            "stage ", "xml", "VECTOR(3) default evil()", "SERIAL", "",
        )
    ),
    *(
        set_in("columns.2.default", {"sql": text})
        for text in ("pg_sleep(9)", "'a' || version()", "(select 1)", "nextval('persais.people')", "'a'; drop table x",
                     "'a'::text); select 1", "E'\\x41'", "$$a$$", "current_user")
    ),
    set_in("columns.2.default", {"text": "a\x00b"}),
    set_in("columns.2.default", {"text": "x" * 3000}),
    set_in("columns.2.computed", True),
    set_in("columns.2.nullable", "maybe"),
    set_in("key", []),
    set_in("key", ["nobody"]),
    set_in("columns", [{"name": f"c{n}", "type": "TEXT", "nullable": True, "default": None, "fill": None,
                        "counted": False, "computed": False} for n in range(300)]),
    *(
        set_in("indexes.0.name", name)
        for name in ("checkpoints", "procrastinate_jobs", "ix_people", QUOTE, "ix_agent_" + "x" * 60, "agent_a\n")
    ),
    set_in("indexes.0.columns", ["nobody"]),
    set_in("indexes.0.columns", [None]),
    set_in("indexes.0.columns", []),
    set_in("indexes.0.plain", False),
    set_in("uniques.0.name", "checkpoints"),
    set_in("uniques.0.columns", ["nobody"]),
    set_in("foreign_keys.0.table", "people"),
    set_in("foreign_keys.0.table", "persais.people"),
    set_in("foreign_keys.0.targets", [QUOTE]),
    set_in("foreign_keys.0.targets", []),
    set_in("foreign_keys.0.columns", ["nobody"]),
    set_in("foreign_keys.0.on_delete", "CASCADE; drop table x"),
    set_in("foreign_keys.0.name", QUOTE),
    set_in("unknown", 1),
    lambda document: document["tables"].append(things(document)),
    lambda document: things(document)["columns"].append(column(document)),
    lambda document: document["tables"].append(things(document) | {"name": "Evil"}),
    lambda document: document.update(enums=[{"name": "pg_evil", "labels": ["A"]}]),
    lambda document: document.update(enums=[{"name": "procrastinate_job_status", "labels": ["A"]}]),
    lambda document: document.update(enums=[{"name": QUOTE, "labels": ["A"]}]),
    lambda document: document.update(enums=[{"name": "stage", "labels": []}]),
    lambda document: document.update(enums=[{"name": "stage", "labels": ["A", "A"]}]),
    lambda document: document.update(enums=[{"name": "stage", "labels": ["a\x00"]}]),
    lambda document: document.update(enums=[{"name": "stage", "labels": ["ü" * 40]}]),
    lambda document: document.update(tables=[things(document) | {"name": f"agent_{n}"} for n in range(200)]),
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
def test_a_document_that_is_not_as_ours_is_refused_with_one_plain_sentence(
    change: Callable[[dict[str, Any]], None],
) -> None:
    document = sample()
    change(document)
    with pytest.raises(app_schema.SchemaError) as refused:
        app_document.read(json.dumps(document).encode())
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b" " * 500_000, b'{"tables": 1}'])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(app_schema.SchemaError):
        app_document.read(raw)


@pytest.mark.parametrize(
    "text", ["it's", '"; drop table x; --', "%s", "\\", "$$", "a\nb", "ü🎭", "now()", "x" * 2000, ""]
)
def test_a_default_is_a_value_whatever_stands_in_it(own_url: str, text: str) -> None:
    wanted = tables.declared({"agent_notes": [sa.Column("text", sa.String, nullable=False, server_default=text)]})
    tables.make(own_url, wanted)
    tables.add(own_url, "agent_notes", {})
    assert tables.rows(own_url, "agent_notes", "text") == [(text,)]
    assert tables.migration(own_url, wanted).operations == ()


def test_names_at_their_longest_are_told_apart(own_url: str) -> None:
    name = "agent_" + "n" * 57
    long = [sa.Column(f"{'c' * 60}{n}", sa.String, index=True, unique=bool(n % 2)) for n in range(4)]
    wanted = tables.declared({name: [*long, sa.Column("ref", sa.ForeignKey(f"{name}.id"))]})
    tables.make(own_url, wanted)
    assert tables.migration(own_url, wanted).operations == ()
