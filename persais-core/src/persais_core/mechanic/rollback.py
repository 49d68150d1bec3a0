"""Taking a deployed change back: a revert on main, then a deployment of that. It needs no model.

History is never rewritten: the revert is a commit like any other, and can be taken back the same way.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from persais_core import audit, errors, texts
from persais_core.db.tables.people import Person
from persais_core.domain.changes import Change, ChangeState, Notice
from persais_core.domain.chats import Lane, Language, Reply
from persais_core.mechanic import contacts, migrate, remarks
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

MOST_NAMED = 5  # changes that somebody is told of who named one that there is not
HASH = re.compile(r"[0-9a-f]{7,40}\Z")


async def request(shop: Workshop, what: str, *, user_id: int, lane: Lane, key: str | None = None) -> None:
    """Take a change back, and say in the lane how that begins; the deployment says how it ends.

    Args:
        what: a commit (7 to 40 hex digits), a change's number, or empty for what was deployed last.
        user_id: who wants it; an admin, which the caller has made sure of.
        key: of the message that says it was asked for, and from then on how it begins; None: there is none yet.
    """
    async with shop.database.session() as session:
        person = await session.get(Person, user_id)
        who = await contacts.called(session, user_id)
    language = texts.language_of(person.language if person else None)
    try:
        if what.isdecimal() and (known := await shop.ledger.get(int(what))).state is ChangeState.ROLLED_BACK:
            # Done by a worker that died after it, or asked for twice: each message that asked says the same.
            if key is not None:
                async with shop.database.session() as session:
                    await outbox.show(session, lane, _begun(known, language), key=key)
            return
        change = find(await shop.ledger.deployed(), what)
        assert change.merge_commit is not None
        await migrate.bring_back(shop, change)
        async with shop.merging:
            reason = f"Rolled back by {user_id} (change {change.id})"
            reverted = await shop.forge.revert(change.merge_commit, reason=reason)
        async with shop.ledger.changing(change.id) as (session, current):
            if current.state is not ChangeState.DEPLOYED:
                raise errors.ChangeError("it did not hold, and was taken back by itself meanwhile", key="taken-back")
            begun = key or f"rollback:{reverted}:begun"
            notice = Notice(key=begun, chat_id=lane.chat_id, topic_id=lane.topic_id, language=language)
            fields = {"state": ChangeState.ROLLED_BACK, "rollback_notice": notice}
            await shop.ledger.write(session, current.model_copy(update=fields))
            await shop.deployer.request(session, commit=reverted, change_id=change.id)
            actor, subject = user_id, change.subject
            audit.record(session, "rolled back", actor=actor, subject=subject, commit=reverted, lane=lane.key)
            await outbox.show(session, lane, _begun(change, language), key=begun)
            told = {"change": change.id, "branch": change.branch or "", "who": who}
            await contacts.tell(
                shop,
                session,
                lambda spoken: texts.say(spoken, "rollback-told", **told),
                key=f"rollback:{reverted}:told",
                besides=lane.chat_id,
            )
    except errors.PersaisError as error:
        text = texts.say(language, "rollback-failed", cause=texts.explain(language, error))
        async with shop.database.session() as session:
            key = key or f"rollback:{datetime.now(UTC).timestamp()}"
            await outbox.show(session, lane, Reply(text=text, plain=True), key=key)
            cause, subject = shop.redactor.text(str(error)), f"change {what}" if what.isdecimal() else what
            audit.record(session, "rolled back", actor=user_id, subject=subject, outcome="failed", cause=cause)
        return
    await remarks.leave(shop, change, f"Rolled back by {reverted[:12]}.")


def _begun(change: Change, language: Language) -> Reply:
    text = texts.say(language, "rollback-begun", change=change.id, branch=change.branch or "")
    return Reply(text=text, plain=True)


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
        known = ", ".join(f"#{change.id}" for change in merged[:MOST_NAMED])
        raise errors.ChangeError(
            f"{what} is no deployed change; these can be rolled back, the newest first: {known}",
            key="rollback-unknown",
            what=what[:40],
            changes=known,
        )
    return found[0]
