"""What an agent must go on answering: the owner's own sentences, kept beside the tests.

Each agent has at most one file, `tests/examples/<agent>.yaml`, written before its code and read again at every later
change and at the start of every new release:

    agent: echo
    examples:
      - say: Hello World
        expect: "Echo: Hello World"

An example is `exact` unless it says `match: contains`, which is for answers that a language model words anew each time.
People edit these files by hand, so what is wrong with one is said with its place; they are also read from trees that
nobody has approved, so they are small, flat and without references.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from persais_core import errors
from persais_core.domain.chats import Language, Value

FOLDER = "tests/examples"
PATH = re.compile(r"tests/examples/([a-z][a-z0-9_]{0,39})\.yaml")
MAX_EXAMPLES = 20  # of one agent
MAX_TEXT = 500  # characters of what is said and of what is expected, each
MAX_DEPTH = 4  # of lists and mappings in each other; a file of examples has 3
MAX_BYTES = 20_000  # of one file
SHOWN = 110  # characters of each text that a sentence for people repeats

_CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)


class ExamplesError(errors.ProjectError):
    """A file of examples cannot be used. It is as it was; mend it by hand, or remove it."""


class Example(Value):
    """One sentence and what must be answered to it.

    Args:
        say: what somebody writes to the agent.
        expect: the whole answer, or with `contains` words that must stand in it, in capitals or not.
        match: how the two are compared; white space at the ends is no difference, as a chat shows none.
    """

    say: str = Field(min_length=1, max_length=MAX_TEXT)
    expect: str = Field(min_length=1, max_length=MAX_TEXT)
    match: Literal["exact", "contains"] = "exact"

    @field_validator("say", "expect")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must not be blank")
        return text

    @property
    def language(self) -> Language:
        """The language of whoever says it: Russian where Cyrillic letters stand in it, else English."""
        return "ru" if _CYRILLIC.search(self.say + self.expect) else "en"

    def fits(self, answer: str) -> bool:
        """Whether an answer is the one that is expected."""
        if self.match == "contains":
            return self.expect.strip().casefold() in answer.casefold()
        return answer.strip() == self.expect.strip()


class Examples(Value):
    """All examples of one agent, in the order in which they were given; no sentence is in them twice."""

    agent: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}\z")
    examples: tuple[Example, ...] = Field(default=(), max_length=MAX_EXAMPLES)

    @model_validator(mode="after")
    def _said_once(self) -> Examples:
        said = [example.say for example in self.examples]
        for say in said:
            if said.count(say) > 1:
                raise ValueError(f"{shown(say)} stands there twice; remove one of them")
        return self

    @property
    def path(self) -> str:
        """Where they are kept, relative to the project."""
        return path_of(self.agent)


class Take(Value):
    """What became of one example when it was tried.

    Args:
        agent: who was asked.
        say: what it was told.
        outcome: `answered`; `raised` an error; `late`: no answer in time; `asked`: wanted the language model, which is
            not there; `prompt`: the agent is a prompt for the language model, so it was only loaded; `missing`: there
            is no such agent.
        text: the answer, or the error, or the seconds.
    """

    agent: str
    say: str
    outcome: Literal["answered", "raised", "late", "asked", "prompt", "missing"]
    text: str = ""

    @property
    def needs_model(self) -> bool:
        """Whether it could not be judged without a language model."""
        return self.outcome in {"asked", "prompt"}


def complaint(example: Example, take: Take) -> str | None:
    """What is wrong with a take, in a sentence that names agent, what was said, what came and what is expected.

    Returns:
        None where the example holds, or cannot be judged without a language model. An agent with a `reply` of its own
        that is to answer exactly may not leave that to a model, so this is judged, and is wrong.
    """
    expected = shown(example.expect) if example.match == "exact" else f"something with {shown(example.expect)} in it"
    start = f"{take.agent}: when told {shown(example.say)} it must answer {expected}"
    match take.outcome:
        case "answered":
            return None if example.fits(take.text) else f"{start}, but it answered {shown(take.text)}"
        case "raised":
            return f"{start}, but it raised {take.text}"
        case "late":
            return f"{start}, but it did not answer within {take.text} s"
        case "asked":
            return None if example.match == "contains" else f"{start}, exactly, but it asks the language model"
        case "prompt":
            return None
        case "missing":
            return f"{take.agent}: {path_of(take.agent)} keeps its examples, but there is no agent of this name"


def path_of(agent: str) -> str:
    """Where an agent's examples are kept, relative to the project."""
    return f"{FOLDER}/{agent}.yaml"


def parse(text: str, agent: str) -> Examples:
    """Read the text of a file.

    Args:
        text: YAML.
        agent: whose file it is, by its name.

    Raises:
        ExamplesError: it is not what such a file may hold; names file, place and what to do.
    """
    import yaml  # only a bot that evolves needs it

    path = path_of(agent)
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise _too_large(path)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            # A reference to a reference is how a small file gets as large as the memory.
            if isinstance(event, yaml.AliasEvent):
                told = f"{path} uses references (&, *); write each text out"
                raise ExamplesError(told, key="examples-references", path=path)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # the reader's time grows with the square of it
                told = f"{path} is no YAML of examples: lists lie in lists, {depth} deep"
                raise ExamplesError(told, key="examples-deep", path=path)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _no_yaml(path, f"{line}{error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _no_yaml(path, str(error).partition("\n")[0]) from None
    if not isinstance(value, dict) or set(value) != {"agent", "examples"}:
        told = f"{path} must hold `agent:` and `examples:`, and nothing else"
        raise ExamplesError(told, key="examples-shape", path=path)
    try:
        read = Examples.model_validate(value)
    except ValidationError as error:
        cause = _reason(error)
        raise ExamplesError(f"{path}: {cause}", key="examples-wrong", path=path, cause=cause) from None
    if read.agent != agent:
        told = f"{path} says that it is about {read.agent}; a file is named after its agent"
        raise ExamplesError(told, key="examples-elsewhere", path=path, agent=read.agent)
    return read


def _too_large(path: str) -> ExamplesError:
    size = str(MAX_BYTES // 1000)
    told = f"{path} has more than {size} kB; take some examples out"
    return ExamplesError(told, key="examples-too-large", path=path, size=size)


def _no_yaml(path: str, cause: str) -> ExamplesError:
    return ExamplesError(f"{path} is no YAML: {cause}", key="examples-no-yaml", path=path, cause=cause)


def text_of(kept: Examples) -> str:
    """Write examples as a file holds them.

    Raises:
        ExamplesError: they are larger than a file may be.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_str(self, text: str) -> yaml.ScalarNode:
            # Other styles fold lines, and some of what counts as a line end there does not come back the same.
            style = None if text.isprintable() else '"'
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)  # people indent lists

    Dumper.add_representer(str, Dumper.represent_str)
    rows = [example.model_dump(exclude_defaults=True) for example in kept.examples]
    document = {"agent": kept.agent, "examples": rows}
    text: str = yaml.dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=8 * MAX_TEXT)
    if len(text.encode()) > MAX_BYTES:
        raise ExamplesError(
            f"{kept.path} would have more than {MAX_BYTES // 1000} kB; take some examples out first",
            key="examples-large",
            path=kept.path,
            size=str(MAX_BYTES // 1000),
        )
    return text


def read(root: Path, path: str) -> Examples:
    """Read one file of a project, not following a link and not waiting for a pipe. Blocks.

    Raises:
        ExamplesError: it is no plain file, or not what such a file may hold.
    """
    name = PATH.fullmatch(path)
    if name is None:
        raise ExamplesError(f"{path} is not named after an agent: a-z, 0-9 and _, ending in .yaml")
    try:
        place = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ExamplesError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(place).st_mode):
        os.close(place)
        raise ExamplesError(f"{path} is no plain file")
    with os.fdopen(place, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _too_large(path)
    try:
        return parse(raw.decode(), name[1])
    except UnicodeDecodeError:
        raise ExamplesError(f"{path} is no text in UTF-8") from None


def read_all(root: Path) -> tuple[Examples, ...]:
    """Read the examples of all agents of a project, by name. Blocks.

    Raises:
        ExamplesError: one of the files cannot be used.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return ()
    return tuple(read(root, f"{FOLDER}/{file.name}") for file in sorted(folder.glob("*.yaml")))


def shown(text: str) -> str:
    """A text as a sentence repeats it: quoted, on one line, hidden characters made visible, not too long."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, in words for somebody who wrote the file by hand."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ": ".join(f"example {at + 1}" if isinstance(at, int) else str(at) for at in first["loc"])
    where = where.removeprefix("examples: ")
    what = {
        "string_type": "must be text; put it in quotes",
        "missing": "is missing",
        "extra_forbidden": "is not known here; an example has say, expect and match",
        "string_too_short": "must not be empty",
        "string_too_long": f"is longer than {MAX_TEXT} characters",
        "too_long": f"there are more than {MAX_EXAMPLES}; take some out",
        "tuple_type": "must be a list",
    }.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
    return f"{where}: {what}" if where else what
