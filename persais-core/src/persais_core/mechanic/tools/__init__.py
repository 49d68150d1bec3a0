"""The Mechanic's five tools, each usable alone: by its model while it plans, and from the terminal.

    scaffold_feature   new parts from the templates      persais scaffold …
    run_coder_task     one round of the coder            persais code
    system_check       how it is, and what checks say    persais check
    manage_git         looking into the repository       persais git …
    apply_migration    what schemas mean for the tables  persais migrate …

They are the steps of a change, not a second way round them: the graph and the commands call the same functions. What a
model can do with them alone reads, or writes into a draft that is thrown away. There is no tool that commits, pushes,
approves, deploys, rolls back or grants; what is to stay is written in a plan, and passes every gate from the beginning.

A call is checked against its arguments, counted, and noted in the audit log, refused ones too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from persais_core import audit, errors
from persais_core.domain.changes import Change
from persais_core.domain.chats import Value
from persais_core.mechanic.tools import checking, coding, git, migrating, refusals, scaffolding
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool

log = structlog.get_logger(__name__)

MAX_RESULT = 16_000  # characters that a model reads of one result
MAX_NOTED = 300  # characters of each argument in the audit log


@dataclass(frozen=True)
class Tool:
    """One tool.

    Args:
        run: does it, on the draft of a change.
        arguments: what it takes; described for the model by its docstring.
        calls: how often a model may call it for one plan.
        about: what it is for, in the model's words.
    """

    run: Callable[[Workshop, Draft, Any], Awaitable[Value]]
    arguments: type[Value]
    calls: int
    about: str


async def _manage_git(shop: Workshop, draft: Draft, asked: git.GitArguments) -> git.GitResult:
    change = draft.change
    folder = shop.worktree(change.branch or "") if draft.is_open else None
    return await git.manage_git(shop.repository, asked, folder=folder, base=change.base or "main")


CATALOGUE: dict[str, Tool] = {
    "scaffold_feature": Tool(
        scaffolding.scaffold_feature,
        scaffolding.ScaffoldArguments,
        calls=6,
        about="Render a new agent, tool, schema or feature into the draft, to see what the templates give.",
    ),
    "run_coder_task": Tool(
        coding.run_coder_task,
        coding.CoderArguments,
        calls=2,
        about="Let the programmer try a task in the draft. It costs money; only where you cannot plan without it.",
    ),
    "system_check": Tool(
        checking.system_check,
        checking.CheckArguments,
        calls=4,
        about="See how the bot is, or ask the checks about main, an open change, or the draft.",
    ),
    "manage_git": Tool(
        _manage_git,
        git.GitArguments,
        calls=12,
        about="Look into the repository: status, log, diff, branches, or show a file. Nothing is written.",
    ),
    "apply_migration": Tool(
        migrating.apply_migration,
        migrating.MigrationArguments,
        calls=4,
        about="See what the draft's schemas mean for the tables, or try it on a scratch copy. "
        "The bot's own tables are never touched.",
    ),
}


class Toolbox:
    """The tools of one plan, for a model.

    Args:
        draft: what they work on; whoever made it closes it.
    """

    def __init__(self, shop: Workshop, draft: Draft) -> None:
        self._shop, self._draft = shop, draft
        self._calls: Counter[str] = Counter()

    def bound(self) -> list[StructuredTool]:
        """The tools as the model's client takes them."""
        from langchain_core.tools import StructuredTool

        return [
            StructuredTool(
                name=name,
                description=f"{tool.about} {_described(tool.arguments)}",
                # A schema rather than the class: what does not fit it comes to us, and is noted as refused.
                args_schema=_schema(tool.arguments),
                coroutine=self._caller(name),
            )
            for name, tool in CATALOGUE.items()
        ]

    async def call(self, name: str, given: dict[str, Any]) -> str:
        """Call a tool with what a model wrote.

        Returns:
            JSON: the result, or `{"refused": why}`.
        """
        tool = CATALOGUE[name]
        self._calls[name] += 1
        try:
            if self._calls[name] > tool.calls:
                raise errors.ChangeError(f"{name} was called {tool.calls} times, which is all there is for one plan")
            result = await tool.run(self._shop, self._draft, tool.arguments.model_validate(given))
        except (errors.PersaisError, ValueError) as error:
            why = self._shop.redactor.text(refusals.why(error))
            await self._note(name, given, "refused", cause=why)
            return json.dumps({"refused": why}, ensure_ascii=False)
        await self._note(name, given, "ok")
        told = result.model_dump(mode="json", exclude_defaults=True)
        return self._shop.redactor.text(json.dumps(told, ensure_ascii=False))[:MAX_RESULT]

    def _caller(self, name: str) -> Callable[..., Awaitable[str]]:
        async def call(**given: Any) -> str:
            return await self.call(name, given)

        return call

    async def _note(self, name: str, given: dict[str, Any], outcome: str, **more: str) -> None:
        change: Change = self._draft.change
        hidden = self._shop.redactor.text
        arguments = {hidden(str(key))[:40]: hidden(str(value))[:MAX_NOTED] for key, value in list(given.items())[:20]}
        log.info("tool called", tool=name, change=change.id, outcome=outcome, **more)
        async with self._shop.database.session() as session:
            audit.record(
                session,
                "tool called",
                actor=change.user_id,
                subject=change.subject,
                outcome=outcome,
                tool=name,
                arguments=arguments,
                **more,
            )


def _schema(arguments: type[Value]) -> dict[str, Any]:
    """The arguments as JSON schema, without what only a reader of our code needs."""
    made = arguments.model_json_schema()
    made.pop("description", None)
    return made


def _described(arguments: type[Value]) -> str:
    """What the arguments mean: the docstring, on one line."""
    return " ".join((arguments.__doc__ or "").split())
