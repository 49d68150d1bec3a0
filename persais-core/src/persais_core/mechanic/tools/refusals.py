"""Why a call was refused, in one sentence for a model or a person."""

from __future__ import annotations

from pydantic import ValidationError


def why(error: Exception) -> str:
    """The first thing that is wrong; of arguments also which one."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where, problem = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {problem}" if where else problem
