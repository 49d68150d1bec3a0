"""What a tool says of its arguments is evaluated only where it can be nothing but types."""

from __future__ import annotations

import ast
import enum
import functools
import typing
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Annotated, Any, Literal, Optional

import pydantic
import pytest
from pydantic import Field

from persais_core import errors
from persais_core.llm import signatures
from persais_core.llm.tools import bind

RAN: list[str] = []


class Kind(typing.NamedTuple):
    """A type of this file."""

    name: str


class Way(enum.StrEnum):
    """An enum, in whose brackets its members are found."""

    UP = "touch('member')"


class Box:
    """A class with brackets of its own."""

    def __class_getitem__(cls, item: object) -> str:
        RAN.append(str(item))
        return "touch('brackets')"


class Holder:
    """A class with another one in it, and a text."""

    said = "touch('said')"

    class Inner(typing.NamedTuple):
        """A type in a class."""

        name: str


HELD = "touch('held')"
made: Any = typing  # what no type checker would let through
HIDDEN = made.Optional["touch('hidden')"]
LATER = made.TypeVar("LATER", bound="touch('bound')")
OTHER = made.NewType("OTHER", "touch('new')")
Names = dict[str, Kind]


def touch(text: str) -> type[str]:
    """What no annotation may call."""
    RAN.append(text)
    return str


async def honest(
    context: object,
    word: str,
    size: Annotated[int, Field(ge=1, le=9, description="how many")] = 1,
    way: Literal["up", "down"] | None = None,
    kinds: Sequence[Kind] = (),
    other: Optional[dict[str, list[int]]] = None,  # noqa: UP045 - as many write it
    name: Annotated[str, pydantic.Field(max_length=9), "of whom"] = "",
    late: "Kind | None" = None,  # noqa: UP037 - a text within a text
    alias: Names | None = None,
    nested: Holder.Inner | None = None,
) -> str:
    """Say it."""
    return word


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


def said(**annotations: Any) -> Callable[..., Any]:
    """A function that says of itself what somebody chose."""

    async def made(context: object, text: str) -> str:
        return text

    made.__annotations__ = annotations
    return made


@pytest.mark.parametrize("tool", [honest, traced(honest)], ids=["plain", "wrapped"])
def test_types_that_are_texts_are_read(tool: Callable[..., Any]) -> None:
    found = signatures.hints(tool)
    assert found["way"] == Literal["up", "down"] | None
    assert found["late"] == Kind | None
    properties = bind(tool, "the context").args
    assert (properties["size"]["maximum"], properties["name"]["maxLength"]) == (9, 9)
    assert set(properties) == {"word", "size", "way", "kinds", "other", "name", "late", "alias", "nested"}


@pytest.mark.parametrize(
    "annotation",
    [
        "touch('text')",
        "list[touch('text')]",
        "list['touch(1)']",
        list["touch('nested')"],  # type: ignore[valid-type]
        typing.List["touch('forward')"],  # type: ignore[valid-type]  # noqa: UP006
        typing.Optional["touch('forward')"],
        "Annotated[str, touch('mark')]",
        "Annotated[str, Field(description=touch('value'))]",
        "Annotated[str, Field(**{'description': touch('value')})]",
        "Literal[touch('literal')]",
        "str if touch('branch') else int",
        "[str for one in touch('loop')]",
        "lambda: 0",
        "str.__base__",
        "HELD",
        "list[HELD]",
        "HELD | None",
        "signatures.NOTHING",
        "__doc__",
        "HIDDEN",
        "LATER",
        "list[OTHER]",
        "Way['UP']",
        "Way.UP",
        "Box['item']",
        "Holder.said",
        "print",
        "(lambda: touch('called'))()",
        SimpleNamespace(text=1),
        7,
    ],
    ids=str,
)
def test_what_does_more_than_to_name_a_type_is_refused_before_it_runs(annotation: Any) -> None:
    with pytest.raises(errors.AgentError, match="plain types"):
        bind(said(text=annotation), "the context")
    assert RAN == []


def test_what_is_no_function_is_not_believed() -> None:
    forged: dict[str, Any] = {"__annotations__": {"text": "touch('forged')"}, "__name__": "forged"}
    for source in (SimpleNamespace(**forged), ast.Constant(**forged)):
        for tool in (source, traced(typing.cast(Any, source))):
            with pytest.raises(errors.AgentError):
                bind(typing.cast(Any, tool), "the context")
    assert RAN == []


def test_parameter_that_would_set_up_the_model_is_refused() -> None:
    async def note(context: object, model_config: dict[str, bool]) -> str:
        return ""

    with pytest.raises(errors.AgentError):
        bind(note, "the context")
