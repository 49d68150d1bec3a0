"""The log of consequential acts: who did what to what, and how it ended. It is only ever added to.

An entry is written in the transaction of its act, so there is never one without the other. Some acts are alarming:
their entries name a kind of alarm, and `queue.alerts` tells the admins of it. What a model, a stranger or a candidate
said may stand in `detail`; whoever shows it must treat it as foreign words.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select
from sqlalchemy import text as sql
from sqlmodel import col

from persais_core.db.tables.people import AuditEntry
from persais_core.domain.changes import subject_of_change

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

ACTS = (
    "agent configured", "agent shared", "attic emptied", "cap reached", "change abort", "change aborted",
    "change corrected", "change deploy", "change deploy_drop", "change failed", "change leave", "change planned",
    "change requested", "change retry", "change set", "change try", "checks failed", "checks passed", "claim",
    "coder began", "coder ended", "command refused", "dead letter dropped", "dead letter retried", "deployed",
    "edit refused", "gate refused", "loss allowed", "merged", "preview begun", "pull request opened",
    "release activated", "release confirmed", "rolled back", "sandbox refused", "sandbox weak", "secret found",
    "settings changed", "stranger refused", "tables changed", "tables dropped", "tables taken back", "taken back",
    "tap", "tool called", "turn refused",
)  # fmt: skip
"""Every act there is a word for in the catalogues; one that is not here is shown as it is called."""

ALARMS: Mapping[str, str] = {
    "gate refused": "gate",
    "sandbox refused": "sandbox",
    "secret found": "secret",
}
"""Acts that are alarming in themselves, and the kind of alarm."""

KINDS = ("claim", "edit", "gate", "sandbox", "secret", "tables", "tap", "turn")
"""Every kind of alarm."""

MOST_REFUSALS = 20  # of one person's attempts at one act, noted within an hour
HIDDEN = "_"
"""Start of the names in `detail` that are for the program, not for a reader."""


def record(
    session: AsyncSession,
    action: str,
    *,
    actor: int | None = None,
    subject: str = "",
    outcome: str = "ok",
    commit: str | None = None,
    alarm: str | None = None,
    **detail: Any,
) -> None:
    """Add one entry; it is there if and only if the session's transaction commits.

    Args:
        session: the transaction of the act itself.
        action: one of `ACTS`, such as `change requested`.
        actor: chat user id, None for the program itself.
        subject: what it was done to, such as `change 3`.
        outcome: ok, refused or failed.
        alarm: one of `KINDS` where admins must hear of it; those of `ALARMS` need not say so.
        detail: anything JSON; never a secret.
    """
    session.add(
        AuditEntry(
            actor=actor,
            action=action,
            subject=subject,
            outcome=outcome,
            commit=commit,
            alarm=alarm or ALARMS.get(action),
            detail=detail,
        )
    )


@dataclass(frozen=True)
class Wanted:
    """Which entries somebody wants to read; what is not said does not matter.

    Args:
        limit: the newest ones, at most so many.
        action: part of what was done.
        actor: user id.
        change: number of a change.
        since: aware time.
        after: id of the last entry that was read already.
        word: part of the action, the subject, the outcome or the kind of alarm.
        actions: acts that count as holding the word.
    """

    limit: int = 20
    action: str | None = None
    actor: int | None = None
    change: int | None = None
    since: datetime | None = None
    after: int | None = None
    word: str | None = None
    actions: tuple[str, ...] = ()


async def read(session: AsyncSession, wanted: Wanted) -> list[AuditEntry]:
    """The newest entries that are wanted, oldest first."""
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(wanted.limit)
    if wanted.action is not None:
        query = query.where(col(AuditEntry.action).icontains(wanted.action, autoescape=True))
    if wanted.actor is not None:
        query = query.where(col(AuditEntry.actor) == wanted.actor)
    if wanted.change is not None:
        query = query.where(col(AuditEntry.subject) == subject_of_change(wanted.change))
    if wanted.since is not None:
        query = query.where(col(AuditEntry.at) >= wanted.since)
    if wanted.after is not None:
        query = query.where(col(AuditEntry.id) > wanted.after)
    if wanted.word is not None:
        columns = (col(AuditEntry.action), col(AuditEntry.subject), col(AuditEntry.outcome), col(AuditEntry.alarm))
        holds = [column.icontains(wanted.word, autoescape=True) for column in columns]
        query = query.where(or_(col(AuditEntry.action).in_(wanted.actions), *holds))
    return list((await session.execute(query)).scalars())[::-1]


async def refuse(
    session: AsyncSession,
    action: str,
    *,
    actor: int | None,
    subject: str = "",
    alarm: str | None = None,
    alarm_from: int = 1,
    commit: str | None = None,
    **detail: Any,
) -> None:
    """Note that somebody was refused; of what anybody may repeat, no more than `MOST_REFUSALS` in an hour.

    Args:
        alarm_from: at which refusal of this kind within the hour it becomes alarming.
        detail: as for `record`.
    """
    query = sql(
        "select count(*) from persais.audit where action = :action and outcome = 'refused' "
        "and actor is not distinct from cast(:actor as bigint) and at > now() - interval '1 hour'"
    )
    before = int((await session.execute(query, {"action": action, "actor": actor})).scalar_one())
    if before < MOST_REFUSALS:
        kind = alarm if before + 1 >= alarm_from else None
        record(session, action, actor=actor, subject=subject, outcome="refused", commit=commit, alarm=kind, **detail)


async def note_settings(session: AsyncSession, values: Mapping[str, str]) -> tuple[str, ...]:
    """Note which settings differ from those of the last start, by name alone.

    What is kept of a value is a mark of 24 bits under a salt: enough to see that it changed, too little to find it.

    Args:
        session: a transaction.
        values: every setting, written out.

    Returns:
        The names that changed; none at the very first start.
    """
    query = select(AuditEntry).where(col(AuditEntry.action) == "settings changed").order_by(col(AuditEntry.id).desc())
    last = (await session.execute(query.limit(1))).scalars().first()
    kept: dict[str, str] = dict(last.detail.get(f"{HIDDEN}marks", {})) if last else {}
    salt = str(last.detail.get(f"{HIDDEN}salt", "")) if last else secrets.token_hex(16)
    marks = {
        name: hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()[:6] for name, value in values.items()
    }
    changed = tuple(sorted(name for name in marks.keys() | kept.keys() if marks.get(name) != kept.get(name)))
    if last is None or changed:
        detail: dict[str, Any] = {"names": list(changed) if last else []}
        record(session, "settings changed", **detail | {f"{HIDDEN}salt": salt, f"{HIDDEN}marks": marks})
    return changed if last else ()
