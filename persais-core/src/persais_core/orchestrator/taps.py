"""A tap that goes beside the lane: what its button carried tells by its start who acts on it.

What a button carries may be forged, and the button may be somebody else's. Whether it is for admins is asked here,
once, before anything reads further. Only the buttons of changes are asked by `mechanic.approvals` itself: it finds what
the button stood for first, so that a refusal is noted with its change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from persais_core import texts
from persais_core.channels.base import Press
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, User
from persais_core.mechanic import approvals, diff, preview
from persais_core.mechanic.approvals import Tapped
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator import set_aside
from persais_core.queue import jobs, locks
from persais_core.security.access import Access


@dataclass(frozen=True)
class _Kind:
    """One kind of button.

    Args:
        act: does what the button says; None where it is none of ours.
    """

    act: Callable[[Press, Lane, User], Awaitable[Tapped | None]]
    is_for_admins: bool


class Taps:
    """Acts on the taps of people who may speak to the bot."""

    def __init__(self, database: Database, access: Access, ledger: Ledger) -> None:
        self._database, self._access, self._ledger = database, access, ledger
        self._kinds = {
            approvals.PRESS: _Kind(self._decide, is_for_admins=False),
            diff.PRESS: _Kind(self._turn_page, is_for_admins=True),
            preview.PRESS: _Kind(self._end_preview, is_for_admins=False),  # who tries it may also end it
            set_aside.PRESS: _Kind(self._put_back, is_for_admins=True),
        }

    async def press(self, press: Press, lane: Lane, user: User) -> Tapped:
        """What comes of a tap; one on no button of ours is refused and noted."""
        kind = next((kind for start, kind in self._kinds.items() if press.data.startswith(start)), None)
        if kind is not None and kind.is_for_admins and not user.is_admin:
            await self._access.refuse_tap(user, "no admin")
            return Tapped(note=texts.say(user.language, "tap-not-admin"), alert=True)
        tapped = await kind.act(press, lane, user) if kind is not None else None
        if tapped is None:
            await self._access.refuse_tap(user, "unknown button")
            return Tapped(note=texts.say(user.language, "tap-unknown"), alert=True)
        return tapped

    async def _decide(self, press: Press, lane: Lane, user: User) -> Tapped:
        return await approvals.redeem(self._database, self._ledger, user=user, lane=lane, data=press.data)

    async def _turn_page(self, press: Press, lane: Lane, user: User) -> Tapped | None:
        """Put the turning of a page of a diff in the queue."""
        words = press.data.removeprefix(diff.PRESS).split(":")
        if press.message_id is None or len(words) != 2 or not all(w.isdecimal() and len(w) < 10 for w in words):
            return None
        async with self._database.session() as session:
            await jobs.defer(
                session,
                "diff",
                lock=locks.of_pages(lane.chat_id),
                change=int(words[0]),
                chat=lane.chat_id,
                topic=lane.topic_id,
                user=user.id,
                page=int(words[1]),
                message=press.message_id,
            )
        return Tapped(note="")

    async def _end_preview(self, press: Press, lane: Lane, user: User) -> Tapped | None:
        async with self._database.session() as session:
            is_asked = await preview.wish_end(session, press.data, lane, user.language)
        return Tapped(note="") if is_asked else None

    async def _put_back(self, press: Press, lane: Lane, user: User) -> Tapped | None:
        return await set_aside.press(self._database, data=press.data, user=user)
