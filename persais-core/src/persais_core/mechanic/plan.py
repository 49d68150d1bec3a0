"""From the owner's words to a typed plan, with one repair round for a model that answers something else."""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from persais_core import errors
from persais_core.domain.changes import Change, Plan
from persais_core.llm.models import Booking, Said
from persais_core.mechanic import examples, workshop
from persais_core.mechanic.workshop import Workshop

MAX_ANSWER = 60_000  # characters


async def make(shop: Workshop, change: Change) -> tuple[Plan, str]:
    """Plan a change.

    Returns:
        The plan, and the commit of main that it was made for.

    Raises:
        PlanError: the model gave no usable plan, twice; says what was wrong with the second.
        ExamplesError: the project keeps a file of examples that cannot be used.
        ModelUnavailableError: the model cannot be asked.
    """
    base = await shop.repository.main()
    files = sorted(await shop.repository.files(base))
    names = {
        kind: [path[len(f"bot/{kind}/") : -3] for path in files if _is_part(path, kind)]
        for kind in ("agents", "tools", "schemas")
    }
    question = {
        "request": change.request,
        "language": change.language,
        "project": {
            "agents": [{"name": name, "title": name.replace("_", " ").title()} for name in names["agents"]],
            "tools": names["tools"],
            "schemas": names["schemas"],
            "examples": await examples.known(shop, base),
            "files": [path for path in files if path.startswith(("bot/", "tests/")) and path.endswith(".py")],
        },
        "corrections": list(change.corrections),
    }
    messages: list[Said] = [
        ("system", workshop.render("planner")),
        ("user", shop.redactor.text(json.dumps(question, ensure_ascii=False))),
    ]
    booking = Booking(purpose="plan", user_id=change.user_id, change_id=change.id)
    answer = await shop.models.ask(messages, booking, model=shop.models.coder)
    try:
        plan = read(answer, set(files))
        return await examples.noting_what_is_replaced(shop, base, plan), base
    except ValueError as error:
        messages += [
            ("assistant", answer[:MAX_ANSWER]),
            ("user", f"That is not a usable plan: {error}. Answer with the corrected JSON object only."),
        ]
        answer = await shop.models.ask(messages, booking, model=shop.models.coder)
    try:
        plan = read(answer, set(files))
        return await examples.noting_what_is_replaced(shop, base, plan), base
    except ValueError as error:
        raise errors.PlanError(
            f"the model gave no usable plan ({error}); say it in other words or try again",
            key="plan",
            problem=str(error),
        ) from error


def read(answer: str, existing: set[str]) -> Plan:
    """Read a model's answer as a plan that fits the project.

    Args:
        answer: JSON, possibly inside a code fence or between words.
        existing: paths of the project.

    Raises:
        ValueError: it is none; the message is one line.
    """
    found = re.search(r"\{.*\}", answer[:MAX_ANSWER], re.DOTALL)
    if found is None:
        raise ValueError("there is no JSON object in the answer")
    try:
        plan = Plan.model_validate_json(found[0])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error
    for path in plan.edit:
        if path not in existing:
            raise ValueError(f"{path} does not exist, so it cannot be edited")
    for part in plan.create:
        for path in (f"bot/{part.kind}s/{part.name}.py", f"tests/{part.kind}s/test_{part.name}.py"):
            if path in existing:
                raise ValueError(f"{path} exists already; edit it or choose another name")
    return plan


def _is_part(path: str, kind: str) -> bool:
    return path.startswith(f"bot/{kind}/") and path.endswith(".py") and not path.endswith("__init__.py")
