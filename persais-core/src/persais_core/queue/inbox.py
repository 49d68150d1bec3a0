"""Where everything that happens to the bot comes in.

An update is stored, becomes a turn and gets its job in one transaction; only then may the caller tell the chat service
that we have it. An update that comes twice is recognised by its number.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core.channels.base import Incoming
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.domain.chats import Lane
from persais_core.queue import jobs

BESIDE_THE_LANE = frozenset({"status", "abort", "deploy", "rollback", "reset", "claim"})
"""Commands that must not wait behind a turn, and need no model."""

CHOOSE_AGENT = "agent:"
"""Start of the data of a button that chooses an agent; its name follows."""


class Inbox:
    """Accepts updates for one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, incoming: Incoming) -> bool:
        """Store an update and see to it that it is worked on.

        Returns:
            False when it was here before.
        """
        lane = incoming.lane
        async with self._database.session() as session:
            stored = await session.execute(
                insert(Update)
                .values(
                    bot_id=incoming.bot_id,
                    update_id=incoming.update_id,
                    kind=incoming.kind,
                    chat_id=lane.chat_id if lane else None,
                    topic_id=lane.topic_id if lane else 0,
                    payload=incoming.payload,
                )
                .on_conflict_do_nothing()
                .returning(col(Update.id))
            )
            number = stored.scalar_one_or_none()
            if number is None:
                return False
            if lane is None or incoming.user is None:
                return True
            if is_urgent(incoming):
                await jobs.defer(session, "urgent", lock=None, update=number)
            else:
                turn = Turn(chat_id=lane.chat_id, topic_id=lane.topic_id, user_id=incoming.user.id)
                session.add(turn)
                await session.flush()
                stored_update = await session.get_one(Update, number)
                stored_update.turn_id = turn.id
                await jobs.defer(session, "turn", lock=lane.key, turn=turn.id)
        return True

    async def again(self, since: datetime) -> int:
        """Have the turns that broke since a moment answered once more, each as a new turn; returns how many."""
        async with self._database.session() as session:
            found = await session.execute(
                select(Turn, col(Update.id))
                .join(Update, col(Update.turn_id) == col(Turn.id))
                .where(col(Turn.state) == "failed", col(Turn.finished_at) > since)
                .order_by(col(Turn.id))
            )
            rows = found.all()
            for old, number in rows:
                fresh = Turn(chat_id=old.chat_id, topic_id=old.topic_id, user_id=old.user_id)
                session.add(fresh)
                await session.flush()
                old.state = "repeated"
                update = await session.get_one(Update, number)
                update.turn_id = fresh.id
                lane = Lane(chat_id=old.chat_id, topic_id=old.topic_id)
                await jobs.defer(session, "turn", lock=lane.key, turn=fresh.id)
        return len(rows)

    async def payloads(
        self, *, turn: int | None = None, update: int | None = None
    ) -> list[tuple[int, dict[str, object]]]:
        """The raw updates of a turn, or one update by its number here, oldest first, each with its bot's id."""
        wanted = col(Update.turn_id) == turn if turn is not None else col(Update.id) == update
        async with self._database.session() as session:
            found = await session.execute(
                select(col(Update.bot_id), col(Update.payload)).where(wanted).order_by(col(Update.id))
            )
            return [(row.bot_id, row.payload) for row in found]


def is_urgent(incoming: Incoming) -> bool:
    """Whether an update goes beside the lane: a tap that decides on a change, or one of those commands."""
    if incoming.press is not None:
        # Choosing an agent changes what the lane's next turn sees, so it takes its place in the lane.
        return not incoming.press.data.startswith(CHOOSE_AGENT)
    if incoming.message is None or not incoming.message.text.startswith("/"):
        return False
    word = incoming.message.text.split(maxsplit=1)[0]
    return word[1:].partition("@")[0].lower() in BESIDE_THE_LANE
