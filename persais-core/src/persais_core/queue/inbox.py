"""Where everything that happens to the bot comes in.

An update is stored, becomes a turn and gets its job in one transaction; only then may the caller tell the chat service
that we have it. An update that comes twice is recognised by its number; numbers may also go backwards. Which messages
are answered together is decided later, when the first of them is to be answered; see `lanes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import select, update
from sqlmodel import col

from persais_core.channels.base import Incoming
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.domain import names
from persais_core.domain.chats import Lane
from persais_core.queue import jobs

_BESIDE_THE_LANE = frozenset(f"/{command.name}" for command in names.COMMANDS if command.is_beside_the_lane)

CHOOSE_AGENT = "agent:"
"""Start of the data of a button that chooses an agent; its name follows."""

SAY = "say:"
"""Start of the data of a button that an agent made; its name and the button's number follow."""


_STORE = (
    "insert into persais.updates (bot_id, update_id, kind, chat_id, topic_id, payload) "
    "values (%(bot)s, %(update)s, %(kind)s, %(chat)s, %(topic)s, %(payload)s) on conflict do nothing returning id"
)
_URGENT_JOB = jobs.job("urgent", lock="null", args="jsonb_build_object('update', id)")
_STORE_URGENT = f"with stored as ({_STORE}) select {_URGENT_JOB} from stored"
_TURN_JOB = jobs.job("turn", lock="%(lock)s", args="jsonb_build_object('turn', id)")
# The lane is locked before any number is drawn, so that updates which come by several doors at once have the same order
# by every number: their own, their turn's and its job's. The turn's number is drawn first, since one statement cannot
# write it to the update afterwards.
_STORE_TURN = (
    "with held as materialized (select 1 from pg_advisory_xact_lock(hashtextextended(%(lock)s, 0))), "
    "number as materialized (select nextval(pg_get_serial_sequence('persais.turns', 'id')) as id from held), "
    "stored as (insert into persais.updates (bot_id, update_id, kind, chat_id, topic_id, payload, turn_id) "
    "select %(bot)s, %(update)s, %(kind)s, %(chat)s, %(topic)s, %(payload)s, id from number "
    "on conflict do nothing returning turn_id), "
    "fresh as (insert into persais.turns (id, chat_id, topic_id, user_id, state) "
    "select turn_id, %(chat)s, %(topic)s, %(user)s, 'waiting' from stored returning id) "
    f"select {_TURN_JOB} from fresh"
)
_PAYLOAD = "select bot_id, payload from persais.updates where id = %(update)s"


@dataclass(frozen=True)
class Raw:
    """One stored update, as it came."""

    bot_id: int
    payload: dict[str, Any]


class Inbox:
    """Accepts updates for one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, incoming: Incoming) -> bool:
        """Store an update and see to it that it is worked on.

        Returns:
            False when it was here before.
        """
        lane, user = incoming.lane, incoming.user
        values = {
            "bot": incoming.bot_id,
            "update": incoming.update_id,
            "kind": incoming.kind,
            "chat": lane.chat_id if lane else None,
            "topic": lane.topic_id if lane else 0,
            "payload": Jsonb(incoming.payload),
        }
        if lane is None or user is None:
            stored = await self._database.run(_STORE, values)
        elif is_urgent(incoming):
            stored = await self._database.run(_STORE_URGENT, values)
        else:
            stored = await self._database.run(_STORE_TURN, values | {"user": user.id, "lock": lane.key})
        return bool(stored)

    async def again(self, since: datetime) -> int:
        """Have the turns that broke since a moment answered once more, each as a new turn; returns how many.

        They are for whoever broke, and nobody else: the lane may be somebody else's by now.
        """
        async with self._database.session() as session:
            found = await session.execute(
                select(Turn).where(col(Turn.state) == "failed", col(Turn.finished_at) > since).order_by(col(Turn.id))
            )
            turns = found.scalars().all()
            for old in turns:
                fresh = Turn(chat_id=old.chat_id, topic_id=old.topic_id, user_id=old.user_id, agent=old.agent)
                session.add(fresh)
                await session.flush()
                old.state = "repeated"
                await session.execute(update(Update).where(col(Update.turn_id) == old.id).values(turn_id=fresh.id))
                lane = Lane(chat_id=old.chat_id, topic_id=old.topic_id)
                await jobs.defer(session, "turn", lock=lane.key, turn=fresh.id)
        return len(turns)

    async def update(self, number: int) -> Raw | None:
        """One update by its number here."""
        for row in await self._database.run(_PAYLOAD, {"update": number}):
            return Raw(row["bot_id"], row["payload"])
        return None


def is_urgent(incoming: Incoming) -> bool:
    """Whether an update goes beside the lane: a tap that decides on a change, or one of those commands."""
    if incoming.press is not None:
        # These change what the lane's next turn sees, or are one themselves, so they take their place in the lane.
        return not incoming.press.data.startswith((CHOOSE_AGENT, SAY))
    if incoming.message is None or incoming.message.is_forwarded:
        return False
    return incoming.message.command[0] in _BESIDE_THE_LANE
