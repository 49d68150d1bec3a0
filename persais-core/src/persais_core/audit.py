"""The log of consequential acts: who did what to what, and how it ended. It is only ever added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persais_core.db.tables.people import AuditEntry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


def record(
    session: AsyncSession,
    action: str,
    *,
    actor: int | None = None,
    subject: str = "",
    outcome: str = "ok",
    commit: str | None = None,
    **detail: Any,
) -> None:
    """Add one entry; it is there if and only if the session's transaction commits.

    Args:
        session: the transaction of the act itself.
        action: a verb phrase from the glossary, such as `change requested`.
        actor: chat user id, None for the program itself.
        subject: what it was done to, such as `change 3`.
        outcome: ok, refused or failed.
        detail: anything JSON; never a secret.
    """
    session.add(AuditEntry(actor=actor, action=action, subject=subject, outcome=outcome, commit=commit, detail=detail))
