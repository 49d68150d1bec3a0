"""People beside the one who asked: what they are called, and who is told when the bot was taken back.

Told are the emergency contacts or, where none are named, whoever may change the bot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlmodel import col

from persais_core import texts
from persais_core.db.tables.people import Person
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

MAX_NAME = 60  # characters


async def called(session: AsyncSession, user_id: int) -> str:
    """The name of somebody on one line, or their number where no name is known."""
    person = await session.get(Person, user_id)
    name = texts.printable(" ".join(person.name.split())) if person else ""
    return name[:MAX_NAME] or str(user_id)


async def tell(
    shop: Workshop, session: AsyncSession, say: Callable[[Language], str], *, key: str, besides: int | None = None
) -> None:
    """Send a text to each contact once, in their language.

    Args:
        say: the text in a language.
        key: names the occasion for ever.
        besides: a chat that is told anyway.
    """
    told = shop.settings.emergency_contact_ids
    if not told:
        owners = await session.execute(select(col(Person.id)).where(col(Person.is_owner)))
        told = shop.settings.admin_user_ids | set(owners.scalars())
    for contact in sorted(told - {besides}):
        person = await session.get(Person, contact)
        text = say(texts.language_of(person.language if person else None))
        await outbox.put(session, Lane(chat_id=contact), Reply(text=text, plain=True), key=f"{key}:{contact}")
