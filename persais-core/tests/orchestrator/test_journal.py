"""/audit: what an admin reads of the log of acts."""

from __future__ import annotations

import re

import pytest

from persais_core import audit
from persais_core.db.engine import Database
from persais_core.domain.chats import User
from persais_core.orchestrator import journal
from persais_core.security.access import Access


async def happened(database: Database) -> None:
    await Access(database, allowed=frozenset(), admins=frozenset()).standing(User(id=7, name="Ann Lee"))
    async with database.session() as session:
        audit.record(session, "change requested", actor=7, subject="change 3")
        audit.record(session, "gate refused", subject="change 3", outcome="refused", findings=["x" * 500])
        audit.record(session, "rolled back", actor=8, subject="change 4", commit="ab" * 20, _marks="hidden")
        audit.record(session, "some newer act", outcome="failed", cause="**bold**\n\x1b[2J\u202e forged")


async def test_the_last_acts_are_lines_with_who_what_and_how_it_ended(database: Database) -> None:
    await happened(database)
    reply = await journal.answer(database, words="", language="en")
    assert reply.plain and reply.file is None
    header, first, second, third, fourth = reply.text.splitlines()
    assert header == "The last 4 acts, newest at the bottom, times in UTC:"
    assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d ✅ change requested · #3 · Ann Lee \(7\)", first)
    assert "🚨 code refused · #3 · the bot · findings: " in second and second.endswith("…")
    assert third.endswith("rolled back · #4 · (8) · ababababab")
    assert "❌ some newer act" in fourth and fourth.isprintable()


@pytest.mark.parametrize(
    ("words", "language", "found"),
    [
        ("1", "en", ["some newer act"]),
        ("#3", "en", ["change requested", "code refused"]),
        ("rolled", "en", ["rolled back"]),
        ("откат", "ru", ["откат"]),
        ("refused", "en", ["code refused"]),
        ("код отклонён", "ru", ["код отклонён"]),
        ("#3 1", "en", ["code refused"]),
        ("9999999999999999999", "en", []),
        ("'; drop table persais.audit; --", "en", []),
    ],
)
async def test_they_are_chosen_by_number_change_and_word(
    database: Database, words: str, language: str, found: list[str]
) -> None:
    await happened(database)
    text = (await journal.answer(database, words=words, language=language)).text  # type: ignore[arg-type]
    lines = [line for line in text.splitlines() if re.match(r"\d\d-\d\d ", line)]
    assert len(lines) == len(found) and all(act in line for act, line in zip(found, lines, strict=True))


async def test_what_does_not_fit_comes_as_a_file(database: Database) -> None:
    async with database.session() as session:
        for number in range(100):
            audit.record(session, "tap", actor=number, outcome="refused", cause="y" * 50)
    reply = await journal.answer(database, words="100", language="ru")
    assert reply.file is not None and len(reply.file.text.splitlines()) == 100
    assert len(reply.text) < 4000 and "(99)" in reply.text.splitlines()[-1]
