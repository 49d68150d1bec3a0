"""What is asked for at [Try] and [Stop]; the queue brings it to the process that has the previews."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from persais_core.domain.changes import Change
from persais_core.domain.chats import Lane, Language
from persais_core.queue import jobs

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

PRESS = "p:"
"""Start of the data of [Stop]; the number of the change follows."""


async def wish(session: AsyncSession, change: Change, lane: Lane, language: Language) -> None:
    """Put the start of a preview in the queue; its turn comes after what was said in the lane before."""
    await jobs.defer(
        session,
        "preview",
        lock=lane.key,
        change=change.id,
        chat=lane.chat_id,
        topic=lane.topic_id,
        language=language,
        token=secrets.token_hex(8),
    )


async def wish_end(session: AsyncSession, data: str, lane: Lane, language: Language) -> bool:
    """Put the end of a lane's preview in the queue, beside whatever it is doing now.

    Returns:
        False when `data` is not what [Stop] carries.
    """
    number = data.removeprefix(PRESS)
    if not (number.isdecimal() and number.isascii() and len(number) < 10):
        return False
    await jobs.defer(
        session,
        "stop_preview",
        lock=None,
        change=int(number),
        chat=lane.chat_id,
        topic=lane.topic_id,
        language=language,
    )
    return True
