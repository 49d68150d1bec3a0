"""`/dead`: what admins see of what was set aside, and what they do with it."""

from __future__ import annotations

import psycopg
import pytest

from persais_core import texts
from persais_core.db.engine import Database
from persais_core.domain.chats import Language, User
from persais_core.orchestrator import set_aside
from persais_core.queue import letters
from persais_core.security.redact import Redactor

ADMIN = User(id=7, is_admin=True)
KINDS = ("turn", "send", "change", "migration", "update", "job")


async def keep(database: Database, *kinds: str, payload: dict[str, object] | None = None) -> None:
    async with database.session() as session:
        for number, kind in enumerate(kinds):
            await letters.keep(
                session,
                kind,
                subject=f"{kind} {number}",
                cause="**no** <b>",
                redactor=Redactor(),
                payload=payload,
                tries=2,
            )


async def states(sql: psycopg.AsyncConnection) -> list[str]:
    found = await (await sql.execute("select state from persais.dead_letters order by id")).fetchall()
    return [state for (state,) in found]


@pytest.mark.parametrize("language", texts.LANGUAGES)
async def test_each_letter_is_listed_with_two_buttons(database: Database, language: Language) -> None:
    user = User(id=7, is_admin=True, language=language)
    assert (await set_aside.answer(database, words="", user=user)).text == texts.say(language, "dead-none")
    await keep(database, *KINDS * 2)
    reply = await set_aside.answer(database, words="", user=user)
    lines = reply.text.splitlines()
    assert len(lines) == 2 + set_aside.SHOWN
    assert lines[1].startswith(f"**1.** {texts.say(language, 'dead-kind-turn')} (turn 0), 2 ")
    assert "\\*\\*no\\*\\*" in lines[1]
    assert [b.data for b in reply.buttons[2]] == ["dead:retry:3", "dead:drop:3"]
    assert len(reply.buttons) == set_aside.SHOWN


async def test_words_and_buttons_do_the_same_and_each_works_once(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    await keep(database, "job", "turn", "update", payload={"task": "step", "args": {}, "lock": None})
    assert (await set_aside.answer(database, words="retry 1", user=ADMIN)).text == texts.say(
        "en", "dead-retried", letter=1
    )
    tapped = await set_aside.press(database, data="dead:drop:2", user=ADMIN)
    assert tapped is not None and tapped.note == texts.say("en", "dead-dropped", letter=2)
    for words in ("retry 1", "drop #2", "retry 99999999999999999999"):
        assert "is waiting" in (await set_aside.answer(database, words=words, user=ADMIN)).text
    assert await states(sql) == ["retried", "dropped", "waiting"]


@pytest.mark.parametrize("words", ["retry", "drop x", "3", "retry 3 4", "delete 3"])
async def test_other_words_are_told_how_to_ask(database: Database, words: str) -> None:
    assert (await set_aside.answer(database, words=words, user=ADMIN)).text == texts.say("en", "dead-how")


async def test_a_forged_button_is_none_of_ours(database: Database, sql: psycopg.AsyncConnection) -> None:
    await keep(database, "job")
    for data in ("dead:", "dead:drop", "dead:drop:x", "dead:shred:1"):
        assert await set_aside.press(database, data=data, user=ADMIN) is None
    assert await states(sql) == ["waiting"]
