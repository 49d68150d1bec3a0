"""Where everything that happens to the bot comes in.

An update is stored, becomes a turn and gets its job in one transaction; only then may the caller tell the chat service
that we have it. An update that comes twice is recognised by its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import select
from sqlmodel import col

from persais_core.channels.base import Incoming
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn, Update
from persais_core.domain.chats import Lane
from persais_core.queue import jobs
from persais_core.security import access

BESIDE_THE_LANE = frozenset({"status", "abort", "deploy", "rollback", "reset", "claim"})
"""Commands that must not wait behind a turn, and need no model."""

CHOOSE_AGENT = "agent:"
"""Start of the data of a button that chooses an agent; its name follows."""


_STORE = (
    "insert into persais.updates (bot_id, update_id, kind, chat_id, topic_id, payload) "
    "values (%(bot)s, %(update)s, %(kind)s, %(chat)s, %(topic)s, %(payload)s) on conflict do nothing returning id"
)
_URGENT_JOB = jobs.job("'urgent'", lock="null", args="jsonb_build_object('update', id)")
_STORE_URGENT = f"with stored as ({_STORE}) select {_URGENT_JOB} from stored"
_TURN_JOB = jobs.job("'turn'", lock="%(lock)s", args="jsonb_build_object('turn', id)")
# The turn's number is drawn first, since one statement cannot write it to the update afterwards.
_STORE_TURN = (
    "with number as (select nextval(pg_get_serial_sequence('persais.turns', 'id')) as id), "
    "stored as (insert into persais.updates (bot_id, update_id, kind, chat_id, topic_id, payload, turn_id) "
    "select %(bot)s, %(update)s, %(kind)s, %(chat)s, %(topic)s, %(payload)s, id from number "
    "on conflict do nothing returning turn_id), "
    "fresh as (insert into persais.turns (id, chat_id, topic_id, user_id, state) "
    "select turn_id, %(chat)s, %(topic)s, %(user)s, 'waiting' from stored returning id) "
    f"select {_TURN_JOB} from fresh"
)
_WAITING = (
    "select t.chat_id, t.topic_id, u.bot_id, u.payload, p.id as person, p.name, p.language, p.is_owner, p.is_admin "
    "from persais.turns t left join persais.updates u on u.turn_id = t.id "
    "left join persais.people p on p.id = t.user_id "
    "where t.id = %(turn)s and t.state = 'waiting' order by u.id limit 1"
)
_PAYLOAD = "select bot_id, payload from persais.updates where id = %(update)s"


@dataclass(frozen=True)
class Raw:
    """One stored update, as it came."""

    bot_id: int
    payload: dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """A turn that has no answer yet.

    Args:
        raw: the update it began with, and the bot that got it; None where there is none.
        known: how the person who speaks stands here; None for somebody new.
    """

    lane: Lane
    raw: Raw | None
    known: access.Known | None


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

    async def waiting(self, turn: int) -> Waiting | None:
        """What is needed to answer a turn; None when it has been answered."""
        for row in await self._database.run(_WAITING, {"turn": turn}):
            return Waiting(
                lane=Lane(chat_id=row["chat_id"], topic_id=row["topic_id"]),
                raw=Raw(row["bot_id"], row["payload"]) if row["payload"] is not None else None,
                known=access.Known(row["name"], row["language"], is_admin=row["is_owner"] or row["is_admin"])
                if row["person"] is not None
                else None,
            )
        return None

    async def update(self, number: int) -> Raw | None:
        """One update by its number here."""
        for row in await self._database.run(_PAYLOAD, {"update": number}):
            return Raw(row["bot_id"], row["payload"])
        return None


def is_urgent(incoming: Incoming) -> bool:
    """Whether an update goes beside the lane: a tap that decides on a change, or one of those commands."""
    if incoming.press is not None:
        # Choosing an agent changes what the lane's next turn sees, so it takes its place in the lane.
        return not incoming.press.data.startswith(CHOOSE_AGENT)
    if incoming.message is None or not incoming.message.text.startswith("/"):
        return False
    word = incoming.message.text.split(maxsplit=1)[0]
    return word[1:].partition("@")[0].lower() in BESIDE_THE_LANE
