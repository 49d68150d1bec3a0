"""What the checks found, in the log of acts: a refusal by the guards is an alarm, whatever becomes of the change."""

from __future__ import annotations

from collections.abc import Sequence

from persais_core import audit, checks
from persais_core.checks import secrets
from persais_core.domain.changes import Change, Verdict
from persais_core.mechanic.workshop import Workshop
from persais_core.security.sandbox import Isolation

MAX_FINDING = 200  # characters of a finding that are kept


async def checked(shop: Workshop, change: Change, verdicts: Sequence[Verdict]) -> None:
    """Note how a round of checks ended.

    Code that reaches for what it may not is `gate refused`, a key in a file is `secret found`; both are alarms.
    Anything else that fails is a mistake: `checks failed`.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    names = [verdict.check for verdict in failed]
    if not failed:
        action, outcome = "checks passed", "ok"
    elif secrets.NAME in names:
        action, outcome = "secret found", "refused"
    elif checks.GUARDS & set(names):
        action, outcome = "gate refused", "refused"
    else:
        action, outcome = "checks failed", "failed"
    found = [shop.redactor.text(line)[:MAX_FINDING] for verdict in failed for line in verdict.findings[:3]]
    async with shop.database.session() as session:
        audit.record(
            session,
            action,
            subject=change.subject,
            outcome=outcome,
            round=change.round,
            checks=names or [verdict.check for verdict in verdicts],
            findings=found,
        )


async def not_run(shop: Workshop, change: Change, isolation: Isolation) -> None:
    """Note that a candidate was not run, as nothing would have kept it in."""
    async with shop.database.session() as session:
        audit.record(session, "sandbox refused", subject=change.subject, outcome="refused", cause=isolation.reason)
