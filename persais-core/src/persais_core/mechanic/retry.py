"""A failed change is begun again: the same plan, on today's main, with a thread of its own.

What the checks found stays with it, and what its version raised while it served: the coder is told, since the same
question would bring the same code again. A plan that does not fit today's main is made anew.

The messages of the attempt that failed stay as they are, without their buttons; the new one has messages of its own, so
that what is new stands lowest in the chat.
"""

from __future__ import annotations

from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.plans import Plan
from persais_core.mechanic import branch, cards, examples, mainline, migrate, production
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox

KEPT = (
    *("id", "chat_id", "topic_id", "user_id", "turn_id", "language"),
    *("request", "corrections", "replaces", "replaced_by"),
    *("estimate", "tokens", "cost"),
    *("abort_error", "notices"),
)
"""What a change takes along into its next attempt as it is; what is not set anew either begins as in any change."""


async def prepare(shop: Workshop, change: Change) -> Change:
    """Clear away what the failed attempt left, and set the change back to where its plan was made.

    A change that failed before it had a plan is planned again, and so is one whose plan moved the coder to nothing, or
    names files that main has no more or has meanwhile. What was delivered once gets a new branch, since the old one may
    be merged and reverted. What main has all the same, without being known to, is not made once more: it goes on to its
    deployment.

    Raises:
        PersaisError: what the failed attempt left cannot be cleared away; the change is as it was.
    """
    if await mainline.is_merged(shop, change):
        return await shop.ledger.update(
            change.id, state=ChangeState.DEPLOYING, error=None, buttons={}, called_off=False
        )
    await migrate.take_back(shop, change)  # what could not be taken back when it failed
    await mainline.take_out(shop, change)
    plan, unable, base = change.plan, change.unable, None
    if plan is not None and not unable:
        base = await shop.repository.main()
        if unable := await _outdated(shop, plan, base):
            base = None
        else:
            plan = await examples.noting_what_is_replaced(shop, base, plan)
    found = await production.of_version(shop, change)
    if change.branch is not None:
        await shop.forge.close(change.branch)
    await branch.clear(shop, change, keep_branch=False)
    async with shop.ledger.changing(change.id) as (session, current):
        for key, reply in cards.left_behind(current).items():
            await outbox.show(session, current.lane, reply, key=key)
        kept = {name: getattr(current, name) for name in KEPT}
        begun = {
            "attempt": current.attempt + 1,
            "state": ChangeState.PLANNING if base is None else ChangeState.SCAFFOLDING,
            "plan": plan,
            "unable": unable,
            "base": base,
            "branch": None if current.commit else current.branch,
            "verdicts": current.verdicts if found is None else (found,),
        }
        return await shop.ledger.write(session, Change.model_validate(kept | begun))


async def _outdated(shop: Workshop, plan: Plan, main: str) -> str:
    """Why a plan does not fit a commit of main; empty where it does."""
    there = await shop.repository.files(main)
    made = [path for part in plan.create for path in (part.path, part.test_path)]
    reasons = [f"main has no {path} any more" for path in plan.edit if path not in there]
    reasons += [f"main has no {path} any more" for path in plan.remove if path not in there]
    reasons += [f"main has {path} already" for path in made if path in there]
    return "; ".join(reasons)
