"""The commands that decide on a change: each names it by its number, or means the newest that it fits.

A command that chooses for itself what to act on stores its answer, under the key that it is given, with the act: done
again after a kill, it would choose another.
"""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState, Notice
from persais_core.domain.chats import Reply, Turn
from persais_core.mechanic import approve, cards, rollback
from persais_core.mechanic.ledger import Ledger
from persais_core.queue import jobs, outbox


async def abort(ledger: Ledger, turn: Turn, key: str | None) -> Reply:
    """Call a change off; the message then tells how that goes."""
    language = turn.user.language
    change = await _chosen(ledger, turn, set(ChangeState) - {ChangeState.DEPLOYING})
    if change is not None:
        chat, topic = turn.lane.chat_id, turn.lane.topic_id
        notice = Notice(key=key, chat_id=chat, topic_id=topic, language=language) if key else None
        if await ledger.stop(change.id, actor=turn.user.id, notice=notice):
            return cards.abort_told(change, language)
    return Reply(text=texts.say(language, "abort-nothing"), plain=True)


async def deploy(database: Database, ledger: Ledger, turn: Turn) -> Reply:
    """Do what a tap on [Deploy] does."""
    language = turn.user.language
    waiting = [c for c in await ledger.open_changes() if c.state is ChangeState.AWAITING_APPROVAL]
    if len(waiting) > 1 and len(turn.message.text.split()) == 1:
        # Whoever writes this means the one they have read, which need not be the newest.
        names = ", ".join(f"#{change.id} {change.branch}" for change in waiting)
        return Reply(text=texts.say(language, "deploy-which", changes=names), plain=True)
    change = await _chosen(ledger, turn, {ChangeState.AWAITING_APPROVAL})
    if change is None:
        return Reply(text=texts.say(language, "deploy-nothing"), plain=True)
    data = change.buttons.get("deploy", "")
    tapped = await approve.press(database, ledger, user=turn.user, lane=turn.lane, data=data, origin=turn.origin)
    return Reply(text=tapped.note, plain=True)


async def roll_back(database: Database, ledger: Ledger, turn: Turn, key: str | None) -> Reply:
    """Put the rollback of one change, chosen now, in the queue; it speaks for itself when it has begun."""
    words = turn.message.text.split(maxsplit=1)
    try:
        change = rollback.find(await ledger.deployed(), words[1] if len(words) > 1 else "")
    except errors.ChangeError as error:
        cause = texts.explain(turn.user.language, error)
        return Reply(text=texts.say(turn.user.language, "rollback-failed", cause=cause), plain=True)
    reply = Reply(text=texts.say(turn.user.language, "rollback-asked"), plain=True)
    async with database.session() as session:
        await jobs.defer(
            session,
            "rollback",
            lock="rollback",
            what=str(change.id),
            user=turn.user.id,
            chat=turn.lane.chat_id,
            topic=turn.lane.topic_id,
            key=key,
        )
        if key:
            await outbox.put(session, turn.lane, reply, key=key)
    return reply


async def _chosen(ledger: Ledger, turn: Turn, states: set[ChangeState]) -> Change | None:
    """The change a command names by its number, or the newest of this lane in one of the states."""
    words = turn.message.text.split()
    changes = [c for c in await ledger.open_changes() if c.state in states]
    if len(words) > 1:
        return next((c for c in changes if str(c.id) == words[1].lstrip("#")), None)
    mine = [c for c in changes if c.chat_id == turn.lane.chat_id]
    return mine[-1] if mine else None
