"""`run_coder_task`: one round of the coder. It is the round of the loop of a change."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from persais_core.domain.chats import Value
from persais_core.mechanic import code
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop

MAX_REPLY = 1000  # characters of the coder's own words


class CoderArguments(Value):
    """What is to be done.

    Args:
        task: in words, exact texts quoted.
        edit: files that may be written: of bot/agents, bot/tools, bot/schemas, and their tests. Those that
            scaffold_feature made in the draft, and the test of each part, may be written in any case.
    """

    task: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    edit: Annotated[tuple[str, ...], Field(max_length=10)] = ()


class CoderResult(Value):
    """What became of it; `denied` are files that the coder wanted to write and may not."""

    status: str
    edited: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    detail: str = ""
    reply: str = ""
    cost: float = 0.0


async def run_coder_task(shop: Workshop, draft: Draft, asked: CoderArguments) -> CoderResult:
    """Let the coder do a task in the draft.

    Raises:
        ValueError: no plan may touch one of the files.
        ChangeError: a file is not there.
        CoderError: the coder could not be started.
    """
    await draft.open()
    result = await code.one_round(shop, await draft.more(edit=asked.edit, task=asked.task))
    return CoderResult(
        status=result.status,
        edited=result.edited,
        denied=result.denied,
        detail=result.detail,
        reply=result.reply[:MAX_REPLY],
        cost=result.cost,
    )
