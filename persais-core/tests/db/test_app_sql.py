"""The SQL of each kind of step, run up, down and up again with records in the tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pgvector.sqlalchemy import Vector

import tables
from persais_core import errors
from persais_core.db import app_proof, app_schema, app_sql, app_steps
from persais_core.db.app_schema import Schema

NOTES = "agent_notes"


def column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, **options)


PAIRS: list[tuple[str, Sequence[Any], Sequence[Any], list[Mapping[str, Any]]]] = [
    ("a field comes", [], [column("tag", sa.String)], [{}, {}]),
    (
        "fields that must be given come",
        [],
        [
            column("n", sa.Integer, nullable=False, default=3),
            column("text", sa.Text, nullable=False, default="it's"),
            column("ok", sa.Boolean, nullable=False, default=False),
            column("at", sa.DateTime(timezone=True), nullable=False, default=dt.datetime.now),
            column("data", sa.JSON, nullable=False, default=dict),
            column("raw", sa.LargeBinary, nullable=False, default=b"\x00'"),
            column("stage", sa.Enum("NEW", "DONE", name="stage"), nullable=False, default="NEW"),
        ],
        [{}, {}, {}],
    ),
    (
        "fields of every kind go",
        [
            column("text", sa.String(9), nullable=False),
            column("n", sa.Numeric(8, 3), nullable=False),
            column("day", sa.Date, nullable=False),
            column("at", sa.DateTime(timezone=True), nullable=False),
            column("time", sa.Time, nullable=False),
            column("took", sa.Interval, nullable=False),
            column("code", sa.Uuid, nullable=False),
            column("raw", sa.LargeBinary, nullable=False),
            column("data", sa.JSON, nullable=False),
            column("sense", Vector(2), nullable=False),
            column("stage", sa.Enum("NEW", "DONE", name="stage"), nullable=False),
            column("given", sa.String, nullable=False, server_default="x"),
            column("maybe", sa.String),
        ],
        [],
        [
            {
                "text": "a'b", "n": 1.25, "day": dt.date(2026, 1, 2), "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
                "time": dt.time(3, 4), "took": dt.timedelta(5), "code": "0" * 31 + str(number), "raw": b"\x00",
                "data": {"a": [number]}, "sense": "[1,2]", "stage": "DONE", "maybe": None,
            }
            for number in range(3)
        ],
    ),
    ("a number becomes a text", [column("n", sa.Integer)], [column("n", sa.String)], [{"n": 1}, {"n": None}]),
    ("a text becomes a number", [column("n", sa.String)], [column("n", sa.Integer)], [{"n": "12"}, {"n": None}]),
    ("a number is cut", [column("n", sa.Float)], [column("n", sa.Integer)], [{"n": 1.5}, {"n": -2.49}]),
    ("a text is cut", [column("t", sa.String(9))], [column("t", sa.String(2))], [{"t": "abcd"}, {"t": "a"}]),
    ("a number becomes yes or no", [column("n", sa.Integer)], [column("n", sa.Boolean)], [{"n": 7}, {"n": 0}]),
    (
        "a moment becomes a day",
        [column("at", sa.DateTime(timezone=True))],
        [column("at", sa.Date)],
        [{"at": dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)}],
    ),
    (
        "a type with a default",
        [column("n", sa.Integer, nullable=False, server_default="1")],
        [column("n", sa.String, nullable=False, server_default="x")],
        [{"n": 5}, {}],
    ),
    ("a number gets room", [column("n", sa.Integer)], [column("n", sa.BigInteger)], [{"n": 5}]),
    ("a text gets room", [column("t", sa.String(3))], [column("t", sa.Text)], [{"t": "abc"}]),
    (
        "a text becomes an enum",
        [column("s", sa.String)],
        [column("s", sa.Enum("NEW", "DONE", name="stage"))],
        [{"s": "NEW"}],
    ),
    (
        "an enum becomes a text",
        [column("s", sa.Enum("NEW", "DONE", name="stage"))],
        [column("s", sa.String)],
        [{"s": "NEW"}],
    ),
    (
        "a word more",
        [column("s", sa.Enum("NEW", name="stage"))],
        [column("s", sa.Enum("NEW", "DONE", name="stage"))],
        [{"s": "NEW"}],
    ),
    (
        "must be given",
        [column("t", sa.String)],
        [column("t", sa.String, nullable=False, default="?")],
        [{"t": None}, {"t": "a"}, {"t": "?"}],
    ),
    (
        "must be given, and of another type",
        [column("n", sa.String)],
        [column("n", sa.Integer, nullable=False, default=9)],
        [{"n": None}, {"n": "9"}, {"n": "1"}],
    ),
    ("need not be given", [column("t", sa.String, nullable=False)], [column("t", sa.String)], [{"t": "a"}]),
    ("unique", [column("t", sa.String)], [column("t", sa.String, unique=True)], [{"t": "a"}, {"t": None}, {"t": None}]),
    ("not unique", [column("t", sa.String, unique=True)], [column("t", sa.String)], [{"t": "a"}]),
    ("indexed", [column("t", sa.String)], [column("t", sa.String, index=True)], [{"t": "a"}]),
    (
        "the index of a field that goes",
        [column("t", sa.String, index=True, nullable=False), sa.UniqueConstraint("t", "id")],
        [],
        [{"t": "a"}],
    ),
    ("refers", [column("r", sa.Integer)], [column("r", sa.ForeignKey(f"{NOTES}.id"))], [{"r": 1}, {"r": None}]),
    ("refers no more", [column("r", sa.ForeignKey(f"{NOTES}.id"))], [column("r", sa.Integer)], [{"r": 1}]),
    (
        "is renamed",
        [column("old_name", sa.String, nullable=False)],
        [column("name", sa.String, nullable=False, default="")],
        [{"old_name": "a"}],
    ),
]  # fmt: skip


def begun(
    url: str, before: Sequence[Any], after: Sequence[Any], records: list[Mapping[str, Any]]
) -> tuple[Schema, Schema, app_sql.Migration]:
    """A table with records in the database: the tables now, those that are wanted, and the way there."""
    wanted = tables.declared({NOTES: after})
    tables.make(url, tables.declared({NOTES: before}))
    tables.add(url, NOTES, *records)
    with psycopg.connect(url) as connection:
        now = app_schema.observe(connection)
    return now, wanted, app_sql.write(app_steps.difference(now, wanted), tag=tables.TAG)


@pytest.mark.parametrize(("before", "after", "records"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_up_and_down_and_up_again_keep_every_value(
    own_url: str, before: Sequence[Any], after: Sequence[Any], records: list[Mapping[str, Any]]
) -> None:
    now, wanted, migration = begun(own_url, before, after, records)
    assert migration.operations
    assert app_proof.prove(own_url, now, wanted, migration) == len(records)
    with psycopg.connect(own_url) as connection:
        assert app_schema.observe(connection) == now


def test_a_table_comes_and_goes_with_its_records(own_url: str) -> None:
    things = [column("text", sa.String, unique=True, index=True), column("r", sa.ForeignKey("agent_other.id"))]
    wanted = tables.declared({NOTES: things, "agent_other": []})
    made = tables.migration(own_url, wanted).safe
    tables.run(own_url, made.up)
    tables.add(own_url, "agent_other", {})
    tables.add(own_url, NOTES, {"text": "a", "r": 1})
    tables.run(own_url, made.down)
    assert tables.names(own_url) == set()
    assert tables.contents(own_url) == [f"{NOTES}__{tables.TAG}a", f"agent_other__{tables.TAG}a"]
    tables.run(own_url, made.again)
    tables.add(own_url, NOTES, {"text": "b", "r": 1})
    assert tables.rows(own_url, NOTES, "id", "text") == [(1, "a"), (2, "b")]
    assert tables.contents(own_url) == []
    assert tables.migration(own_url, wanted).operations == ()


def test_a_table_may_go_often_under_the_same_name(own_url: str) -> None:
    wanted = tables.declared({NOTES: [column("text", sa.String, index=True)]})
    for number in range(3):
        tables.run(own_url, tables.migration(own_url, wanted, tag=f"up{number}").safe.up)
        tables.add(own_url, NOTES, {"text": str(number)})
        gone = tables.migration(own_url, Schema(), droppable=[NOTES], tag=f"gone{number}")
        tables.run(own_url, gone.lossy.up)
    assert tables.contents(own_url) == [f"{NOTES}__gone{number}b" for number in range(3)]
    assert tables.rows(own_url, f"attic.{NOTES}__gone1b", "text") == [("1",)]


def test_a_table_that_went_does_not_hold_back_what_it_referred_to(own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [column("r", sa.ForeignKey("agent_other.id"))], "agent_other": []}))
    tables.add(own_url, "agent_other", {})
    tables.add(own_url, NOTES, {"r": 1})
    with psycopg.connect(own_url) as connection:
        now = app_schema.observe(connection)
    keep = now.model_copy(update={"tables": tuple(table for table in now.tables if table.name != NOTES)})
    gone = tables.migration(own_url, keep, droppable=[NOTES]).lossy
    tables.run(own_url, gone.up, "delete from agent_other", gone.down)
    assert tables.rows(own_url, NOTES, "r") == [(1,)]


def test_the_older_and_the_newer_release_can_both_write_between_the_two_scripts(own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [column("old", sa.String, nullable=False)]}))
    both = tables.migration(own_url, tables.declared({NOTES: [column("new", sa.Integer, nullable=False, default=1)]}))
    tables.run(own_url, both.safe.up)
    tables.add(own_url, NOTES, {"old": "x"}, {"new": 2})
    assert tables.rows(own_url, NOTES, "old", "new") == [("x", 1), ("", 2)]
    tables.run(own_url, both.safe.down)
    assert tables.rows(own_url, NOTES, "old") == [("x",), ("",)]


def test_what_was_written_after_the_change_is_not_overwritten_by_taking_it_back(own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [column("n", sa.Float), column("t", sa.String)]}))
    tables.add(own_url, NOTES, {"n": 1.5, "t": None}, {"n": 2.5, "t": None})
    changed = tables.migration(
        own_url,
        tables.declared({NOTES: [column("n", sa.Integer), column("t", sa.String, nullable=False, default="?")]}),
    ).lossy
    tables.run(own_url, changed.up, f"update {NOTES} set n = 9, t = 'mine' where id = 1")
    tables.add(own_url, NOTES, {"n": 4, "t": "later"})
    tables.run(own_url, changed.down)
    assert tables.rows(own_url, NOTES, "n", "t") == [(9.0, "mine"), (2.5, None), (4.0, "later")]
    tables.run(own_url, changed.again)
    assert tables.rows(own_url, NOTES, "n", "t") == [(9, "mine"), (2, "?"), (4, "later")]


def test_a_dropped_field_comes_back_for_the_records_that_are_left(own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [column("text", sa.String, nullable=False)]}))
    tables.add(own_url, NOTES, {"text": "a"}, {"text": "b"})
    gone = tables.migration(own_url, tables.declared({NOTES: []}))
    tables.run(own_url, gone.safe.up, gone.lossy.up, f"delete from {NOTES} where id = 1")
    tables.add(own_url, NOTES, {})
    assert tables.rows(own_url, f"attic.{NOTES}__text__{tables.TAG}b", "id", "text") == [(1, "a"), (2, "b")]
    tables.run(own_url, gone.lossy.down, gone.safe.down)
    assert tables.rows(own_url, NOTES, "id", "text") == [(2, "b"), (3, "")]
    with pytest.raises(psycopg.errors.NotNullViolation):
        tables.add(own_url, NOTES, {})


def test_the_attic_is_emptied_after_thirty_days_and_not_before(own_url: str) -> None:
    tables.make(own_url, tables.declared({NOTES: [column("text", sa.String)], "agent_other": []}))
    gone = tables.migration(own_url, Schema(), droppable=[NOTES, "agent_other"]).lossy
    tables.run(own_url, gone.up)
    kept = f"{NOTES}__{tables.TAG}b"
    with psycopg.connect(own_url, autocommit=True) as connection:
        assert app_sql.purge(connection) == ()
        connection.execute("update attic.contents set since = now() - interval '31 days' where name = %s", (kept,))
        assert app_sql.purge(connection) == (kept,)
        assert connection.execute("select to_regclass(%s)", (f"attic.{kept}",)).fetchone() == (None,)
    assert tables.contents(own_url) == [f"agent_other__{tables.TAG}b"]


# --- the proof ---


@pytest.mark.parametrize(
    ("before", "after", "records", "said"),
    [
        ([column("n", sa.String)], [column("n", sa.Integer)], [{"n": "secret"}], "cannot be converted"),
        ([column("t", sa.String)], [column("t", sa.String, unique=True)], [{"t": "secret"}] * 2, "the same value"),
        ([column("t", sa.String)], [column("t", sa.String, nullable=False)], [{"t": None}], f"{NOTES}.t is empty"),
        ([column("r", sa.Integer)], [column("r", sa.ForeignKey(f"{NOTES}.id"))], [{"r": 99}], "not there"),
    ],
    ids=["type", "unique", "empty", "reference"],
)
def test_what_does_not_go_with_the_records_is_said_without_a_word_of_them(
    own_url: str, before: Sequence[Any], after: Sequence[Any], records: list[Mapping[str, Any]], said: str
) -> None:
    now, wanted, migration = begun(own_url, before, after, records)
    with pytest.raises(app_proof.ProofError, match=said) as refused:
        app_proof.prove(own_url, now, wanted, migration)
    assert "secret" not in str(refused.value)


def test_a_script_that_does_not_do_what_the_steps_say_is_found_out(own_url: str) -> None:
    wanted = tables.declared({NOTES: [column("t", sa.String), column("n", sa.Integer)]})
    tables.make(own_url, tables.declared({NOTES: [column("t", sa.String)]}))
    tables.add(own_url, NOTES, {"t": "a"})
    with psycopg.connect(own_url) as connection:
        now = app_schema.observe(connection)
    honest = app_sql.write(app_steps.difference(now, wanted), tag=tables.TAG)
    for change, said in (
        ({"up": "select 1"}, "would still differ"),
        ({"up": honest.safe.up + f"update {NOTES} set t = 'b'"}, "no step is about"),
        ({"down": "select 1"}, "does not bring back"),
        ({"again": honest.safe.again + f"update {NOTES} set t = 'b'"}, "a second time"),
    ):
        forged = honest.model_copy(update={"safe": honest.safe.model_copy(update=change)})
        with pytest.raises(app_proof.ProofError, match=said):
            app_proof.prove(own_url, now, wanted, forged)


def copies(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [
            name
            for (name,) in connection.execute("select datname from pg_database where datname like 'persais\\_proof%'")
        ]


def test_the_copy_is_gone_afterwards_and_so_is_one_that_a_killed_program_left(own_url: str) -> None:
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute("create database persais_proof_1000000000_dead")
    wanted = tables.declared({NOTES: []})
    made = tables.migration(own_url, wanted)
    app_proof.prove(own_url, Schema(), wanted, made)
    assert copies(own_url) == []
    with pytest.raises(app_proof.ProofError):
        app_proof.prove(own_url, Schema(), wanted, made.model_copy(update={"safe": app_sql.Script(up="nonsense")}))
    assert copies(own_url) == []


def test_a_role_that_may_not_make_a_copy_is_told_so(own_url: str) -> None:
    from sqlalchemy.engine import make_url

    wanted = tables.declared({NOTES: []})
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute("drop role if exists persais_test_weak")
        connection.execute("create role persais_test_weak login password 'weak'")
        try:
            weak = make_url(own_url).set(username="persais_test_weak", password="weak").render_as_string(False)
            with pytest.raises(errors.DatabaseError, match="allowed to create databases"):
                app_proof.prove(weak, Schema(), wanted, tables.migration(own_url, wanted))
        finally:
            connection.execute("drop role persais_test_weak")
