"""A tap on a card's button, or on one under a setting that was said in words.

A button carries a random name of its row in `approvals`, and nothing that could be guessed or changed: the row says
which change, which commit and which act it stands for. Whoever taps is asked for their standing first; each row works
once; a row for another commit than the one that was delivered last does nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update
from sqlmodel import col

from persais_core import audit, texts
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval
from persais_core.domain.changes import ChangeState
from persais_core.domain.chats import Lane, Origin, Reply, User, Value
from persais_core.mechanic import migrate, preview
from persais_core.mechanic.ledger import Ledger, lock
from persais_core.queue import jobs, outbox

WORKS_IN = {
    "deploy": {ChangeState.AWAITING_APPROVAL},
    "deploy_drop": {ChangeState.AWAITING_APPROVAL},
    "abort": {ChangeState.AWAITING_APPROVAL, ChangeState.FAILED},
    "retry": {ChangeState.FAILED},
    "set": {ChangeState.PLANNING},
    "leave": {ChangeState.PLANNING},
}
"""In which states of a change each button does something."""


class Tapped(Value):
    """What to tell whoever tapped: a short note, or an alert they must close."""

    note: str
    alert: bool = False


async def press(
    database: Database, ledger: Ledger, *, user: User, lane: Lane, data: str, origin: Origin = "person"
) -> Tapped:
    """Act on a tap.

    Args:
        user: who tapped, with `is_admin` decided by `security.access`.
        data: what the button carried; anything at all when forged.
        origin: where the wish comes from; nothing but a person decides on a change.
    """
    say, language = texts.say, user.language
    nonce = data.removeprefix("c:")
    async with database.session() as session:
        if origin != "person":
            await audit.refuse(session, "turn refused", actor=user.id, alarm="turn", origin=origin, wanted="tap")
            return Tapped(note=say(language, "tap-unknown"), alert=True)
        if data.startswith(preview.PRESS) and await preview.wish_end(session, data, lane, language):
            return Tapped(note="")
        approval = await session.get(Approval, nonce, with_for_update=True)
        if approval is None:
            # An admin may find an old button of another life of this bot; nobody else has any reason to.
            alarm = None if user.is_admin else "tap"
            await audit.refuse(session, "tap", actor=user.id, alarm=alarm, cause="unknown button")
            return Tapped(note=say(language, "tap-unknown"), alert=True)
        subject = f"change {approval.change_id}"
        if not user.is_admin:
            await audit.refuse(
                session, "tap", actor=user.id, subject=subject, alarm="tap", cause="no admin", button=approval.action
            )
            return Tapped(note=say(language, "tap-not-admin"), alert=True)
        # Two admins may tap two buttons of one card at once: the second waits here, and then reads what the first did.
        # On this very connection: taps that each held one and asked for another would wait for each other.
        change = await ledger.held(session, approval.change_id)
        await session.refresh(approval)
        if approval.action == "view":
            text = say(language, "view-link", url=change.pull_request_url or "")
            await outbox.put(session, lane, Reply(text=text, plain=True), key=f"view:{nonce}:{datetime.now(UTC):%s%f}")
            return Tapped(note="")
        refused: dict[str, Any] = {
            "actor": user.id,
            "subject": subject,
            "button": approval.action,
            "commit": approval.commit,
        }
        if approval.used_at is not None:
            await audit.refuse(session, "tap", cause="used already", **refused)
            return Tapped(note=say(language, "tap-used"))
        if approval.action == "try":
            if change.state is not ChangeState.AWAITING_APPROVAL or approval.commit != change.commit:
                await audit.refuse(session, "tap", cause="stale", **refused)
                return Tapped(note=say(language, "tap-stale"), alert=True)
            audit.record(session, "change try", actor=user.id, subject=subject, commit=approval.commit)
            await preview.wish(session, change, lane, language)
            return Tapped(note=say(language, "tap-try"))
        if approval.action == "diff":
            if approval.commit is None:
                await audit.refuse(session, "tap", cause="stale", **refused)
                return Tapped(note=say(language, "tap-stale"), alert=True)
            await jobs.defer(
                session, "diff", lock=None, change=change.id, chat=lane.chat_id, topic=lane.topic_id, user=user.id
            )
            return Tapped(note="")
        if change.state not in WORKS_IN[approval.action] or approval.commit != change.commit:
            await audit.refuse(session, "tap", cause="stale", **refused)
            return Tapped(note=say(language, "tap-stale"), alert=True)
        await session.execute(
            update(Approval)
            .where(
                col(Approval.change_id) == change.id,
                col(Approval.action).in_(list(WORKS_IN)),
                col(Approval.used_at).is_(None),
            )
            .values(used_at=datetime.now(UTC), used_by=user.id)
        )
        audit.record(session, f"change {approval.action}", actor=user.id, subject=subject, commit=approval.commit)
        decision = approval.action
        if decision == "deploy_drop":
            await migrate.allow(session, change.id, actor=user.id)
            decision = "deploy"
        done = "abort" if decision == "leave" else decision
        await jobs.defer(session, "decide", lock=lock(change.id), change=change.id, decision=done, user=user.id)
        return Tapped(note=say(language, f"tap-{decision}"))
