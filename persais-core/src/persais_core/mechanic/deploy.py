"""Approved: bring the tables up to it, merge it, and ask that it should serve; `settle` tells how that ended."""

from __future__ import annotations

import structlog

from persais_core import audit, errors
from persais_core.domain.changes import Change, ChangeState
from persais_core.mechanic import mainline, migrate, recheck
from persais_core.mechanic.workshop import Workshop

log = structlog.get_logger(__name__)


async def request(shop: Workshop, change: Change, *, user_id: int) -> Change:
    """Bring the tables up to it, merge the delivered commit and ask that it should serve; may be repeated.

    Returns:
        The change; failed, and taken out of main, where that has become something else that does not pass.

    Raises:
        ForgeUnavailableError: whether it is merged is not known. It stays `deploying`; repeat this until it is.
        PersaisError: main has changed and does not go together with it, the tables could not be changed, or the forge
            refused; nothing was merged, and the tables are as before where the error does not say otherwise.
    """
    if change.pull_request is None or change.commit is None:
        raise errors.ChangeError("there is no pull request yet")
    async with shop.ledger.changing(change.id) as (session, current):
        # Before the merge: from here on the change can be rolled back, but not aborted any more.
        if current.state.is_over or current.called_off:
            raise errors.ChangeError("the change was called off meanwhile", key="called-off")
        if current.merge_commit is not None:
            return current  # an earlier try did all of it, and was cut off before the graph could note that
        is_repeated = current.state is ChangeState.DEPLOYING
        await shop.ledger.write(
            session, current.model_copy(update={"state": ChangeState.DEPLOYING, "platform": shop.deployer.platform})
        )
    async with shop.merging:
        current = await shop.ledger.get(change.id)
        if current.merge_commit is not None or current.state is not ChangeState.DEPLOYING:
            return current  # whoever was merged after it has seen to it
        await _finish_cut_off(shop, but=change)
        try:
            merged = await _merge(shop, change, change.pull_request, change.commit, is_repeated=is_repeated)
        except (errors.ForgeUnavailableError, errors.GitUnavailableError):
            raise
        except errors.PersaisError as error:
            if stuck := await migrate.taken_back(shop, change):
                raise _both(error, *stuck) from error
            raise
        return await _ship(shop, change, merged, user_id=user_id)


async def _finish_cut_off(shop: Workshop, *, but: Change) -> None:
    """Have those deployed first that main has already while a kill, or a lost answer, has kept that from being noted.

    What is merged next holds them; deployed after it, they would serve in its place without it.
    """
    for other in await shop.ledger.open_changes():
        is_merging = other.state is ChangeState.DEPLOYING and other.merge_commit is None and not other.called_off
        if other.id == but.id or not is_merging or other.pull_request is None or other.commit is None:
            continue
        try:
            merged = await shop.forge.merged(other.pull_request, head=other.commit)
        except errors.ForgeUnavailableError:
            raise
        except errors.ForgeError as error:
            # Its own job tells of it, and others need not wait for what may last.
            log.warning("whether an earlier change is merged is not known", change=other.id, cause=str(error))
            continue
        if merged is not None:
            await _ship(shop, other, merged, user_id=None)


def _both(error: errors.PersaisError, *stuck: errors.PersaisError) -> errors.PersaisError:
    """Why a change cannot go on, together with what is left of it because of that."""
    if not stuck:
        return error
    return errors.ChangeError(f"{error}; {stuck[0]}", key="and-more", first=error, more=stuck[0])


async def _merge(shop: Workshop, change: Change, number: int, head: str, *, is_repeated: bool) -> str:
    """See to it that main holds a change, and the tables what it needs; returns the commit there."""
    # Of an earlier try the answer may have been lost; main has it then, and there is nothing left to check.
    merged = await _known(shop, number, head) if is_repeated else None
    if merged is None:
        await mainline.clean(shop)
        await recheck.before_merging(shop, change)
    try:
        await migrate.before_proving(shop, change)
    except errors.DatabaseError as error:
        told = f"the tables could not be changed, so nothing was deployed: {error}"
        raise errors.ChangeError(told, key="migration-failed", cause=error) from error
    return merged or await shop.forge.merge(number, head=head)


async def _known(shop: Workshop, number: int, head: str) -> str | None:
    """The commit on main that merged a pull request, as far as there is one; what keeps us from knowing passes."""
    try:
        return await shop.forge.merged(number, head=head)
    except errors.ForgeError as error:
        raise error.as_(errors.ForgeUnavailableError) from error


async def _ship(shop: Workshop, change: Change, merged: str, *, user_id: int | None) -> Change:
    """Ask that what main has got of a change should serve, or take it out where it must not.

    Args:
        merged: the commit of main that merged it.
        user_id: who has it deployed; None: it is gone on with.
    """
    try:
        await recheck.as_merged(shop, change, merged)
    except errors.GitUnavailableError:
        raise
    except errors.PersaisError as error:
        both = _both(error, *await migrate.taken_back(shop, change))
        return await mainline.reject(shop, change, merged, both)
    async with shop.ledger.changing(change.id) as (session, current):
        changed = current.model_copy(update={"merge_commit": merged, "note": None})
        await shop.ledger.write(session, changed)
        await shop.deployer.request(session, commit=merged, change_id=change.id)
        audit.record(session, "merged", actor=user_id, subject=change.subject, commit=merged)
    return changed
