r"""The life of a change as one LangGraph graph on the Postgres checkpointer.

    plan -> branch -> scaffold -> code -> verify -> deliver -> approve -> deploy
                                   ^_________|

The graph remembers which step comes next; what the steps know is in the stored change. Each step may be repeated: a
kill in the middle of one repeats it and nothing else. The graph waits in `approve` for a tap, for as long as it takes.
Aborting, trying again and rolling back are not steps: they end a thread from outside, wherever it is; see `evolution`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Literal, TypeVar

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel

from persais_core import audit
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.plans import Plan
from persais_core.mechanic import (
    approvals,
    branch,
    code,
    configure,
    deliver,
    deploy,
    plan,
    rounds,
    scaffold,
    verify,
)
from persais_core.mechanic.workshop import Workshop

T = TypeVar("T")


class State(BaseModel):
    """What the graph itself must remember between steps."""

    change: int
    going: bool = True
    passed: bool = False
    user: int = 0


async def _timed(shop: Workshop, change_id: int, stage: str, work: Awaitable[T]) -> T:
    """Do a stage's work and add its seconds to the change; a stage may come several times."""
    started = time.monotonic()
    try:
        return await work
    finally:
        async with shop.ledger.changing(change_id) as (session, change):
            spent = change.stages.get(stage, 0.0) + time.monotonic() - started
            await shop.ledger.write(
                session, change.model_copy(update={"stages": change.stages | {stage: round(spent, 2)}})
            )


async def _plan(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    if change.plan is None or change.unable:
        await shop.coder.warm()  # it gets ready while the model thinks about the plan
        made, base = await _timed(shop, change.id, "planning", plan.make(shop, change))
        made = configure.looked_at(shop, change, made)
        estimate = await shop.ledger.usual_cost()
        tokens, cost = await shop.ledger.spent(change.id)
        fields = {
            "plan": made,
            "base": base,
            "unable": "",
            "verdicts": (),  # of the plan that is given up
            "estimate": estimate,
            "tokens": tokens,
            "cost": cost,
            "state": _planned(made),
        }
        async with shop.ledger.changing(change.id) as (session, current):
            if made.configure is not None:
                fields["buttons"] = approvals.issue(session, current, configure.ACTIONS)
            change = await shop.ledger.write(session, current.model_copy(update=fields))
            outcome = "ok" if made.decline is None else "refused"
            files = [*change.writable, *made.gone]
            audit.record(session, "change planned", subject=change.subject, outcome=outcome, files=files)
    # Only now: until there is a plan that replaces it, the old change is all the owner has.
    if change.replaces is not None and not change.state.is_over and not await _replaced(shop, change, change.replaces):
        await shop.ledger.update(change.id, replaces=None)
    return {"going": change.state is ChangeState.SCAFFOLDING}


async def _replaced(shop: Workshop, change: Change, before: int) -> bool:
    """Call the change off whose place a plan takes; a setting only takes that of a question or another setting.

    Returns:
        False where it stays, which may be because it is too late.
    """
    old = await shop.ledger.get(before)
    if old.replaced_by == change.id:
        return True
    if change.awaits_setting and not (old.is_asking or old.awaits_setting):
        return False
    return await shop.ledger.stop(before, actor=change.user_id, replaced_by=change.id)


def _planned(plan: Plan) -> ChangeState:
    """Work begins by itself; a question waits for its answer, a setting for a tap; the rest is over."""
    if plan.question is not None or plan.configure is not None:
        return ChangeState.PLANNING
    if plan.answer is not None:
        return ChangeState.ANSWERED
    return ChangeState.ABORTED if plan.decline is not None else ChangeState.SCAFFOLDING


async def _branch(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    # The name is stored before the branch exists: a repeated step then finds its own branch, not the next number.
    if change.branch is None and change.plan is not None:
        name = await shop.repository.next_branch(change.plan.slug, await shop.ledger.branches())
        change = await shop.ledger.update(change.id, branch=name)
    await branch.make(shop, change)
    return {}


async def _scaffold(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    await _timed(shop, change.id, "scaffolding", scaffold.make(shop, change))
    await shop.ledger.update(change.id, state=ChangeState.CODING, round=1, last_failure="")
    return {}


async def _code(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    if change.plan is not None and change.plan.only_removes:
        await shop.ledger.update(change.id, state=ChangeState.VERIFYING, verdicts=())
        return {}
    result = await _timed(shop, change.id, "coding", code.one_round(shop, change, is_step=True))
    tokens, cost = await shop.ledger.spent(change.id)
    await shop.ledger.update(change.id, tokens=tokens, cost=cost)
    if result.status != "edited":
        error = code.unfinished(result)
        if result.status == "no_edits":
            await shop.ledger.update(change.id, unable=shop.redactor.text(str(error)))
        raise error
    await shop.ledger.update(change.id, state=ChangeState.VERIFYING, verdicts=())
    return {}


async def _verify(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    has_coder = change.plan is None or not change.plan.only_removes
    if has_coder and change.round < rounds.MAX_ROUNDS:
        await shop.coder.warm()  # for the next round, which every change may need
    judged = await _timed(shop, change.id, "verifying", verify.judge(shop, change))
    found = {"files": judged.files, "verdicts": judged.verdicts, "losses": judged.losses, "left": judged.left}
    if judged.passed:
        await shop.ledger.update(change.id, **found, verified=judged.verified, state=ChangeState.DELIVERING)
    else:
        await shop.ledger.update(change.id, **found)
        if not has_coder:
            error = rounds.nobody_mends(judged.verdicts)
            await shop.ledger.update(change.id, unable=shop.redactor.text(str(error)))
            raise error
        failure = rounds.worth_another(change, judged.verdicts)
        await shop.ledger.update(change.id, last_failure=failure, round=change.round + 1, state=ChangeState.CODING)
    return {"passed": judged.passed}


async def _deliver(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    change = await shop.ledger.get(state.change)
    if change.state is ChangeState.DELIVERING:
        await _timed(shop, change.id, "delivering", deliver.deliver(shop, change))
    return {}


async def _approve(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    answer = interrupt({"change": state.change})  # nothing before this line may have an effect: it runs again
    return {"user": answer["user"]}


async def _deploy(state: State, runtime: Runtime[Workshop]) -> dict[str, Any]:
    shop = runtime.context
    # Shielded: called off between the merge and the note of it, main would hold what no change knows of.
    await asyncio.shield(deploy.request(shop, await shop.ledger.get(state.change), user_id=state.user))
    return {}


def _after_plan(state: State) -> Literal["branch", "__end__"]:
    return "branch" if state.going else "__end__"


def _after_verify(state: State) -> Literal["deliver", "code"]:
    return "deliver" if state.passed else "code"


def builder() -> StateGraph[State, Workshop, State, State]:
    """The graph, to be compiled with a checkpointer."""
    # The names of the steps are frozen: changes that wait for a tap are resumed by newer code.
    builder = StateGraph(State, context_schema=Workshop)
    builder.add_node("plan", _plan)
    builder.add_node("branch", _branch)
    builder.add_node("scaffold", _scaffold)
    builder.add_node("code", _code)
    builder.add_node("verify", _verify)
    builder.add_node("deliver", _deliver)
    builder.add_node("approve", _approve)
    builder.add_node("deploy", _deploy)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", _after_plan)
    builder.add_edge("branch", "scaffold")
    builder.add_edge("scaffold", "code")
    builder.add_edge("code", "verify")
    builder.add_conditional_edges("verify", _after_verify)
    builder.add_edge("deliver", "approve")
    builder.add_edge("approve", "deploy")
    builder.add_edge("deploy", END)
    return builder
