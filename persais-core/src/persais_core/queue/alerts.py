"""Alarming acts, told to the admins: what the log of acts holds is looked at every few seconds.

The log is the only source, so an act is told of wherever it was noted, and a kill loses nothing. Acts of one kind come
as one message with their number, and the next message of that kind not before `QUIET` has passed: whoever attacks must
not be able to use this to flood a chat. A message holds numbers alone, and no word that came from outside. It goes to
the private chats of those admins who have written to the bot, since a chat nobody opened cannot be written to.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from persais_core import errors, texts
from persais_core.db.engine import Database
from persais_core.db.tables.people import Alert
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.queue import outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

QUIET = 600.0  # seconds between two messages about one kind of alarm
LOOK_EVERY = 3.0  # seconds
MOST_NAMED = 3  # changes and people that a message names
LOCK = 0x616C6172  # advisory lock: one process tells
CHANGE = re.compile(r"change ([0-9]{1,18})")

# What nobody was told within a day, there was nobody to tell it to.
_UNTOLD = text(
    "select alarm as kind, array_agg(id order by id) as ids, array_agg(distinct subject) as subjects, "
    "array_agg(distinct actor) filter (where actor is not null) as actors from persais.audit as entry "
    "where alarm is not null and at > now() - interval '1 day' "
    "and not exists (select from persais.alerts as told where told.audit_id = entry.id) "
    "and not exists (select from persais.alerts as told where told.kind = entry.alarm "
    "and told.told_at > now() - make_interval(secs => :quiet)) group by alarm order by alarm"
)
_READERS = text(
    "select id, language from persais.people where (is_owner or is_admin or id = any(:admins)) "
    "and exists (select from persais.updates where updates.chat_id = people.id) order by id"
)


class Alerts:
    """Tells admins of alarming acts.

    Args:
        admins: those that the settings name; those that the people table names are told too.
        quiet: seconds between two messages of one kind.
    """

    def __init__(self, database: Database, *, admins: frozenset[int], quiet: float = QUIET) -> None:
        self._database, self._admins, self._quiet = database, admins, quiet

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            try:
                await self.tell()
            except (errors.DatabaseError, DBAPIError, psycopg.Error) as error:
                log.warning("alarms could not be looked at", error_type=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY)

    async def tell(self) -> int:
        """Tell what has not been told yet; returns how many messages that made."""
        async with self._database.session() as session:
            locked = await session.execute(text("select pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK})
            if not locked.scalar_one():
                return 0
            untold = (await session.execute(_UNTOLD, {"quiet": self._quiet})).all()
            if not untold:
                return 0
            readers = (await session.execute(_READERS, {"admins": list(self._admins)})).all()
            for kind, ids, subjects, actors in untold if readers else ():
                changes = [found[1] for subject in subjects if (found := CHANGE.fullmatch(subject))]
                for reader, language in readers:
                    words = message(texts.language_of(language), kind, len(ids), changes, actors or [])
                    key = f"alert:{kind}:{ids[-1]}:{reader}"
                    await outbox.put(session, Lane(chat_id=reader), Reply(text=words, plain=True), key=key)
                _told(session, kind, ids)
        return len(untold) * len(readers)


def _told(session: AsyncSession, kind: str, ids: list[int]) -> None:
    session.add_all(Alert(audit_id=number, kind=kind) for number in ids)


def message(language: Language, kind: str, count: int, changes: list[str], actors: list[int]) -> str:
    """What an admin is told of alarms of one kind."""
    lines = [f"🚨 {texts.say(language, f'alert-{kind}')}"]
    if count > 1:
        lines.append(texts.say(language, "alert-count", count=count))
    if changes:
        lines.append(texts.say(language, "alert-changes", changes=_few([f"#{change}" for change in changes])))
    if actors:
        lines.append(texts.say(language, "alert-actors", actors=_few([str(actor) for actor in actors])))
    return "\n".join([*lines, texts.say(language, "alert-more")])


def _few(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
