"""Admins hear of alarming acts: once, together, in their language, and without a word from outside."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from persais_core import audit, texts
from persais_core.db.engine import Database
from persais_core.domain.chats import Language
from persais_core.queue import alerts

ANN, BOB, EVE, DAN = 1000001, 1000002, 1000003, 1000004


async def somebody(sql: psycopg.AsyncConnection, number: int, *, language: str = "en", admin: bool = False) -> None:
    """A person who has written to the bot."""
    await sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, 'x', %s, false, %s)",
        (number, language, admin),
    )
    await sql.execute(
        "insert into persais.updates (bot_id, update_id, kind, chat_id) values (1, %s, 'message', %s)", (number, number)
    )


async def happened(database: Database, times: int = 1, action: str = "gate refused", **values: object) -> None:
    for _ in range(times):
        async with database.session() as session:
            audit.record(session, action, **values)  # type: ignore[arg-type]


async def sent(sql: psycopg.AsyncConnection) -> list[tuple[int, str, bool]]:
    query = "select chat_id, body->>'text', (body->>'plain')::bool from persais.outbox order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def test_acts_of_one_kind_come_as_one_message_with_their_number(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    await somebody(sql, ANN, admin=True)
    await happened(database, 3, subject="change 4", outcome="refused")
    await happened(database, subject="change 9", outcome="refused")
    await happened(database, action="merged", subject="change 1")
    telling = alerts.Alerts(database, admins=frozenset())
    assert await telling.tell() == 1
    assert await sent(sql) == [
        (
            ANN,
            "🚨 The checks refused code that reaches for what it may not.\nIt happened 4 times.\n"
            "Changes: #4, #9\n/audit shows the acts.",
            True,
        )
    ]


async def test_a_storm_is_one_message_until_the_quiet_is_over(database: Database, sql: psycopg.AsyncConnection) -> None:
    await somebody(sql, ANN, admin=True)
    telling = alerts.Alerts(database, admins=frozenset())
    for _ in range(5):
        await happened(database, 10)
        await telling.tell()
    assert len(await sent(sql)) == 1
    await happened(database, action="secret found")  # another kind does not wait for it
    await telling.tell()
    assert len(await sent(sql)) == 2
    await alerts.Alerts(database, admins=frozenset(), quiet=0).tell()
    assert "It happened 40 times." in (await sent(sql))[-1][1]
    assert await alerts.Alerts(database, admins=frozenset(), quiet=0).tell() == 0


async def test_only_admins_whose_chat_is_open_are_told_and_in_their_language(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    await somebody(sql, ANN, language="ru", admin=True)
    await somebody(sql, BOB)
    await somebody(sql, EVE)
    # An admin by the settings, known from a group alone.
    await sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, 'd', 'en', false, false)",
        (DAN,),
    )
    await happened(database, action="tap", actor=EVE, outcome="refused", alarm="tap")
    await alerts.Alerts(database, admins=frozenset({BOB, DAN, 5})).tell()
    told = {chat: words for chat, words, _ in await sent(sql)}
    assert told.keys() == {ANN, BOB}
    assert told[ANN].startswith("🚨 Кнопки нажимал") and f"Пользователь: {EVE}" in told[ANN]
    assert told[BOB].startswith("🚨 Buttons were tapped") and f"By user: {EVE}" in told[BOB]


async def test_nobody_to_tell_yet_is_no_loss(database: Database, sql: psycopg.AsyncConnection) -> None:
    await happened(database)
    telling = alerts.Alerts(database, admins=frozenset())
    assert await telling.tell() == 0
    await somebody(sql, ANN, admin=True)
    assert await telling.tell() == 1


async def test_no_word_from_outside_is_in_a_message(database: Database, sql: psycopg.AsyncConnection) -> None:
    await somebody(sql, ANN, admin=True)
    foreign = "[tap me](http://evil.example) sk-or-v1-" + "ab" * 32
    await happened(database, subject=foreign, outcome="refused", findings=[foreign], cause=foreign)
    await alerts.Alerts(database, admins=frozenset()).tell()
    assert "evil" not in (await sent(sql))[0][1] and "sk-or" not in (await sent(sql))[0][1]


async def test_two_processes_tell_once(database: Database, sql: psycopg.AsyncConnection) -> None:
    await somebody(sql, ANN, admin=True)
    await happened(database)
    both = [alerts.Alerts(database, admins=frozenset()) for _ in range(2)]
    async with database.session() as session:
        await session.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": alerts.LOCK})
        assert await both[0].tell() == 0
    assert [await one.tell() for one in both] == [1, 0]


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("kind", audit.KINDS)
def test_every_kind_has_its_words(kind: str, language: Language) -> None:
    words = alerts.message(language, kind, 2, ["1", "2", "3", "4"], [5])
    assert words.count("\n") == 4 and "#3, …" in words
