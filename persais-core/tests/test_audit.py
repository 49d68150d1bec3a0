"""The log of consequential acts: what is in it, that nothing leaves it, and that no act is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

import persais_core
from persais_core import audit, errors, settings
from persais_core.db.engine import Database
from persais_core.llm.books import Booking, Books
from persais_core.metrics import Metrics

SOURCES = Path(persais_core.__file__).parent
# Where each act is noted. An act that is missing there was forgotten, or lost when its code was moved.
NOTED = {
    "dead letter dropped": "queue/letters.py",
    "dead letter retried": "queue/letters.py",
    "agent configured": "agents/config.py",
    "agent shared": "agents/visibility.py",
    "coder began": "mechanic/code.py",
    "coder ended": "mechanic/code.py",
    "edit refused": "mechanic/code.py",
    "tool called": "mechanic/tools/__init__.py",
    "attic emptied": "mechanic/migrate.py",
    "change abort": "mechanic/approvals.py",
    "change aborted": "mechanic/abort.py",
    "change corrected": "mechanic/ledger.py",
    "change deploy": "mechanic/approvals.py",
    "change deploy_drop": "mechanic/approvals.py",
    "change failed": "mechanic/evolution.py",
    "change leave": "mechanic/approvals.py",
    "change planned": "mechanic/graph.py",
    "change requested": "mechanic/ledger.py",
    "change retry": "mechanic/approvals.py",
    "change set": "mechanic/approvals.py",
    "change try": "mechanic/approvals.py",
    "checks failed": "mechanic/noted.py",
    "checks passed": "mechanic/noted.py",
    "claim": "security/access.py",
    "command refused": "orchestrator/built_in.py",
    "deployed": "mechanic/settle.py",
    "gate refused": "mechanic/noted.py",
    "loss allowed": "mechanic/migrate.py",
    "merged": "mechanic/deploy.py",
    "preview begun": "mechanic/preview/living.py",
    "pull request opened": "mechanic/deliver.py",
    "release activated": "app/working.py",
    "release confirmed": "mechanic/settle.py",
    "rolled back": "mechanic/rollback.py",
    "sandbox refused": "mechanic/noted.py",
    "sandbox weak": "app/working.py",
    "secret found": "mechanic/noted.py",
    "settings changed": "audit.py",
    "stranger refused": "security/access.py",
    "tables changed": "mechanic/migrate.py",
    "tables dropped": "mechanic/migrate.py",
    "tables taken back": "mechanic/migrate.py",
    "taken back": "mechanic/settle.py",
    "tap": "mechanic/approvals.py",
    "turn refused": "mechanic/ledger.py",
    "cap reached": "llm/books.py",
}


def noted(file: Path) -> Iterator[str]:
    """The acts that a module notes: those it names, and those that a button's name is put behind."""
    tree = ast.parse(file.read_text("utf-8"))
    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"record", "refuse"}
    ]
    if not calls:
        return
    yield from names
    for call in calls:
        for argument in call.args[1:2]:
            if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
                start = str(argument.values[0].value)
                yield from (start + name for name in names)


@pytest.mark.parametrize("act", audit.ACTS)
def test_every_consequential_act_is_noted_where_it_happens(act: str) -> None:
    assert act in NOTED, "say here where it is noted"
    assert act in set(noted(SOURCES / NOTED[act]))


async def entries(sql: psycopg.AsyncConnection) -> list[tuple[object, ...]]:
    query = "select actor, action, subject, outcome, commit, detail from persais.audit order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def test_an_entry_says_who_did_what_to_what(database: Database, sql: psycopg.AsyncConnection) -> None:
    async with database.session() as session:
        audit.record(session, "change deploy", actor=7_000_000_000, subject="change 3", commit="abc", cost=0.5)
    assert await entries(sql) == [(7_000_000_000, "change deploy", "change 3", "ok", "abc", {"cost": 0.5})]


async def test_the_program_itself_acts_without_an_actor(database: Database, sql: psycopg.AsyncConnection) -> None:
    async with database.session() as session:
        audit.record(session, "release activated", outcome="failed")
    assert await entries(sql) == [(None, "release activated", "", "failed", None, {})]


async def test_an_act_that_was_rolled_back_has_no_entry(database: Database, sql: psycopg.AsyncConnection) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            audit.record(session, "never happened")
            raise ZeroDivisionError
    assert await entries(sql) == []


@pytest.mark.parametrize(
    "statement",
    [
        "update persais.audit set action = 'forged'",
        "delete from persais.audit",
        "truncate persais.audit",
        "insert into persais.audit (id, action, subject, outcome) values (1, 'x', '', 'ok') "
        "on conflict (id) do update set action = 'forged'",
        "merge into persais.audit using (values (1)) as v(n) on id = n when matched then delete",
        "with gone as (delete from persais.audit returning 1) select * from gone",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_not_even_the_owner_of_the_table_changes_or_removes_an_entry(own_url: str, role: str, statement: str) -> None:
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute("insert into persais.audit (action, subject, outcome) values ('tap', '', 'ok')")
        connection.execute(f"set session_replication_role = {role}".encode())
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement.encode())
        assert connection.execute("select action from persais.audit").fetchall() == [("tap",)]


async def test_what_anybody_may_repeat_does_not_fill_the_log(database: Database, sql: psycopg.AsyncConnection) -> None:
    for _ in range(audit.MOST_REFUSALS + 5):
        async with database.session() as session:
            await audit.refuse(session, "tap", actor=7, alarm="tap", cause="unknown button")
    async with database.session() as session:
        await audit.refuse(session, "tap", actor=8, alarm="tap", cause="unknown button")
    assert [row[0] for row in await entries(sql)] == [7] * audit.MOST_REFUSALS + [8]


async def test_entries_are_found_by_act_actor_change_time_and_word(database: Database) -> None:
    async with database.session() as session:
        audit.record(session, "merged", actor=7, subject="change 3")
        audit.record(session, "merged", actor=8, subject="change 30")
        audit.record(session, "tap", actor=8, outcome="refused", alarm="tap", cause="100%_sure")
    now = datetime.now(UTC)
    async with database.session() as session:

        async def ids(**wanted: object) -> list[int | None]:
            return [entry.id for entry in await audit.read(session, audit.Wanted(**wanted))]  # type: ignore[arg-type]

        assert await ids() == [1, 2, 3]
        assert await ids(limit=1) == [3]
        assert await ids(action="erge") == [1, 2]
        assert await ids(actor=8) == [2, 3]
        assert await ids(change=3) == [1]
        assert await ids(since=now + timedelta(hours=1)) == []
        assert await ids(after=2) == [3]
        assert await ids(word="REFUSED") == [3]
        assert await ids(word="%") == []  # no wildcard


async def test_a_changed_setting_is_noted_by_name_and_its_value_cannot_be_read(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    async def start(**values: object) -> tuple[str, ...]:
        made = settings.Settings(_env_file=None, **values)  # type: ignore[arg-type]
        async with database.session() as session:
            return await audit.note_settings(session, made.written_out)

    secret = "sk-or-v1-" + "5f" * 32
    assert await start(openrouter_api_key=secret) == ()
    assert await start(openrouter_api_key=secret) == ()
    assert await start(openrouter_api_key=secret, admin_user_ids="5, 7") == ("admin_user_ids",)
    assert await start(openrouter_api_key=secret[::-1], admin_user_ids="7, 5") == ("openrouter_api_key",)
    # What stands in on this machine gets another address at each start.
    assert await start(openrouter_api_key=secret[::-1], admin_user_ids="7, 5", port=5) == ()
    rows = await entries(sql)
    assert [row[1] for row in rows] == ["settings changed"] * 3
    assert secret not in str(rows)


async def test_a_cap_that_was_reached_is_noted_with_whom_and_what_for(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    books = Books(settings.Settings(_env_file=None, max_cost_per_day=0), database, Metrics())
    with pytest.raises(errors.BudgetError):
        await books.check_budget(Booking(purpose="plan", user_id=7, change_id=3))
    detail = {"cap": "MAX_COST_PER_DAY", "spent": "0.00"}
    assert await entries(sql) == [(7, "cap reached", "change 3", "refused", None, detail)]
