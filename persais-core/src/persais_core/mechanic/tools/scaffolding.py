"""`scaffold_feature`: new parts from the templates, rendered into the draft."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from persais_core.domain.chats import Value
from persais_core.domain.plans import Part
from persais_core.mechanic import scaffold
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop
from persais_core.templates import engine

Line = Annotated[str, StringConstraints(max_length=600)]


class ScaffoldArguments(Value):
    """What to make.

    Args:
        kind: agent, tool, schema, or feature: a schema and the tools for its records.
        name: in snake_case; the file, the command and the table are named after it.
        title: as people read it.
        keywords: words that call an agent.
        fields: of a schema or feature, each `name:type`, or `name:type?` where it may be empty; the types are str, int,
            float, bool, datetime and date.
    """

    kind: Literal["agent", "tool", "schema", "feature"]
    name: Annotated[str, StringConstraints(max_length=40)]
    title: Line = ""
    description: Line = ""
    emoji: Annotated[str, StringConstraints(max_length=8)] = "🤖"
    keywords: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    fields: Annotated[tuple[Line, ...], Field(max_length=50)] = ()


class ScaffoldResult(Value):
    """The files that were made in the draft, and their text."""

    files: dict[str, str]


async def scaffold_feature(shop: Workshop, draft: Draft, asked: ScaffoldArguments) -> ScaffoldResult:
    """Render new parts and their tests into the draft.

    Raises:
        ScaffoldError: a name or a field cannot be used, or a file is there already; nothing was written.
        ValueError: no plan may make that.
    """
    parts = _parts(asked)
    change = await draft.open()
    folder = shop.worktree(change.branch or "")
    paths = await scaffold.add(folder, parts, language=change.language)
    await draft.more(create=parts)
    return ScaffoldResult(files={path: (folder / path).read_text("utf-8") for path in paths})


def _parts(asked: ScaffoldArguments) -> list[Part]:
    told = {"title": asked.title, "description": asked.description}
    fields = tuple(engine.parse_field(field) for field in asked.fields)
    if asked.kind == "agent":
        return [engine.part("agent", asked.name, keywords=asked.keywords, emoji=asked.emoji, **told)]
    if asked.kind == "tool":
        return [engine.part("tool", asked.name, **told)]
    made = [engine.part("schema", asked.name, fields=fields, **told)]
    return made if asked.kind == "schema" else [*made, engine.part("tool", asked.name, fields=fields, **told)]
