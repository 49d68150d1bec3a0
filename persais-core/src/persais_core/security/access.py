"""Who may speak to the bot, and who may change it.

Asked once, before anything else is done with a message, a command or a tap. A fresh bot with neither an allow-list nor
an owner listens to one thing only: `/claim CODE`, with the code from its own terminal.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core import audit
from persais_core.db.engine import Database
from persais_core.db.tables.people import AuditEntry, ClaimCode, Person
from persais_core.domain.chats import User

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

CODE_HOURS = 24
MAX_ATTEMPTS = 3  # wrong codes of one person within an hour; the code has 58 bits, so there is no limit for all
ALARMING = 3  # claims that fail within an hour until admins hear of it; an owner mistypes once or twice


class Standing(StrEnum):
    """How someone stands to this bot."""

    STRANGER = "stranger"
    USER = "user"
    ADMIN = "admin"


class Claim(StrEnum):
    """What became of a `/claim`."""

    ACCEPTED = "accepted"
    WRONG = "wrong"
    OFTEN = "often"
    CLOSED = "closed"


@dataclass(frozen=True)
class Known:
    """What the people table says of somebody."""

    name: str
    language: str
    is_admin: bool


_REMEMBER = (
    "with known as (select name, language, is_owner or is_admin as is_admin from persais.people where id = %(id)s), "
    "fresh as (insert into persais.people (id, name, language, is_owner, is_admin) "
    "select %(id)s, %(name)s, %(language)s, false, false "
    "where not exists (select from known where name = %(name)s and language = %(language)s) "
    "on conflict (id) do update set name = excluded.name, language = excluded.language, seen_at = now() "
    "returning name, language, is_owner or is_admin as is_admin) "
    "select * from fresh union all select * from known limit 1"
)


class Access:
    """Decides by settings and by the people table.

    Args:
        allowed: user ids that may speak.
        admins: user ids that may also change the bot.
    """

    def __init__(self, database: Database, *, allowed: frozenset[int], admins: frozenset[int]) -> None:
        self._database, self._allowed, self._admins = database, allowed, admins

    async def standing(self, user: User, known: Known | None = None) -> Standing:
        """How this person stands; remembers their name and language.

        Args:
            known: what the people table says of them, where the caller has just read it.
        """
        if known is None or (known.name, known.language) != (user.name, user.language):
            values = {"id": user.id, "name": user.name, "language": user.language}
            [row] = await self._database.run(_REMEMBER, values)
            known = Known(**row)
        if known.is_admin or user.id in self._admins:
            return Standing.ADMIN
        return Standing.USER if user.id in self._allowed else Standing.STRANGER

    async def admins(self) -> list[int]:
        """Ids of those who may change the bot, as settings and claims have it."""
        async with self._database.session() as session:
            known = await session.execute(select(col(Person.id)).where(col(Person.is_owner) | col(Person.is_admin)))
        return sorted(self._admins | set(known.scalars()))

    async def refuse(self, user: User) -> bool:
        """Note that a stranger was turned away; returns whether they are to be told (once)."""
        async with self._database.session() as session:
            person = await session.get(Person, user.id, with_for_update=True)
            first = person is None or person.refused_at is None
            if person is not None and first:
                person.refused_at = datetime.now(UTC)
            if first:
                audit.record(session, "stranger refused", actor=user.id, outcome="refused", name=user.name)
        return first

    async def refuse_tap(self, user: User, cause: str = "stranger") -> None:
        """Note that somebody tapped a button that is not for them, or that there is not."""
        # An admin may find an old button of another life of this bot; nobody else has any reason to.
        alarm = None if user.is_admin else "tap"
        async with self._database.session() as session:
            await audit.refuse(session, "tap", actor=user.id, alarm=alarm, cause=cause)

    async def is_claimable(self) -> bool:
        """Whether nobody owns this bot yet and nobody is named in the settings."""
        if self._allowed or self._admins:
            return False
        async with self._database.session() as session:
            owners = await session.execute(select(func.count()).select_from(Person).where(col(Person.is_owner)))
            return int(owners.scalar_one()) == 0

    async def new_code(self) -> str:
        """A fresh claim code, valid for a day; older ones are void. Only its hash is stored."""
        alphabet = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
        code = "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))
        now = datetime.now(UTC)
        async with self._database.session() as session:
            await session.execute(update(ClaimCode).where(col(ClaimCode.expires_at) > now).values(expires_at=now))
            session.add(ClaimCode(code_sha256=_digest(code), expires_at=now + timedelta(hours=CODE_HOURS)))
        return code

    async def claim(self, user: User, code: str) -> Claim:
        """Try to become the owner."""
        is_open = await self.is_claimable()
        async with self._database.session() as session:
            if not is_open:
                return await _closed(session, user)
            found = await session.execute(
                select(ClaimCode)
                .where(col(ClaimCode.expires_at) > datetime.now(UTC), col(ClaimCode.used_by).is_(None))
                .order_by(col(ClaimCode.id).desc())
                .limit(1)
                .with_for_update()
            )
            row = found.scalar_one_or_none()
            if row is None:
                return await _closed(session, user)
            wrong = await _wrong_lately(session, user)
            if wrong >= MAX_ATTEMPTS:
                await audit.refuse(session, "claim", actor=user.id, alarm="claim", alarm_from=ALARMING, cause="often")
                return Claim.OFTEN
            if not hmac.compare_digest(row.code_sha256, _digest(code)):
                row.attempts += 1
                # Whatever else they were refused lately: these are what is counted, and there are few of them.
                alarm = "claim" if wrong + 1 >= ALARMING else None
                audit.record(session, "claim", actor=user.id, outcome="refused", alarm=alarm, attempt=row.attempts)
                return Claim.WRONG
            row.used_by = user.id
            person = await _person(session, user)
            person.is_owner = person.is_admin = True
            audit.record(session, "claim", actor=user.id, name=user.name)
        return Claim.ACCEPTED


async def _wrong_lately(session: AsyncSession, user: User) -> int:
    """How many wrong codes somebody has sent within the last hour."""
    found = await session.execute(
        select(func.count())
        .select_from(AuditEntry)
        .where(
            col(AuditEntry.action) == "claim",
            col(AuditEntry.actor) == user.id,
            col(AuditEntry.at) > func.now() - timedelta(hours=1),
            col(AuditEntry.detail)["attempt"].as_string().is_not(None),
        )
    )
    return int(found.scalar_one())


async def _closed(session: AsyncSession, user: User) -> Claim:
    """Note a try to claim what cannot be claimed."""
    await audit.refuse(session, "claim", actor=user.id, alarm="claim", alarm_from=ALARMING, cause="closed")
    return Claim.CLOSED


async def _person(session: AsyncSession, user: User) -> Person:
    """The row of a user, made when there is none: two of their messages may be worked on at once."""
    if (person := await session.get(Person, user.id)) is not None:
        return person
    fresh = {"id": user.id, "name": user.name, "language": user.language, "is_owner": False, "is_admin": False}
    await session.execute(insert(Person).values(fresh).on_conflict_do_nothing())
    return await session.get_one(Person, user.id)


def _digest(code: str) -> str:
    return hashlib.sha256(code.strip().upper().encode("utf-8", "replace")).hexdigest()
