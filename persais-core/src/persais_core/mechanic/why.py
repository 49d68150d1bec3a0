"""/why: which commit, request, approval, checks and cost a behaviour comes from."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import col

from persais_core import texts
from persais_core.db.engine import Database
from persais_core.db.tables.chats import Turn as TurnRow
from persais_core.db.tables.evolution import Approval
from persais_core.db.tables.people import ModelCall
from persais_core.domain.changes import Change
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.mechanic import contacts
from persais_core.mechanic.ledger import Ledger
from persais_core.queue import outbox


async def answer(database: Database, ledger: Ledger, *, agent: str, language: Language, is_admin: bool) -> Reply | None:
    """Where an agent's present behaviour comes from; None where no change has made or changed it.

    Args:
        agent: its name.
        is_admin: others are told the commit and the checks, but neither what the owner said nor what it cost.
    """
    path = f"bot/agents/{agent}.py"
    changes = await ledger.all_with_file(path)
    if not changes:
        return None
    first, last = changes[0], changes[-1]
    commit = (last.merge_commit or last.commit or "")[:12]
    passed = ", ".join(texts.say(language, f"check-{v.check}") for v in last.verdicts if v.passed)
    lines = [
        texts.say(language, "why-agent", agent=agent),
        texts.say(language, "why-commit", commit=commit, change=last.id),
        texts.say(language, "why-checks", checks=passed),
    ]
    if path in last.removed:
        lines.insert(1, texts.say(language, "why-removed", change=last.id))
    if is_admin:
        lines.append(texts.say(language, "why-request", request=first.request[:500]))
        lines += [texts.say(language, "why-correction", text=text[:300]) for text in first.corrections]
        if last.id != first.id:
            lines.append(texts.say(language, "why-last-request", request=last.request[:500]))
        lines.append(texts.say(language, "why-pull-request", url=last.pull_request_url or "—"))
        lines.append(texts.say(language, "why-approved", who=await _approver(database, last)))
        lines.append(texts.say(language, "why-cost", cost=f"{await _cost(database, changes):.4f}"))
    return Reply(text="\n".join(lines), plain=True)


async def agent_of_message(database: Database, lane: Lane, message_id: int) -> str | None:
    """The agent that said a message of the bot, or None when it was no answer of an agent."""
    async with database.session() as session:
        key = await outbox.key_of(session, lane.chat_id, message_id)
        if key is None or not key.startswith("turn:"):
            return None
        turn = await session.get(TurnRow, int(key.split(":")[1]))
    return turn.agent if turn else None


async def _approver(database: Database, change: Change) -> str:
    async with database.session() as session:
        found = await session.execute(
            select(col(Approval.used_by)).where(
                col(Approval.change_id) == change.id,
                col(Approval.action).in_(("deploy", "deploy_drop")),
                col(Approval.used_by).is_not(None),
            )
        )
        who = found.scalars().first()
        return await contacts.called(session, who) if who is not None else "—"


async def _cost(database: Database, changes: list[Change]) -> float:
    numbers = [change.id for change in changes]
    async with database.session() as session:
        found = await session.execute(select(col(ModelCall.cost)).where(col(ModelCall.change_id).in_(numbers)))
        return float(sum(found.scalars()))
