"""Whom to tell when the bot was taken back to an earlier version: the emergency contacts, or whoever may change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlmodel import col

from persais_core.db.tables.people import Person
from persais_core.domain.chats import Lane, Reply
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def tell(shop: Workshop, session: AsyncSession, text: str, *, key: str, besides: int) -> None:
    """Send a text to each contact once.

    Args:
        key: names the occasion for ever.
        besides: a chat that is told anyway.
    """
    told = shop.settings.emergency_contact_ids
    if not told:
        owners = await session.execute(select(col(Person.id)).where(col(Person.is_owner)))
        told = shop.settings.admin_user_ids | set(owners.scalars())
    for contact in sorted(told - {besides}):
        await outbox.put(session, Lane(chat_id=contact), Reply(text=text, plain=True), key=f"{key}:{contact}")
