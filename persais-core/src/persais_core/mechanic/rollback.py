"""Taking a deployed change back: a revert on main, then a deployment of that. It needs no model.

History is never rewritten: the revert is a commit like any other, and can be taken back the same way.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from persais_core import audit, errors, texts
from persais_core.db.tables.people import Person
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Reply
from persais_core.mechanic import contacts, migrate, remarks
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

HASH = re.compile(r"[0-9a-f]{7,40}\Z")


async def request(shop: Workshop, what: str, *, user_id: int, lane: Lane) -> None:
    """Take a change back, and say in the lane how that begins; the deployment says how it ends.

    Args:
        what: a commit (7 to 40 hex digits), a change's number, or empty for what was deployed last.
        user_id: who wants it; an admin, which the caller has made sure of.
    """
    async with shop.database.session() as session:
        person = await session.get(Person, user_id)
    language = texts.language_of(person.language if person else None)
    try:
        if what.isdecimal() and (await shop.ledger.get(int(what))).state is ChangeState.ROLLED_BACK:
            return  # done by a worker that died before it could say so, or asked for twice
        change = find(await shop.ledger.deployed(), what)
        assert change.merge_commit is not None
        await migrate.bring_back(shop, change)
        reverted = await shop.forge.revert(change.merge_commit, reason=f"Rolled back by {user_id} (change {change.id})")
    except errors.PersaisError as error:
        text = texts.say(language, "rollback-failed", cause=texts.explain(language, error))
        async with shop.database.session() as session:
            key = f"rollback:{datetime.now(UTC).timestamp()}"
            await outbox.put(session, lane, Reply(text=text, plain=True), key=key)
            cause, subject = shop.redactor.text(str(error)), f"change {what}" if what.isdecimal() else what
            audit.record(session, "rolled back", actor=user_id, subject=subject, outcome="failed", cause=cause)
        return
    await remarks.leave(shop, change, f"Rolled back by {reverted[:12]}.")
    async with shop.ledger.changing(change.id) as (session, current):
        await shop.ledger.write(session, current.model_copy(update={"state": ChangeState.ROLLED_BACK}))
        await shop.deployer.request(session, commit=reverted, change_id=change.id)
        audit.record(
            session, "rolled back", actor=user_id, subject=f"change {change.id}", commit=reverted, lane=lane.key
        )
        text = texts.say(language, "rollback-begun", change=change.id, branch=change.branch or "")
        await outbox.put(session, lane, Reply(text=text, plain=True), key=f"rollback:{reverted}:begun")
        note = texts.say(language, "rollback-told", change=change.id, branch=change.branch or "", who=user_id)
        await contacts.tell(shop, session, note, key=f"rollback:{reverted}:told", besides=lane.chat_id)


def find(deployed: list[Change], what: str) -> Change:
    """The deployed change that is meant.

    Args:
        deployed: the changes that serve, the one deployed last first.
        what: as for `request`.

    Raises:
        ChangeError: there is none, or the words are neither a commit nor a number.
    """
    what = what.strip().lstrip("#").lower()
    merged = [change for change in deployed if change.merge_commit]
    if not merged:
        raise errors.ChangeError("there is no deployed change that could be rolled back", key="rollback-none")
    if not what:
        return merged[0]
    if what.isdigit() and len(what) < 7:
        found = [change for change in merged if change.id == int(what)]
    elif HASH.match(what):
        found = [c for c in merged if (c.merge_commit or "").startswith(what) or (c.commit or "").startswith(what)]
    else:
        raise errors.ChangeError(
            "name a commit (at least 7 hex digits) or the number of a change, or nothing", key="rollback-words"
        )
    if len(found) != 1:
        raise errors.ChangeError(f"no deployed change is called {what}", key="rollback-unknown", what=what)
    return found[0]
