"""A typed Python function becomes a tool that a model can call.

The model reads what the function returns as JSON: of a record its id and the fields of its schema, since who made it
and whether it is hidden are none of the model's business.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from persais_core.db.records import Record
from persais_core.llm import signatures

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool

HIDDEN = frozenset(Record.model_fields) - {"id"}


def bind(function: Callable[..., Awaitable[Any]], context: Any, *, ends: bool = False) -> StructuredTool:
    """Make a tool of an async function whose first argument is the context; the model sees the others.

    Args:
        function: named and described (docstring) for the model, every further argument annotated.
        context: given as its first argument at each call.
        ends: whether a call ends the conversation, with its result as the answer.

    Raises:
        AgentError: it is no function, or says of its arguments what is no type.
    """
    from langchain_core.tools import StructuredTool
    from pydantic import create_model

    hints = signatures.hints(function)
    first, *others = signatures.parameters(function)
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, str), ... if p.default is inspect.Parameter.empty else p.default) for p in others
    }

    async def call(**given: Any) -> str:
        return told(await function(context, **given))

    return StructuredTool.from_function(
        coroutine=call,
        name=function.__name__,
        description=_described(function, first.name),
        args_schema=create_model(f"{function.__name__}_arguments", **fields),
        return_direct=ends,
    )


def told(result: Any) -> str:
    """What a tool returned, as a model reads it: text as it is, anything else as JSON.

    Raises:
        ValueError: it holds itself.
    """
    if isinstance(result, str):
        return result
    return json.dumps(to_jsonable_python(_plain(result), fallback=str), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value whose records hold no more than a model may read."""
    if isinstance(value, Record):
        return {"id": value.id} | value.model_dump(mode="json", exclude={"id", *HIDDEN}, fallback=str)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def _described(function: Callable[..., Any], hidden: str) -> str:
    """The docstring without what it says of the argument that the model does not give."""
    text = inspect.getdoc(function) or ""
    line = rf"^([ \t]+){re.escape(hidden)}(?: *\([^)\n]*\))?:.*(?:\n\1[ \t]+.*)*(?:\n|\Z)"
    text = re.sub(line, "", text, count=1, flags=re.MULTILINE)
    # A heading with nothing left under it.
    text = re.sub(r"^Args:\s*(?=^\S|\Z)", "", text, flags=re.MULTILINE)
    return text.strip() or function.__name__
