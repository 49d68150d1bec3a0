"""Main has moved on since a change was checked: what it would become is checked before anything is merged.

Two changes that pass by themselves may fail together, also where git merges them without a word: one renames what the
other calls. So it is not the approved commit alone that must pass but main with it, and while `Workshop.merging` is
held none of us moves main in between. What does not pass together is not merged; it can be made anew on what main is.
"""

from __future__ import annotations

import dataclasses

from persais_core import checks, errors, texts
from persais_core.db import app_sql, app_track
from persais_core.domain.changes import Change
from persais_core.mechanic import migrate, verify, watch
from persais_core.mechanic.workshop import Workshop
from persais_core.security import sandbox


async def recheck(shop: Workshop, change: Change) -> None:
    """See to it that main with an approved change passes the checks; may be repeated.

    Raises:
        ChangeError: it does not, or they conflict; nothing was merged.
    """
    if change.base is None or change.commit is None:
        raise errors.ChangeError("there is nothing to merge yet")
    main = await shop.repository.main()
    if main == (change.checked_on or change.base) or await shop.repository.holds(main, change.commit):
        return
    await migrate.take_back(shop, change)  # of an earlier try, which was ended before it merged
    folder = shop.scratch(change.id) / "merged"
    try:
        changed = await shop.repository.merged(main, change.commit, folder)
        there = change.model_copy(update={"base": main})
        subject = await verify.subject_of(shop, there, keeps=False, folder=folder, changed=changed)
        proven: list[app_sql.Migration] = []

        async def keep(migration: app_sql.Migration) -> None:
            proven.append(migration)

        verdicts = await checks.verify(dataclasses.replace(subject, keep=keep))
    except errors.GitError as error:
        raise errors.ChangeError(str(error), key=error.key, **error.values) from error
    finally:
        await sandbox.remove_tree(folder)
    await watch.checked(shop, change, verdicts)
    if failed := [verdict for verdict in verdicts if not verdict.passed]:
        await shop.ledger.update(change.id, verdicts=verdicts)
        names = ", ".join(texts.say(change.language, f"check-{verdict.check}") for verdict in failed)
        raise errors.ChangeError(texts.say(change.language, "recheck-failed", checks=names))
    for migration in proven:
        await _keep(shop, change, migration)
    await shop.ledger.update(change.id, checked_on=main)


async def _keep(shop: Workshop, change: Change, migration: app_sql.Migration) -> None:
    """Store the change of the tables as it was proven on what main is now, as long as it loses nothing else.

    Raises:
        ChangeError: it would drop or bind other things than those that stand on the card.
    """
    async with shop.database.session() as session:
        allowed = [script.actor for script in await app_track.stored(session, change.id) if script.is_lossy]
        await app_track.plan(session, change.id, migration)
        if await migrate.losses(session, change.id, change.language) != change.losses:
            raise errors.ChangeError(texts.say(change.language, "recheck-losses"))
        for actor in allowed:
            if actor is not None:  # the tap was for the very same losses
                await app_track.allow(session, change.id, actor=actor)
