"""A field that is called otherwise: what is in it, for the release that serves, the one to come, and the way back."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

import tables
from persais_core.db import app_proof, app_schema, app_steps, app_track
from persais_core.db.app_schema import Carry

ITEMS = "agent_items"
TO_QUANTITY = app_steps.Rename(table=ITEMS, before="amount", after="quantity")
TO_AMOUNT = app_steps.Rename(table=ITEMS, before="quantity", after="amount")


def column(name: str, kind: Any = sa.Integer, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, **options)


def items(*columns: sa.Column[Any] | sa.Index) -> app_schema.Schema:
    return tables.declared({ITEMS: columns})


def observed(url: str) -> app_schema.Schema:
    with psycopg.connect(url) as connection:
        return app_schema.observe(connection)


PAIRS: list[tuple[str, Sequence[Any], Sequence[Any], list[Mapping[str, Any]]]] = [
    (
        "must be given",
        [column("amount", nullable=False)],
        [column("quantity", nullable=False)],
        [{"amount": 5}, {"amount": 0}],
    ),
    ("may be empty", [column("amount")], [column("quantity")], [{"amount": 5}, {"amount": None}]),
    (
        "must be given from now on",
        [column("amount")],
        [column("quantity", nullable=False, default=3)],
        [{"amount": 5}, {"amount": None}, {"amount": 3}],
    ),
    (
        "need not be given any more",
        [column("amount", nullable=False, server_default="1")],
        [column("quantity")],
        [{"amount": 5}, {}],
    ),
    ("more room", [column("amount")], [column("quantity", sa.BigInteger)], [{"amount": 5}, {"amount": None}]),
    (
        "unique and indexed",
        [column("amount", sa.String, unique=True, index=True)],
        [column("quantity", sa.String, unique=True, index=True)],
        [{"amount": "a"}, {"amount": "b'c"}],
    ),
    (
        "a reference",
        [sa.Column("amount", sa.ForeignKey(f"{ITEMS}.id"))],
        [sa.Column("quantity", sa.ForeignKey(f"{ITEMS}.id"))],
        [{"amount": 1}, {"amount": None}],
    ),
    (
        "a document",
        [column("amount", sa.JSON)],
        [column("quantity", sa.JSON, nullable=False, default=dict)],
        [{"amount": {"a": [1]}}, {}],
    ),
    (
        "a moment",
        [column("amount", sa.DateTime(timezone=True))],
        [column("quantity", sa.DateTime(timezone=True), nullable=False, default=dt.datetime.now)],
        [{"amount": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}],
    ),
]


@pytest.mark.parametrize(("before", "after", "records"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_a_renamed_field_keeps_what_is_in_it_up_and_down_and_up_again(
    own_url: str, before: Sequence[Any], after: Sequence[Any], records: list[Mapping[str, Any]]
) -> None:
    tables.make(own_url, items(*before))
    tables.add(own_url, ITEMS, *records)
    wanted, now = items(*after), observed(own_url)
    migration = tables.migration(own_url, wanted, renames=[TO_QUANTITY])
    assert "carry-over" in [step.kind for step in migration.operations]
    assert [step.kind for step in migration.losses] == ["drop-column"]
    assert app_proof.prove(own_url, now, wanted, migration) == len(records)
    old = tables.rows(own_url, ITEMS, "amount")
    tables.run(own_url, migration.safe.up)
    new = tables.rows(own_url, ITEMS, "quantity")
    assert [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1] and pair[0] != (None,)] == []


def test_both_releases_read_what_either_writes_and_a_way_back_loses_nothing(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.add(own_url, ITEMS, {"amount": 1}, {"amount": 2}, {"amount": 3})
    renamed = tables.migration(own_url, items(column("quantity", nullable=False)), renames=[TO_QUANTITY])
    tables.run(own_url, renamed.safe.up)
    tables.add(own_url, ITEMS, {"amount": 4}, {"quantity": 5}, {"quantity": 0})
    tables.run(own_url, f"update {ITEMS} set amount = 11 where id = 1")
    tables.run(own_url, f"update {ITEMS} set quantity = 22 where id = 2")
    same = [(11, 11), (22, 22), (3, 3), (4, 4), (5, 5), (0, 0)]
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == same
    with pytest.raises(psycopg.errors.NotNullViolation):
        tables.add(own_url, ITEMS, {})
    tables.run(own_url, renamed.lossy.up)
    tables.add(own_url, ITEMS, {"quantity": 7})
    tables.run(own_url, f"update {ITEMS} set quantity = 33 where id = 3", renamed.lossy.down)
    same[2] = (33, 33)
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [*same, (7, 7)]
    tables.run(own_url, renamed.safe.down)
    assert tables.rows(own_url, ITEMS, "amount") == [*((old,) for old, _ in same), (7,)]
    assert observed(own_url).tables[0].carries == ()
    tables.run(own_url, f"update {ITEMS} set amount = 8 where id = 1", renamed.safe.again)
    assert tables.rows(own_url, ITEMS, "quantity")[0] == (8,)


def test_what_does_not_fit_the_old_field_is_kept_by_its_new_name_alone(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.add(own_url, ITEMS, {"amount": 1})
    wide = tables.migration(own_url, items(column("quantity", sa.BigInteger, nullable=False)), renames=[TO_QUANTITY])
    tables.run(own_url, wide.safe.up)
    tables.add(own_url, ITEMS, {"quantity": 2**40})
    tables.run(own_url, f"update {ITEMS} set quantity = {2**41} where id = 1")
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(None, 2**41), (None, 2**40)]
    tables.run(own_url, wide.safe.down)
    assert tables.rows(own_url, ITEMS, "amount") == [(0,), (0,)]


def test_a_name_that_is_taken_back_takes_the_old_field_which_still_has_it_all(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.add(own_url, ITEMS, {"amount": 1})
    first = tables.migration(own_url, items(column("quantity", nullable=False)), renames=[TO_QUANTITY], tag="first")
    tables.run(own_url, first.safe.up)
    tables.add(own_url, ITEMS, {"quantity": 2})
    wanted = items(column("amount", nullable=False))
    back = tables.migration(own_url, wanted, renames=[TO_AMOUNT], tag="second")
    assert [step.kind for step in back.operations] == ["carry-over", "drop-column"]
    app_proof.prove(own_url, observed(own_url), wanted, back)
    tables.run(own_url, back.safe.up)
    tables.add(own_url, ITEMS, {"quantity": 3}, {"amount": 4})
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(n, n) for n in (1, 2, 3, 4)]
    assert observed(own_url).tables[0].carries == (Carry(before="quantity", after="amount"),)
    tables.run(own_url, back.lossy.up)
    assert tables.rows(own_url, ITEMS, "amount") == [(n,) for n in (1, 2, 3, 4)]


def test_a_later_change_drops_the_old_field_with_what_kept_it_the_same(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.add(own_url, ITEMS, {"amount": 1})
    renamed = tables.migration(own_url, items(column("quantity", nullable=False)), renames=[TO_QUANTITY], tag="first")
    tables.run(own_url, renamed.safe.up)
    for wanted, kinds in (
        (items(column("quantity", nullable=False), column("note", sa.String)), ["add-column", "drop-column"]),
        (items(), ["ease-column", "drop-column", "drop-column"]),
    ):
        later = tables.migration(own_url, wanted)
        assert [step.kind for step in later.operations] == kinds
        app_proof.prove(own_url, observed(own_url), wanted, later)
    both = items(column("quantity", nullable=False), column("amount"))
    anew = tables.migration(own_url, both)
    assert [step.kind for step in anew.operations] == ["part-fields"]
    app_proof.prove(own_url, observed(own_url), both, anew)
    tables.run(own_url, anew.safe.up)
    tables.add(own_url, ITEMS, {"quantity": 6})
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(1, 1), (None, 6)]


def test_an_agent_that_may_touch_its_own_records_only_writes_a_renamed_field_too(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    renamed = tables.migration(own_url, items(column("quantity", nullable=False)), renames=[TO_QUANTITY])
    tables.run(own_url, renamed.safe.up)
    with psycopg.connect(own_url, autocommit=True) as connection:
        role = f"carrying_{secrets.token_hex(4)}"
        connection.execute(f"create role {role}; grant usage on schema public to {role}")
        try:
            connection.execute(f"grant insert on {ITEMS} to {role}; grant usage on sequence {ITEMS}_id_seq to {role}")
            connection.execute(f"set role {role}")
            connection.execute(f"insert into {ITEMS} (quantity, created_by) values (5, 1)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select attic.carry()")
        finally:
            connection.execute(f"reset role; drop owned by {role}; drop role {role}")
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(5, 5)]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([column("quantity", sa.String)], "was integer and would be character varying; leave its type"),
        ([column("count")], "the schema has no field quantity"),
        ([column("quantity"), column("amount")], "the schema still has amount"),
        ([column("quantity", server_default="1")], "no server default"),
        ([column("quantity", nullable=False)], "may be empty until now"),
    ],
)
def test_what_does_not_fit_is_said(own_url: str, after: Sequence[Any], said: str) -> None:
    tables.make(own_url, items(column("amount")))
    with pytest.raises(app_schema.SchemaError, match=said):
        tables.migration(own_url, items(*after), renames=[TO_QUANTITY])


def test_a_field_that_another_one_was_before_is_not_written_over(own_url: str) -> None:
    tables.make(own_url, items(column("amount"), column("quantity")))
    with pytest.raises(app_schema.SchemaError, match="still has an older field of that name"):
        tables.migration(own_url, items(column("quantity")), renames=[TO_QUANTITY])
    with pytest.raises(app_schema.SchemaError, match="the table has no field sum"):
        wrong = app_steps.Rename(table=ITEMS, before="sum", after="total")
        tables.migration(own_url, items(column("amount"), column("total")), renames=[wrong])


# --- a start of the older or the newer release, which knows of no renames ---


@pytest.mark.parametrize("options", [{}, {"server_default": "x"}], ids=["must be given", "has a default"])
def test_a_start_of_either_release_leaves_alone_what_keeps_two_fields_the_same(
    own_url: str, tmp_path: Path, options: Mapping[str, Any]
) -> None:
    old = items(
        column("amount", sa.String, nullable=False, unique=True, **options), sa.Index(f"ix_{ITEMS}_amount", "amount")
    )
    new = items(
        column("quantity", sa.String, nullable=False, unique=True), sa.Index(f"ix_{ITEMS}_quantity", "quantity")
    )
    tables.make(own_url, old)
    tables.add(own_url, ITEMS, {"amount": "a"})
    renamed = tables.migration(own_url, new, renames=[TO_QUANTITY])
    tables.run(own_url, renamed.safe.up)
    for release in (old, new, old):
        app_track.bring_up(own_url, tmp_path, wanted=release)
        (table,) = observed(own_url).tables
        assert [(c.name, c.nullable, c.default) for c in table.columns[2:]] == [
            ("amount", True, None),
            ("quantity", False, None),
        ]
        assert ("quantity",) in {part.columns for part in table.uniques} & {part.columns for part in table.indexes}
    tables.add(own_url, ITEMS, {"amount": "b"}, {"quantity": "c"})
    tables.run(
        own_url, f"update {ITEMS} set amount = 'd' where id = 1", f"update {ITEMS} set quantity = 'e' where id = 2"
    )
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [("d", "d"), ("e", "e"), ("c", "c")]
    if options:  # the older release leaves it to its default
        tables.add(own_url, ITEMS, {})
        assert tables.rows(own_url, ITEMS, "quantity")[3] == ("x",)
    else:
        with pytest.raises(psycopg.errors.NotNullViolation):
            tables.add(own_url, ITEMS, {})
    tables.run(own_url, renamed.safe.down)
    assert tables.rows(own_url, ITEMS, "amount")[:3] == [("d",), ("e",), ("c",)]


def test_a_document_that_goes_by_both_names_is_not_missing_either(own_url: str, tmp_path: Path) -> None:
    tables.make(own_url, items(column("amount", sa.JSON, nullable=False)))
    new = items(column("quantity", sa.JSON, nullable=False))
    tables.run(own_url, tables.migration(own_url, new, renames=[TO_QUANTITY]).safe.up)
    app_track.bring_up(own_url, tmp_path, wanted=items())
    tables.add(own_url, ITEMS, {}, {"quantity": {"a": 1}})
    assert tables.rows(own_url, ITEMS, "quantity") == [({},), ({"a": 1},)]


def test_a_field_that_goes_by_both_names_is_filled_for_a_release_that_knows_neither(
    own_url: str, tmp_path: Path
) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.run(
        own_url, tables.migration(own_url, items(column("quantity", nullable=False)), renames=[TO_QUANTITY]).safe.up
    )
    for _ in range(2):
        app_track.bring_up(own_url, tmp_path, wanted=items())
        tables.add(own_url, ITEMS, {"amount": 4}, {"quantity": 5}, {})
    assert tables.rows(own_url, ITEMS, "quantity") == [(4,), (5,), (0,)] * 2
    assert tables.rows(own_url, ITEMS, "amount")[:2] == [(4,), (5,)]


def test_a_field_that_may_be_empty_later_is_not_filled_any_more(own_url: str) -> None:
    tables.make(own_url, items(column("amount")))
    full = items(column("quantity", nullable=False, default=3))
    tables.run(own_url, tables.migration(own_url, full, renames=[TO_QUANTITY], tag="first").safe.up)
    wanted = items(column("quantity"))
    later = tables.migration(own_url, wanted)
    app_proof.prove(own_url, observed(own_url), wanted, later)
    tables.run(own_url, later.safe.up)
    tables.add(own_url, ITEMS, {"quantity": None})
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(None, None)]
    with pytest.raises(app_schema.SchemaError, match="the table still has that, which a server default would hide"):
        tables.migration(own_url, items(column("quantity", server_default="1")))


def test_a_rename_that_is_done_already_is_judged_as_before(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    tables.add(own_url, ITEMS, {"amount": 1})
    wanted = items(column("quantity", nullable=False))
    tables.run(own_url, tables.migration(own_url, wanted, renames=[TO_QUANTITY], tag="first").safe.up)
    again = tables.migration(own_url, wanted, renames=[TO_QUANTITY], tag="second")
    assert [step.kind for step in again.operations] == ["carry-over", "drop-column"]
    assert app_proof.prove(own_url, observed(own_url), wanted, again) == 1


WIDER: list[tuple[Any, Any, Any, Any, Any]] = [
    (sa.String(5), sa.String, "a", "b", "too long"),
    (sa.SmallInteger, sa.Integer, 1, 2, 40_000),
    (sa.Integer, sa.BigInteger, 1, 2, 2**40),
    (sa.String(5), sa.String(9), "a", "b", "too long"),
]


@pytest.mark.parametrize(("kind", "wide", "first", "fits", "too_big"), WIDER, ids=lambda value: str(value))
def test_a_dropped_field_comes_back_with_what_fits_of_what_its_wider_successor_got(
    own_url: str, kind: Any, wide: Any, first: Any, fits: Any, too_big: Any
) -> None:
    tables.make(own_url, items(column("amount", kind, nullable=False)))
    tables.add(own_url, ITEMS, {"amount": first}, {"amount": first})
    wanted = items(column("quantity", wide, nullable=False))
    renamed = tables.migration(own_url, wanted, renames=[TO_QUANTITY])
    app_proof.prove(own_url, observed(own_url), wanted, renamed)
    tables.run(own_url, renamed.safe.up, renamed.lossy.up)
    tables.add(own_url, ITEMS, {"quantity": fits}, {"quantity": too_big})
    tables.run(own_url, f"update {ITEMS} set quantity = '{fits}' where id = 1")
    tables.run(own_url, f"update {ITEMS} set quantity = '{too_big}' where id = 2", renamed.lossy.down)
    assert tables.rows(own_url, ITEMS, "amount") == [(fits,), (None,), (fits,), (None,)]
    assert tables.rows(own_url, ITEMS, "quantity") == [(fits,), (too_big,), (fits,), (too_big,)]


def test_a_wider_field_that_comes_back_gets_what_was_written_by_its_older_name(own_url: str) -> None:
    tables.make(own_url, items(column("amount", nullable=False)))
    wide = items(column("quantity", sa.BigInteger, nullable=False))
    tables.run(own_url, tables.migration(own_url, wide, renames=[TO_QUANTITY], tag="first").safe.up)
    tables.add(own_url, ITEMS, {"quantity": 1}, {"quantity": 2**40})
    back = tables.migration(own_url, items(column("amount")))
    tables.run(own_url, back.safe.up, back.lossy.up)
    tables.run(own_url, f"update {ITEMS} set amount = 2 where id = 1", back.lossy.down)
    assert tables.rows(own_url, ITEMS, "amount", "quantity") == [(2, 2), (None, 2**40)]
