"""The changes as they are stored, and the messages that show them.

A change and what the chat shows of it are written in one transaction, so the card is true at any moment, also after a
restart.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlmodel import col

from persais_core import audit, errors
from persais_core.agents.registry import flat
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ChangeRow
from persais_core.db.tables.people import ModelCall
from persais_core.domain.changes import Change, ChangeState, Notice
from persais_core.domain.chats import Lane, Origin, Reply, Turn, User
from persais_core.forges.local import moved
from persais_core.mechanic import cards
from persais_core.queue import jobs, locks, outbox
from persais_core.security.redact import Redactor

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

OVER = tuple(state.value for state in ChangeState if state.is_over)
ENDED_EARLY = (ChangeState.FAILED, ChangeState.ABORTED)
CARD = re.compile(r"change:(\d+):(?:\d+:)?(?:card|progress)\Z")


class Ledger:
    """Reads and writes changes.

    Args:
        redactor: takes keys out of what is asked for before it is stored.
        pages_url: where this bot's own pages are served; empty: links to them are told as they were stored.
    """

    def __init__(self, database: Database, redactor: Redactor, pages_url: str = "") -> None:
        self._database, self._redactor, self._pages_url = database, redactor, pages_url

    async def open(
        self,
        *,
        lane: Lane,
        user: User,
        request: str,
        turn_id: int | None,
        corrects: Change | None = None,
        origin: Origin = "person",
        before: tuple[Reply, ...] = (),
    ) -> Change:
        """Note a request, show that it was heard, and put its job in the queue; all or nothing.

        Args:
            turn_id: the turn that asked; asking again for the same turn gives the same change.
            corrects: a change whose plan `request` corrects: its request is planned anew, and it is called off when
                that plan stands.
            origin: where the wish comes from.
            before: the first replies of the turn, which the chat is to read before anything of the change; its other
                replies follow when it is marked as answered.

        Raises:
            ChangeError: it is not a person's.
        """
        if origin != "person":
            raise errors.ChangeError("only a person may ask for a change")
        request = self._redactor.text(request)  # plans, cards, commits and pull requests are made of it
        async with self._database.session() as session:
            if turn_id is not None:
                known = await session.execute(
                    select(ChangeRow).where(ChangeRow.body["turn_id"].as_integer() == turn_id)
                )
                if (row := known.scalar_one_or_none()) is not None:
                    return self._value(row)
            row = ChangeRow(chat_id=lane.chat_id, user_id=user.id, state=ChangeState.PLANNING)
            session.add(row)
            await session.flush()
            assert row.id is not None
            change = Change(
                id=row.id,
                chat_id=lane.chat_id,
                topic_id=lane.topic_id,
                user_id=user.id,
                turn_id=turn_id,
                language=user.language,
                request=corrects.request if corrects else request,
                corrections=(*corrects.corrections, request) if corrects else (),
                replaces=corrects.id if corrects else None,
            )
            row.body = change.model_dump(mode="json")
            if corrects:
                audit.record(session, "change corrected", actor=user.id, subject=change.subject, instead_of=corrects.id)
            else:
                audit.record(session, "change requested", actor=user.id, subject=change.subject)
            for number, reply in enumerate(before):
                await outbox.put(session, lane, reply, key=f"turn:{turn_id}:{number}")
            await outbox.show(session, lane, cards.progress(change), key=cards.progress_key(change))
            await jobs.defer(session, "change", lock=locks.of_change(change.id), change=change.id)
        return change

    async def refuse(self, turn: Turn) -> None:
        """Note that something else than a person's own words asked for a change."""
        is_forwarded = turn.origin == "person"
        async with self._database.session() as session:
            await audit.refuse(
                session,
                "turn refused",
                actor=turn.user.id,
                alarm=None if is_forwarded else "turn",  # people forward things without any harm in mind
                origin="forwarded" if is_forwarded else turn.origin,
                wanted="change",
            )

    async def get(self, change_id: int) -> Change:
        """One change.

        Raises:
            ChangeError: there is none with this number.
        """
        async with self._database.session() as session:
            row = await session.get(ChangeRow, change_id)
        if row is None:
            raise errors.ChangeError(f"there is no change {change_id}", key="change-none", change=str(change_id))
        return self._value(row)

    async def open_changes(self) -> list[Change]:
        """Those that are not over, oldest first."""
        async with self._database.session() as session:
            rows = await session.execute(
                select(ChangeRow).where(col(ChangeRow.state).not_in(OVER)).order_by(col(ChangeRow.id))
            )
            return [self._value(row) for row in rows.scalars()]

    async def stop(
        self, change_id: int, *, actor: int, notice: Notice | None = None, replaced_by: int | None = None
    ) -> bool:
        """Call a change off, whatever it is doing.

        Args:
            notice: the message that tells how that goes, if and only if it is called off.
            replaced_by: the correction that takes its place, which its messages then name.

        Returns:
            False when it is too late: it is over, or being deployed.
        """
        async with self.changing(change_id) as (session, change):
            if not change.state.can_be_aborted:
                return False
            notices = (*change.notices, notice) if notice else change.notices
            wish = {
                "called_off": True,  # whoever is about to merge sees it; cancelling alone may come too late
                "notices": notices,
                "abort_error": None,
                "replaced_by": replaced_by or change.replaced_by,
            }
            await self.write(session, change.model_copy(update=wish))
            await _stop(session, change_id, actor=actor)
        return True

    async def usual_cost(self) -> float:
        """The middle of what the last 20 deployed changes cost, in US dollars; 0 where there were none."""
        costs = sorted(change.cost for change in (await self.deployed())[:20])
        return costs[len(costs) // 2] if costs else 0.0

    async def newest_open(self, lane: Lane) -> Change | None:
        """The change of a lane that was asked for last and can still be called off."""
        mine = [
            change
            for change in await self.open_changes()
            if (change.chat_id, change.topic_id) == (lane.chat_id, lane.topic_id)
            and change.state is not ChangeState.DEPLOYING
        ]
        return mine[-1] if mine else None

    async def making(self, agent: str) -> Change | None:
        """The newest open change that makes an agent, by its name or title.

        One that has failed is among them: it can be tried again.
        """
        for change in reversed(await self.open_changes()):
            made = change.plan.create if change.plan else ()
            if any(part.kind == "agent" and flat(agent) in {part.name, flat(part.title)} for part in made):
                return change
        return None

    async def shown_in(self, lane: Lane, message_id: int) -> Change | None:
        """The change whose card or progress is a message of the bot; None where it is another message."""
        async with self._database.session() as session:
            key = await outbox.key_of(session, lane.chat_id, message_id)
            found = CARD.match(key or "")
            row = await session.get(ChangeRow, int(found[1])) if found else None
        return self._value(row) if row is not None else None

    async def all_with_file(self, path: str) -> list[Change]:
        """The deployed changes that touched a file, oldest first."""
        wanted = col(ChangeRow.body)["files"].contains([path])
        async with self._database.session() as session:
            rows = await session.execute(
                select(ChangeRow)
                .where(wanted, col(ChangeRow.state) == ChangeState.DEPLOYED)
                .order_by(col(ChangeRow.id))
            )
            return [self._value(row) for row in rows.scalars()]

    async def left_on_main(self) -> list[Change]:
        """The failed changes that could not be taken out of main yet, the newest first."""
        left = col(ChangeRow.body)["left_on_main"].as_boolean()
        async with self._database.session() as session:
            rows = await session.execute(
                select(ChangeRow)
                .where(col(ChangeRow.state) == ChangeState.FAILED, left)
                .order_by(col(ChangeRow.id).desc())
            )
            return [self._value(row) for row in rows.scalars()]

    async def deployed(self) -> list[Change]:
        """The changes that serve, the one deployed last first."""
        async with self._database.session() as session:
            rows = await session.execute(
                select(ChangeRow).where(col(ChangeRow.state) == ChangeState.DEPLOYED).order_by(col(ChangeRow.id).desc())
            )
            return [self._value(row) for row in rows.scalars()]

    async def spent(self, change_id: int) -> tuple[int, float]:
        """What all model calls of a change came to: (tokens, US dollars)."""
        async with self._database.session() as session:
            found = await session.execute(
                select(
                    func.coalesce(func.sum(col(ModelCall.tokens_in) + col(ModelCall.tokens_out)), 0),
                    func.coalesce(func.sum(col(ModelCall.cost)), 0.0),
                ).where(col(ModelCall.change_id) == change_id)
            )
            tokens, cost = found.one()
        return int(tokens), float(cost)

    async def branches(self) -> list[str]:
        """The branches of all changes there ever were; a name is not used twice, so that it always means one change."""
        async with self._database.session() as session:
            rows = await session.execute(select(col(ChangeRow.branch)).where(col(ChangeRow.branch).is_not(None)))
            return [branch for branch in rows.scalars() if branch]

    async def update(self, change_id: int, **fields: object) -> Change:
        """Set fields of a change and show its progress."""
        async with self.changing(change_id) as (session, change):
            return await self.write(session, change.model_copy(update=fields))

    @asynccontextmanager
    async def changing(self, change_id: int) -> AsyncIterator[tuple[AsyncSession, Change]]:
        """A transaction that holds one change, for acts that write more than the change itself."""
        async with self._database.session() as session:
            yield session, await self.held(session, change_id)

    async def held(self, session: AsyncSession, change_id: int) -> Change:
        """One change, which nobody else changes until the transaction ends.

        Raises:
            ChangeError: there is none with this number.
            TakenOverError: another process does the present job by now.
        """
        row = await session.get(ChangeRow, change_id, with_for_update=True)
        if row is None:
            raise errors.ChangeError(f"there is no change {change_id}", key="change-none", change=str(change_id))
        await jobs.hold(session)
        return self._value(row)

    async def write(self, session: AsyncSession, change: Change) -> Change:
        """Store a change within a transaction of `changing`, with what the chat shows of it.

        Returns:
            The change as stored: `ended_in` set, the finished notices and the note dropped.
        """
        row = await session.get_one(ChangeRow, change.id)
        if change.state not in ENDED_EARLY:
            change = change.model_copy(update={"ended_in": None})
        elif row.state not in ENDED_EARLY:
            change = change.model_copy(update={"ended_in": ChangeState(row.state)})
        if change.state is not ChangeState.DEPLOYING:
            change = change.model_copy(update={"note": None})
        for notice in change.notices:
            place = notice.lane
            await outbox.show(session, place, cards.abort_told(change, notice.language), key=notice.key)
        if not change.state.can_be_aborted:
            change = change.model_copy(update={"notices": ()})
        row.state, row.branch = change.state, change.branch
        row.body = change.model_dump(mode="json")
        row.updated_at = datetime.now(UTC)
        lane = change.lane
        await outbox.show(session, lane, cards.progress(change), key=cards.progress_key(change))
        if change.commit is not None:
            await outbox.show(session, lane, cards.card(change), key=cards.card_key(change))
        return change

    def _value(self, row: ChangeRow) -> Change:
        """A stored change; its page is where this bot serves its pages now, which may not be where it did then."""
        change = Change.model_validate(row.body)
        if not self._pages_url or not change.pull_request_url:
            return change
        return change.model_copy(update={"pull_request_url": moved(change.pull_request_url, self._pages_url)})


async def _stop(session: AsyncSession, change_id: int, *, actor: int) -> None:
    """Cancel what a change is doing, and put the clearing up next in its queue."""
    await jobs.cancel(session, locks.of_change(change_id))
    await jobs.defer(session, "decide", lock=locks.of_change(change_id), change=change_id, decision="abort", user=actor)
