"""The commands that decide on a change: each names it by its number, or means the newest that it fits.

A command that chooses for itself what to act on stores its answer, under the key that it is given, with the act: done
again after a kill, it would choose another.
"""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState, Notice
from persais_core.domain.chats import Reply, Turn
from persais_core.mechanic import approvals, cards, rollback
from persais_core.mechanic.ledger import Ledger
from persais_core.queue import jobs, locks, outbox

MOST_SHOWN = 40  # characters of a word that names no change


async def abort(ledger: Ledger, turn: Turn, key: str | None) -> Reply:
    """Call a change off; the message then tells how that goes."""
    language, could_be = turn.user.language, await ledger.open_changes()
    change = _chosen(could_be, turn)
    if change is not None:
        chat, topic = turn.lane.chat_id, turn.lane.topic_id
        notice = Notice(key=key, chat_id=chat, topic_id=topic, language=language) if key else None
        if await ledger.stop(change.id, actor=turn.user.id, notice=notice):
            return cards.abort_told(change, language)
        return Reply(text=texts.say(language, "abort-late", change=change.id), plain=True)
    return _nothing(turn, "abort", [change for change in could_be if change.state.can_be_aborted])


async def deploy(database: Database, ledger: Ledger, turn: Turn) -> Reply:
    """Do what a tap on [Deploy] does."""
    language = turn.user.language
    waiting = [c for c in await ledger.open_changes() if c.state is ChangeState.AWAITING_APPROVAL]
    if len(waiting) > 1 and len(turn.message.text.split()) == 1:
        # Whoever writes this means the one they have read, which need not be the newest.
        return Reply(text=texts.say(language, "deploy-which", changes=_names(waiting)), plain=True)
    change = _chosen(waiting, turn)
    if change is None:
        return _nothing(turn, "deploy", waiting)
    data = change.buttons.get("deploy", "")
    tapped = await approvals.redeem(database, ledger, user=turn.user, lane=turn.lane, data=data, origin=turn.origin)
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
            lock=locks.ROLLBACK,
            what=str(change.id),
            user=turn.user.id,
            chat=turn.lane.chat_id,
            topic=turn.lane.topic_id,
            key=key,
        )
        if key:
            await outbox.put(session, turn.lane, reply, key=key)
    return reply


def _chosen(changes: list[Change], turn: Turn) -> Change | None:
    """The change a command names by its number, or the newest of this lane that can still be called off."""
    words = turn.message.text.split()
    if len(words) > 1:
        return next((c for c in changes if str(c.id) == words[1].lstrip("#")), None)
    mine = [c for c in changes if c.chat_id == turn.lane.chat_id and c.state.can_be_aborted]
    return mine[-1] if mine else None


def _nothing(turn: Turn, command: str, changes: list[Change]) -> Reply:
    """That there is nothing to decide on; where the command named something, which changes there are."""
    language, named = turn.user.language, turn.message.command[1].split()
    if not named:
        return Reply(text=texts.say(language, f"{command}-nothing"), plain=True)
    told = {"what": texts.untapped(named[0].lstrip("#")[:MOST_SHOWN]), "count": len(changes)}
    return Reply(text=texts.say(language, f"{command}-unknown", changes=_names(changes), **told), plain=True)


def _names(changes: list[Change]) -> str:
    return ", ".join(f"#{change.id} {change.branch or ''}".strip() for change in changes)
