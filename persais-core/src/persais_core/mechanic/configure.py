"""What the owner wants to be set for an agent, said in words: no code, so no branch, no checks and no deployment."""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.domain.changes import Change, Plan
from persais_core.mechanic.workshop import Workshop


async def carry_out(shop: Workshop, change: Change, plan: Plan) -> Plan:
    """Set what a plan configures.

    Returns:
        The plan; one that declines where it cannot be set.
    """
    if plan.configure is None:
        return plan
    try:
        await shop.configs.update(plan.configure, actor=change.user_id, language=change.language)
    except errors.AgentError as error:
        return Plan(understood=plan.understood, decline=texts.explain(change.language, error))
    return plan
