"""`/dead`: what was set aside, for an admin to put back or to drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persais_core import texts
from persais_core.db.engine import Database
from persais_core.domain.chats import Button, Language, Reply, User
from persais_core.mechanic.approvals import Tapped
from persais_core.queue import letters

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

PRESS = "dead:"
"""Start of the data of a button under a letter; `retry:` or `drop:` and its number follow."""
SHOWN = 10
WORDS = {"retry": letters.retry, "drop": letters.drop}


async def answer(database: Database, *, words: str, user: User) -> Reply:
    """What was set aside, or what came of `retry 3` and `drop 3`."""
    verb, _, number = words.strip().partition(" ")
    if not verb:
        async with database.session() as session:
            return await _listed(session, user.language)
    if verb not in WORDS or not number.strip().lstrip("#").isdecimal():
        return Reply(text=texts.say(user.language, "dead-how"), plain=True)
    return Reply(text=await _act(database, verb, number.strip().lstrip("#"), user), plain=True)


async def press(database: Database, *, data: str, user: User) -> Tapped | None:
    """Do what a button under a letter says, for an admin; None where it is no such button."""
    verb, _, number = data.removeprefix(PRESS).partition(":")
    if verb not in WORDS or not number.isdecimal():
        return None
    return Tapped(note=await _act(database, verb, number, user))


async def _act(database: Database, verb: str, number: str, user: User) -> str:
    try:
        async with database.session() as session:
            letter = await WORDS[verb](session, int(number[:19]), actor=user.id)
    except letters.LetterError as error:
        return texts.explain(user.language, error)
    return texts.say(user.language, f"dead-{letter.state}", letter=letter.id)


async def _listed(session: AsyncSession, language: Language) -> Reply:
    waiting = await letters.waiting(session, SHOWN + 1)
    if not waiting:
        return Reply(text=texts.say(language, "dead-none"), plain=True)
    lines = [texts.say(language, "dead-list")]
    for letter in waiting[:SHOWN]:
        kind = texts.say(language, f"dead-kind-{letter.kind}")
        tries = texts.say(language, "dead-tries", count=letter.tries)
        subject, cause = texts.escaped(letter.subject), texts.escaped(letter.cause)
        lines.append(f"**{letter.id}.** {kind} ({subject}), {tries}: {cause}")
    if len(waiting) > SHOWN:
        lines.append(texts.say(language, "dead-more", count=SHOWN))
    buttons = tuple(
        tuple(
            Button(text=texts.say(language, f"dead-button-{verb}", letter=letter.id), data=f"{PRESS}{verb}:{letter.id}")
            for verb in WORDS
        )
        for letter in waiting[:SHOWN]
    )
    return Reply(text="\n".join(lines), buttons=buttons)
