"""From the owner's words to a typed plan, with one repair round for a model that answers something else.

The model is told what the project holds, and may look further with the Mechanic's tools before it answers: into the
repository, at the checks, or by trying something in a draft. A request that is a question is answered, one about an
agent's model becomes a setting, and only the others become work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from persais_core import errors
from persais_core.agents import wording
from persais_core.domain.changes import Change
from persais_core.domain.configs import SETTINGS, Setting
from persais_core.domain.names import BUILT_IN_AGENTS
from persais_core.domain.plans import Plan
from persais_core.llm import thoughts
from persais_core.llm.models import Booking, Said
from persais_core.mechanic import examples, production, project, removal, workshop
from persais_core.mechanic.tools import Toolbox
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop
from persais_core.templates import naming

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool

MAX_ANSWER = 60_000  # characters
MAX_PROBLEMS = 8  # of an answer that the model is told
MAX_PROBLEM = 200  # characters of each
MOST_OBJECTS = 200  # of an answer that are looked at, each of which may reach to its end
MAX_WORDS = 200  # characters of an answer in words that the owner is shown
BEYOND = frozenset({"greater_than_equal", "less_than_equal"})
KEYS = frozenset(Plan.model_fields)
JSON = json.JSONDecoder(strict=False)  # models break lines within a text, too
BEGINS_OBJECT = re.compile(r"\{\s*(?:[\"']|\w+\s*:)")
SENTENCE = re.compile(r".{20,}?[.!?…](?=\s|\Z)")


class WordsAloneError(ValueError):
    """The model's answer has nothing in it that looks like a plan: it refuses, or chats."""


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
    files = set(await shop.repository.files(base))
    messages: list[Said] = [
        ("system", workshop.render("planner")),
        ("user", shop.redactor.text(json.dumps(await question(shop, change, base), ensure_ascii=False))),
    ]
    draft = Draft(shop, change, base)
    try:
        answer = await _ask(shop, change, messages, Toolbox(shop, draft).bound())
    finally:
        await draft.close()
    try:
        return await _settled(shop, change, base, read(answer, files)), base
    except ValueError as error:
        if (beyond := _beyond(error.__cause__, change)) is not None:
            return beyond, base
        messages += [
            ("assistant", answer[:MAX_ANSWER]),
            ("user", f"That is not a usable plan: {error}. Answer with the corrected JSON object only."),
        ]
        answer = await _ask(shop, change, messages)
    try:
        return await _settled(shop, change, base, read(answer, files)), base
    except WordsAloneError as error:
        words = shop.redactor.text(_first_words(answer))
        raise errors.PlanError(
            f"the model gave no plan, and said: {words}; say it in other words or try again",
            key="plan-words",
            words=words,
        ) from error
    except ValueError as error:
        raise errors.PlanError(
            f"the model gave no usable plan ({error}); say it in other words or try again",
            key="plan",
            problem=str(error),
        ) from error


async def _settled(shop: Workshop, change: Change, base: str, made: Plan) -> Plan:
    """A plan that fits the project, with what is found out by us.

    Raises:
        ValueError: what it takes away is still needed, or what it renames is not there.
        PlanError: somebody works on what it takes away.
    """
    await removal.check(shop, change, made, base)
    for rename in made.renames:
        there = await project.fields_of(shop.repository, base, rename.path)
        if there is not None and rename.before not in there:
            raise ValueError(f"{rename.path} has no field {rename.before} that could be renamed")
    return await examples.noting_what_is_replaced(shop, base, made)


async def question(shop: Workshop, change: Change, base: str) -> dict[str, Any]:
    """What the model is asked: the request, and all that it must know about the project, as JSON values."""
    facts = await project.facts(shop.repository, base)
    there = BUILT_IN_AGENTS | {part["name"] for part in facts["agents"]}
    configs = await shop.configs.all()  # also those of agents that were taken away, which may come back
    asked: dict[str, Any] = {
        "request": change.request,
        "language": change.language,
        "project": facts | {"examples": await examples.known(shop, base)},
        "settings": {
            name: config.model_dump(exclude_defaults=True) for name, config in configs.items() if name in there
        },
        "raised_lately": await production.lately(shop),
        "corrections": list(change.corrections),
    }
    if change.unable:
        asked["earlier"] = _earlier(change)
    elif change.replaces is not None:
        asked["earlier"] = _earlier(await shop.ledger.get(change.replaces))
    return asked


def _earlier(change: Change) -> dict[str, Any]:
    """What came of the request before it was corrected, or could not be done."""
    told: dict[str, Any] = {"state": change.state.value}
    if change.plan is not None:
        told["plan"] = change.plan.model_dump(mode="json", exclude_defaults=True)
    failed = [verdict for verdict in change.verdicts if not verdict.passed]
    findings = [f"{verdict.check}: {line}" for verdict in failed for line in (verdict.summary, *verdict.findings)]
    if (cause := change.error or change.unable) or findings:
        told["failure"] = {"cause": cause[:1000], "findings": findings[:20]}
    return told


async def _ask(shop: Workshop, change: Change, messages: Sequence[Said], tools: Sequence[StructuredTool] = ()) -> str:
    booking = Booking(purpose="plan", user_id=change.user_id, change_id=change.id, agent="mechanic")
    return await shop.models.ask(messages, booking, model=shop.models.coder, optional_tools=tools)


def read(answer: str, existing: set[str]) -> Plan:
    """Read a model's answer as a plan that fits the project.

    Args:
        answer: JSON, possibly inside a code fence or between words, which may have braces too.
        existing: paths of the project.

    Raises:
        WordsAloneError: it is nothing but words.
        ValueError: it is no usable plan; the message is one line that names all that is wrong.
    """
    found = _object(thoughts.without(answer)[:MAX_ANSWER])
    try:
        plan = Plan.model_validate_json(json.dumps(found))  # as JSON again: that has no half characters
    except ValidationError as error:
        raise ValueError(_wrong(error)) from error
    problems = [f"{path} does not exist, so it cannot be edited" for path in plan.edit if path not in existing]
    problems += [f"{path} does not exist, so it cannot be removed" for path in plan.remove if path not in existing]
    for part in plan.create:
        try:
            naming.check(part)
        except errors.ScaffoldError as error:
            problems.append(str(error))
        for path in (part.path, part.test_path):
            if path in existing:
                problems.append(f"{path} exists already; edit it or choose another name")
    if problems:
        raise ValueError("; ".join(problems))
    return plan


def _object(answer: str) -> dict[str, Any]:
    """The first object of an answer that sums something up, or else one with another key of a plan.

    What follows a broken object is looked at from where that breaks: what stands within it is no plan by itself.
    """
    others: list[dict[str, Any]] = []
    broken: json.JSONDecodeError | None = None
    at, reached = answer.find("{"), 0
    for _ in range(MOST_OBJECTS):
        if at < 0:
            break
        try:
            found, _end = JSON.raw_decode(answer, at)
        except json.JSONDecodeError as error:
            end = len(answer) if _is_cut(answer, error) else error.pos
            if end - at > reached:
                broken, reached = error, end - at
            at = answer.find("{", max(error.pos, at + 1))
        except (ValueError, RecursionError) as error:
            raise ValueError("its JSON is nested too deep, or has a number that is too long") from error
        else:
            if "understood" in found:
                return dict(found)
            others.append(found)
            at = answer.find("{", at + 1)
    if best := next((found for found in others if found.keys() & KEYS), None):
        return best
    if not BEGINS_OBJECT.search(answer):
        raise WordsAloneError("there is no JSON object in the answer")
    if broken is None:
        return others[0]
    if _is_cut(answer, broken):
        raise ValueError("your answer was cut off before its end; make it shorter") from broken
    raise ValueError(f"invalid JSON: {broken.msg} at line {broken.lineno}, column {broken.colno}") from broken


def _is_cut(answer: str, error: json.JSONDecodeError) -> bool:
    """Whether the answer ends before its JSON does."""
    return error.pos >= len(answer.rstrip()) or error.msg.startswith("Unterminated string")


def _first_words(answer: str) -> str:
    """What a model says instead of a plan: a sentence that tells something, on one line, with its mark at the end."""
    words = " ".join(answer[: 5 * MAX_WORDS].split())
    sentence = found[0] if (found := SENTENCE.match(words)) else words
    if len(sentence) > MAX_WORDS or not sentence.endswith((".", "!", "?", "…")):
        return f"{sentence[:MAX_WORDS]}…"
    return sentence


def _beyond(error: BaseException | None, change: Change) -> Plan | None:
    """A plan that declines what the owner wants to be set beyond its range; None where something else is wrong.

    The model has passed on what was asked for. Told to mend its answer it would set another value than that.
    """
    if not isinstance(error, ValidationError):
        return None
    problems = error.errors(include_url=False, include_input=False)
    settings = [_setting(problem["loc"]) for problem in problems if problem["type"] in BEYOND]
    said = [wording.allowed(change.language, setting) for setting in dict.fromkeys(settings) if setting]
    if len(settings) < len(problems) or not said:
        return None
    return Plan(understood=change.request.strip().partition("\n")[0][:200] or "?", decline="; ".join(said))


def _setting(where: tuple[int | str, ...]) -> Setting | None:
    """The setting of an agent that stands at a place of a plan."""
    return next((name for name in SETTINGS if where[:2] == ("configure", name)), None)


def _wrong(error: ValidationError) -> str:
    """All that is wrong with an answer, since the model has only one try to mend it."""
    found = []
    for problem in error.errors(include_url=False, include_input=False):
        where, what = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
        if setting := _setting(problem["loc"]):
            what = wording.allowed("en", setting)
        found.append((f"{where}: {what}" if where else what)[:MAX_PROBLEM])
    more = len(found) - MAX_PROBLEMS
    return "; ".join(found[:MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
