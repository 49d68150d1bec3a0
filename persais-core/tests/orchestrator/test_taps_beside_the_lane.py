"""Taps that wait for nothing in the chat: each does what its own kind of button may, for those who may."""

from __future__ import annotations

import psycopg
import pytest

from persais_core import texts
from persais_core.channels.base import Press
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval
from persais_core.domain.changes import ChangeState
from persais_core.domain.chats import Lane, User
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator.taps import Taps
from persais_core.queue import letters
from persais_core.security.access import Access
from persais_core.security.redact import Redactor

ANN, BOB = User(id=1000001, name="Ann", is_admin=True), User(id=1000002, name="Bob")
LANE = Lane(chat_id=-7)
OURS = ("c:nonce", "d:1:2", "p:1", "dead:drop:1")
FORGED = ("", "c:", "c:other", "d:", "d:1", "d:1:x", "d:1:-2", "p:", "p:x", "dead:", "dead:drop", "e:1", "nonce ")


@pytest.fixture
async def taps(database: Database, sql: psycopg.AsyncConnection) -> Taps:
    """With a change that waits for a tap, and a letter."""
    ledger = Ledger(database, Redactor())
    change = await ledger.open(lane=LANE, user=ANN, request="Echo", turn_id=None)
    assert change.id == 1
    buttons = {"deploy": "c:nonce", "abort": "c:another"}
    await ledger.update(change.id, state=ChangeState.AWAITING_APPROVAL, commit="c" * 40, buttons=buttons)
    async with database.session() as session:
        session.add(Approval(nonce="nonce", change_id=change.id, action="deploy", commit="c" * 40))
        await letters.keep(session, "job", subject="job 1", cause="x", redactor=Redactor(), payload=None, tries=2)
    await sql.execute("delete from procrastinate_jobs")  # those by which the change came so far
    return Taps(database, Access(database, allowed=frozenset({BOB.id}), admins=frozenset({ANN.id})), ledger)


async def done(sql: psycopg.AsyncConnection) -> list[str]:
    """What taps have put in the queue, and the letters that are not waiting any more."""
    tasks = await (await sql.execute("select task_name from procrastinate_jobs order by id")).fetchall()
    left = await (await sql.execute("select state from persais.dead_letters where state <> 'waiting'")).fetchall()
    return [word for (word,) in (*tasks, *left)]


async def refused(sql: psycopg.AsyncConnection) -> list[tuple[int, str, str, str | None]]:
    query = (
        "select actor, subject, detail ->> 'cause', alarm from persais.audit where outcome = 'refused' and "
        "action = 'tap' order by id"
    )
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


def press(data: str) -> Press:
    return Press(id="1", data=data, message_id=5)


async def test_each_button_does_what_it_says_for_an_admin(taps: Taps, sql: psycopg.AsyncConnection) -> None:
    for data in OURS:
        assert not (await taps.press(press(data), LANE, ANN)).alert
    assert await done(sql) == ["decide", "diff", "stop_preview", "dropped"]
    assert await refused(sql) == []


async def test_somebody_else_may_only_end_a_preview(taps: Taps, sql: psycopg.AsyncConnection) -> None:
    told = [await taps.press(press(data), LANE, BOB) for data in OURS]
    refusal = texts.say("en", "tap-not-admin")
    assert [(one.note, one.alert) for one in told] == [(refusal, True), (refusal, True), ("", False), (refusal, True)]
    assert await done(sql) == ["stop_preview"]
    assert [cause for _, _, cause, _ in await refused(sql)] == ["no admin"] * len(await refused(sql))
    assert (BOB.id, "change 1", "no admin", "tap") in await refused(sql)


@pytest.mark.parametrize("user", [ANN, BOB], ids=["an admin", "somebody else"])
async def test_a_forged_button_does_nothing_and_is_noted_with_an_alarm_unless_an_admin_taps_it(
    taps: Taps, sql: psycopg.AsyncConnection, user: User
) -> None:
    for data in FORGED:
        assert (await taps.press(press(data), LANE, user)).alert, data
    assert await done(sql) == []
    assert {alarm for *_, alarm in await refused(sql)} == {None if user.is_admin else "tap"}


async def test_a_page_is_turned_only_in_a_message_that_can_be_edited(taps: Taps) -> None:
    assert (await taps.press(Press(id="1", data="d:1:2"), LANE, ANN)).alert
