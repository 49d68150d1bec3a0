"""Main has moved on since a change was checked: what it becomes is checked before it may serve.

Two changes that pass by themselves may fail together, also where git merges them without a word: one renames what the
other calls. So it is not the approved commit alone that must pass but main with it, and while `Workshop.merging` is
held none of us moves main in between. Others may, and a person may merge by hand: so what main then has is held against
what was checked, and checked as it is where it is something else.
"""

from __future__ import annotations

import dataclasses

from persais_core import checks, errors, texts
from persais_core.db import app_sql, app_track
from persais_core.domain.changes import Change
from persais_core.mechanic import migrate, noted, rounds, verify
from persais_core.mechanic.workshop import Workshop
from persais_core.security import sandbox


async def before_merging(shop: Workshop, change: Change) -> None:
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
    try:
        tree = await shop.repository.merged(main, change.commit)
    except errors.GitError as error:
        raise error.as_(errors.ChangeError) from error
    await shop.ledger.update(change.id, note=texts.say(change.language, "recheck-begun"))
    for migration in await _judge(shop, change, tree, base=main, is_merged=False):
        await _keep(shop, change, migration)
    await shop.ledger.update(change.id, checked_on=main, note=None)


async def as_merged(shop: Workshop, change: Change, merged: str) -> None:
    """See to it that what main has got is what was checked, or passes the checks as well; may be repeated.

    Args:
        merged: the commit of main that merged the change.

    Raises:
        ChangeError: it does not pass, or is not on main at all; it must not be served.
    """
    main = await shop.repository.main()
    change = await shop.ledger.get(change.id)
    before = await shop.repository.first_parent(merged)
    if before is None or change.commit is None or not await shop.repository.holds(main, merged):
        raise errors.ChangeError(f"main does not hold {merged[:12]}", key="merged-elsewhere", commit=merged[:12])
    try:
        expected = await shop.repository.merged(before, change.commit)
    except errors.GitError:
        expected = None  # somebody has settled a conflict by hand
    if expected != await shop.repository.tree(merged) or before != (change.checked_on or change.base):
        await _judge(shop, change, merged, base=before, is_merged=True)


async def _judge(shop: Workshop, change: Change, tree: str, *, base: str, is_merged: bool) -> list[app_sql.Migration]:
    """Have the checks judge what a change makes of main.

    Args:
        tree: the name of what main would hold, or holds.
        base: main before it.
        is_merged: whether main holds it already.

    Returns:
        The change of the tables that was proven, if any.

    Raises:
        ChangeError: it does not pass.
    """
    proven: list[app_sql.Migration] = []

    async def keep(migration: app_sql.Migration) -> None:
        proven.append(migration)

    folder = shop.scratch(change.id) / "merged"
    try:
        changed = await shop.repository.write(tree, folder, base=base)
        there = change.model_copy(update={"base": base})
        subject = await verify.subject_of(shop, there, keeps=False, folder=folder, changed=changed)
        verdicts = await checks.verify(dataclasses.replace(subject, keep=keep))
    finally:
        await sandbox.remove_tree(folder)
    await noted.checked(shop, change, verdicts)
    if failed := [verdict for verdict in verdicts if not verdict.passed]:
        await shop.ledger.update(change.id, verdicts=verdicts)
        names = ", ".join(verdict.check for verdict in failed)
        if is_merged:
            raise errors.ChangeError(
                f"main has changed while this was merged, and together with that it fails: {names}",
                key="recheck-failed-late",
                checks=rounds.named(failed),
            )
        raise errors.ChangeError(
            f"main has changed since this was checked, and together with that it fails: {names}; nothing was merged",
            key="recheck-failed",
            checks=rounds.named(failed),
        )
    return proven


async def _keep(shop: Workshop, change: Change, migration: app_sql.Migration) -> None:
    """Store the change of the tables as it was proven on what main is now, as long as it loses nothing else.

    Raises:
        ChangeError: it would drop or bind other things than those that stand on the card.
    """
    async with shop.database.session() as session:
        allowed = [script.actor for script in await app_track.stored(session, change.id) if script.is_lossy]
        await app_track.plan(session, change.id, migration)
        left = await migrate.left(session, change.id, change.language)
        losses = await migrate.losses(session, change.id, change.language)
        if losses != change.losses or not {*left} <= {*change.left}:
            raise errors.ChangeError(
                "main has changed since this was checked, and it would now drop or bind other data than the card says; "
                "nothing was merged",
                key="recheck-losses",
            )
        for actor in allowed:
            if actor is not None:  # the tap was for the very same losses
                await app_track.allow(session, change.id, actor=actor)
