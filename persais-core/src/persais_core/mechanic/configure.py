"""What the owner wants to be set for an agent, said in words: no code, so no branch, no checks and no deployment.

What was understood is shown with two buttons and set by a tap, since a model has read the words, and reads much else.
`/config` is the owner's own word and needs none.
"""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.plans import Plan
from persais_core.mechanic.workshop import Workshop

ACTIONS = ("set", "leave")


def looked_at(shop: Workshop, change: Change, plan: Plan) -> Plan:
    """A plan that can be shown with buttons: itself, or one that declines where it can never be set."""
    if plan.configure is None:
        return plan
    try:
        shop.configs.check(plan.configure)
    except errors.AgentError as error:
        return _declined(change, plan, error)
    return plan


async def carry_out(shop: Workshop, change: Change, *, user_id: int) -> None:
    """Set what waits for it; repeating it changes nothing.

    Args:
        user_id: whoever tapped.
    """
    if not change.awaits_setting or change.plan is None or change.plan.configure is None:
        return
    plan, state = change.plan, ChangeState.ANSWERED
    try:
        await shop.configs.update(change.plan.configure, actor=user_id, language=change.language)
    except errors.AgentError as error:
        plan, state = _declined(change, plan, error), ChangeState.ABORTED
    await shop.ledger.update(change.id, plan=plan, state=state, buttons={})


def _declined(change: Change, plan: Plan, error: errors.AgentError) -> Plan:
    return Plan(understood=plan.understood, decline=texts.explain(change.language, error))
