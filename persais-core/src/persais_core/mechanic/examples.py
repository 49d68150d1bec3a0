"""The owner's sentences of a plan, put beside the tests before any code is written.

A sentence that an agent has no example of yet is added to its file. One that is known with another answer gets the new
answer, if the change is about that agent: then the owner has just asked for it, and the card says so. Files of other
agents are never touched.

What ends up in the files follows from the base commit and the plan alone. So it can be worked out again when the checks
come, and held against what the coder left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from persais_core.domain import examples
from persais_core.domain.changes import Change
from persais_core.domain.plans import Plan
from persais_core.mechanic.workshop import Workshop

MAX_KNOWN = 40_000  # characters of examples that the planner is shown

_ITEM = re.compile(r"^( *)- ", re.MULTILINE)


def paths(plan: Plan | None) -> tuple[str, ...]:
    """The files of examples that belong to a change."""
    if plan is None:
        return ()
    return tuple(dict.fromkeys(examples.path_of(example.agent) for example in plan.examples))


def write(folder: Path, plan: Plan) -> tuple[str, ...]:
    """Merge the examples of a plan into a worktree that is as its base was. Blocks.

    Returns:
        The files, relative to the project.

    Raises:
        ExamplesError: a file that is there cannot be used, or has no room left.
    """
    # Bytes, as `expected` sees them: reading text would make other line ends of them.
    before = {path: (folder / path).read_bytes().decode() for path in paths(plan) if (folder / path).is_file()}
    for path, text in merged(before, plan).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8", newline="\n")
    return paths(plan)


async def expected(shop: Workshop, change: Change) -> dict[str, str]:
    """What `write` has put into each file of a change, worked out again from its base.

    Raises:
        ExamplesError: as in `write`.
    """
    if change.plan is None or change.base is None:
        return {}
    there = await shop.repository.files(change.base)
    before = {path: await shop.repository.read(change.base, path) for path in paths(change.plan) if path in there}
    return merged(before, change.plan)


def merged(before: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """The files of a plan's examples.

    Args:
        before: text by path, of those that exist.
        plan: whose examples are added or put in place of older answers.

    Returns:
        Text by path, for each of `paths(plan)`.

    Raises:
        ExamplesError: a file that exists cannot be used, or has no room left.
    """
    made = {}
    for agent in dict.fromkeys(example.agent for example in plan.examples):
        path = examples.path_of(agent)
        old = examples.parse(before[path], agent) if path in before else examples.Examples(agent=agent)
        rows = {example.say: example for example in old.examples}
        for planned in plan.examples:
            if planned.agent == agent:
                rows[planned.say] = examples.Example(say=planned.say, expect=planned.expect, match=planned.match)
        if len(rows) > examples.MAX_EXAMPLES:
            raise examples.ExamplesError(
                f"{path} has no room: at most {examples.MAX_EXAMPLES} examples are kept; take some out by hand first",
                key="examples-full",
                path=path,
                limit=str(examples.MAX_EXAMPLES),
            )
        made[path] = _text(before.get(path), old, examples.Examples(agent=agent, examples=tuple(rows.values())))
    return made


def _text(before: str | None, old: examples.Examples, new: examples.Examples) -> str:
    """The new text of a file; what people wrote in it, such as comments, stays where examples are only added."""
    if before is not None and new == old:
        return before
    if before is not None and old.examples and new.examples[: len(old.examples)] == old.examples:
        added = examples.Examples(agent=new.agent, examples=new.examples[len(old.examples) :])
        items = examples.text_of(added).partition("examples:\n")[2]
        indents = _ITEM.findall(before)
        indented = re.sub(r"^  ", indents[-1] if indents else "  ", items, flags=re.MULTILINE)
        text = f"{before.rstrip()}\n{indented}"
        try:
            if examples.parse(text, new.agent) == new:
                return text
        except examples.ExamplesError:
            pass  # written in some other style of YAML; it is written anew
    return examples.text_of(new)


async def known(shop: Workshop, base: str) -> dict[str, list[dict[str, str]]]:
    """The examples that a commit keeps, by agent, for whoever plans; at most `MAX_KNOWN` characters of them.

    Raises:
        ExamplesError: a file cannot be used.
    """
    found: dict[str, list[dict[str, str]]] = {}
    size = 0
    for path in sorted(await shop.repository.files(base)):
        if name := examples.PATH.fullmatch(path):
            text = await shop.repository.read(base, path)
            size += len(text)
            if size > MAX_KNOWN:
                break
            found[name[1]] = [row.model_dump(exclude_defaults=True) for row in examples.parse(text, name[1]).examples]
    return found


async def noting_what_is_replaced(shop: Workshop, base: str, plan: Plan) -> Plan:
    """The plan, each example with the answer that it takes the place of, or that it is kept as it is."""
    there = await shop.repository.files(base)
    old: dict[tuple[str, str], examples.Example] = {}
    for agent in {example.agent for example in plan.examples}:
        if (path := examples.path_of(agent)) in there:
            rows = examples.parse(await shop.repository.read(base, path), agent).examples
            old |= {(agent, row.say): row for row in rows}
    noted = []
    for example in plan.examples:
        before = old.get((example.agent, example.say))
        same = before is not None and (before.expect, before.match) == (example.expect, example.match)
        instead_of = before.expect if before is not None and not same else None
        noted.append(example.model_copy(update={"instead_of": instead_of, "is_kept": same}))
    return plan.model_copy(update={"examples": tuple(noted)})
