"""The buttons of a change, on its card or under a setting that was said in words: made here, and redeemed by a tap.

A button carries a random name of its row in `approvals`, and nothing that could be guessed or changed: the row says
which change, which commit and which act it stands for. Whoever taps is asked for their standing first; each row works
once; a row for another commit than the one that was delivered last does nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import update
from sqlmodel import col

from persais_core import audit, texts
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval
from persais_core.domain.changes import Change, ChangeState, subject_of_change
from persais_core.domain.chats import Lane, Origin, Reply, User, Value
from persais_core.domain.tasks import Decision
from persais_core.mechanic import migrate, preview
from persais_core.mechanic.ledger import Ledger
from persais_core.queue import jobs, locks, outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

PRESS = "c:"
"""Start of the data of such a button; its name follows."""


class Tapped(Value):
    """What to tell whoever tapped: a short note, or an alert they must close."""

    note: str
    alert: bool = False


@dataclass(frozen=True)
class _Tap:
    """An admin's tap on a button that there is, in the transaction that holds its change."""

    session: AsyncSession
    approval: Approval
    change: Change
    user: User
    lane: Lane

    async def refuse(self, cause: str, text: str, *, alert: bool = False) -> Tapped:
        """Note that nothing comes of it, and why."""
        about: dict[str, Any] = {
            "subject": self.change.subject,
            "button": self.approval.action,
            "commit": self.approval.commit,
        }
        await audit.refuse(self.session, "tap", actor=self.user.id, cause=cause, **about)
        return Tapped(note=texts.say(self.user.language, text), alert=alert)

    async def defer(self, decision: Decision) -> None:
        """Have a decision carried out."""
        change = self.change.id
        lock = locks.of_change(change)
        await jobs.defer(self.session, "decide", lock=lock, change=change, decision=decision, user=self.user.id)


async def _view(tap: _Tap) -> str:
    text = texts.say(tap.user.language, "view-link", url=tap.change.pull_request_url or "")
    key = f"view:{tap.approval.nonce}:{datetime.now(UTC):%s%f}"
    await outbox.put(tap.session, tap.lane, Reply(text=text, plain=True), key=key)
    return ""


async def _diff(tap: _Tap) -> str:
    place: dict[str, Any] = {"chat": tap.lane.chat_id, "topic": tap.lane.topic_id, "user": tap.user.id}
    await jobs.defer(tap.session, "diff", lock=None, change=tap.change.id, **place)
    return ""


async def _try(tap: _Tap) -> str:
    await preview.wish(tap.session, tap.change, tap.lane, tap.user.language)
    return "tap-try"


async def _deploy(tap: _Tap) -> str:
    await tap.defer("deploy")
    return "tap-deploy"


async def _deploy_drop(tap: _Tap) -> str:
    await migrate.allow(tap.session, tap.change.id, actor=tap.user.id)
    return await _deploy(tap)


async def _abort(tap: _Tap) -> str:
    await tap.defer("abort")
    return "tap-abort"


async def _retry(tap: _Tap) -> str:
    await tap.defer("retry")
    return "tap-retry"


async def _set(tap: _Tap) -> str:
    await tap.defer("set")
    return "tap-set"


async def _leave(tap: _Tap) -> str:
    await tap.defer("abort")
    return "tap-leave"


@dataclass(frozen=True)
class _Button:
    """What a button does.

    Args:
        act: does it; returns the id of the note for whoever tapped, or nothing.
        works_in: the states of a change in which it does something, at the commit that it was made for; where there are
            none it only shows something, at any time, and is not noted.
        decides: the buttons that decide are used up together.
    """

    act: Callable[[_Tap], Awaitable[str]]
    works_in: frozenset[ChangeState] = frozenset()
    decides: bool = True


_READY = frozenset({ChangeState.AWAITING_APPROVAL})
_FAILED = frozenset({ChangeState.FAILED})
_PLANNED = frozenset({ChangeState.PLANNING})
_BUTTONS: Mapping[str, _Button] = {
    "view": _Button(_view, decides=False),
    "diff": _Button(_diff, decides=False),
    "try": _Button(_try, _READY, decides=False),
    "deploy": _Button(_deploy, _READY),
    "deploy_drop": _Button(_deploy_drop, _READY),
    "abort": _Button(_abort, _READY | _FAILED),
    "retry": _Button(_retry, _FAILED),
    "set": _Button(_set, _PLANNED),
    "leave": _Button(_leave, _PLANNED),
}
_DECIDING = [action for action, button in _BUTTONS.items() if button.decides]


def waits_in(state: ChangeState) -> bool:
    """Whether the card of a change in this state waits for somebody to decide."""
    return state in _BUTTONS["abort"].works_in


def issue(session: AsyncSession, change: Change, actions: Sequence[str]) -> dict[str, str]:
    """Make buttons of a change, each bound to it and its present commit.

    Returns:
        What each button carries, by action.
    """
    buttons = {action: secrets.token_urlsafe(18) for action in actions}
    for action, nonce in buttons.items():
        session.add(Approval(nonce=nonce, change_id=change.id, action=action, commit=change.commit))
    return {action: f"{PRESS}{nonce}" for action, nonce in buttons.items()}


async def redeem(
    database: Database, ledger: Ledger, *, user: User, lane: Lane, data: str, origin: Origin = "person"
) -> Tapped:
    """Act on a tap.

    Args:
        user: who tapped, with `is_admin` decided by `security.access`.
        data: what the button carried; anything at all when forged.
        origin: where the wish comes from; nothing but a person decides on a change.
    """
    say, language = texts.say, user.language
    async with database.session() as session:
        if origin != "person":
            await audit.refuse(session, "turn refused", actor=user.id, alarm="turn", origin=origin, wanted="tap")
            return Tapped(note=say(language, "tap-unknown"), alert=True)
        approval = await session.get(Approval, data.removeprefix(PRESS), with_for_update=True)
        if approval is None:
            # An admin may find an old button of another life of this bot; nobody else has any reason to.
            alarm = None if user.is_admin else "tap"
            await audit.refuse(session, "tap", actor=user.id, alarm=alarm, cause="unknown button")
            return Tapped(note=say(language, "tap-unknown"), alert=True)
        if not user.is_admin:
            about: dict[str, Any] = {"subject": subject_of_change(approval.change_id), "button": approval.action}
            await audit.refuse(session, "tap", actor=user.id, alarm="tap", cause="no admin", **about)
            return Tapped(note=say(language, "tap-not-admin"), alert=True)
        # Two admins may tap two buttons of one card at once: the second waits here, and then reads what the first did.
        # On this very connection: taps that each held one and asked for another would wait for each other.
        change = await ledger.held(session, approval.change_id)
        await session.refresh(approval)
        return await _act(_Tap(session, approval, change, user, lane))


async def _act(tap: _Tap) -> Tapped:
    """Do what a button is for, if it still is."""
    approval, change, button = tap.approval, tap.change, _BUTTONS[tap.approval.action]
    if approval.used_at is not None:
        return await tap.refuse("used already", "tap-used")
    if button.works_in:
        if change.state not in button.works_in or approval.commit != change.commit:
            return await tap.refuse("stale", "tap-stale", alert=True)
        audit.record(
            tap.session,
            f"change {approval.action}",
            actor=tap.user.id,
            subject=change.subject,
            commit=approval.commit,
        )
    if button.decides:
        mine = (
            col(Approval.change_id) == change.id,
            col(Approval.action).in_(_DECIDING),
            col(Approval.used_at).is_(None),
        )
        used = {"used_at": datetime.now(UTC), "used_by": tap.user.id}
        await tap.session.execute(update(Approval).where(*mine).values(**used))
    note = await button.act(tap)
    return Tapped(note=texts.say(tap.user.language, note) if note else "")
