"""A typed Python function becomes a tool that a model can call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool


def bind(function: Callable[..., Awaitable[Any]], context: Any) -> StructuredTool:
    """Make a tool of an async function whose first argument is the context; the model sees the others.

    Args:
        function: named and described (docstring) for the model, every further argument annotated.
        context: given as its first argument at each call.
    """
    from langchain_core.tools import StructuredTool
    from pydantic import create_model

    hints = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, str), ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
    }
    return StructuredTool.from_function(
        coroutine=functools.partial(function, context),
        name=function.__name__,
        description=inspect.getdoc(function) or function.__name__,
        args_schema=create_model(f"{function.__name__}_arguments", **fields),
    )
