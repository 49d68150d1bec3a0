"""The coders: who writes the code of a change.

A coder is named in the catalogue, or by a dotted path `package.module:Class` from anywhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from persais_core import errors
from persais_core.coders.base import Coder

COMMON = {"aider": "persais_core.coders.aider:AiderCoder"}


def load(name: str) -> Callable[..., Coder]:
    """Find a coder's class by its name in the catalogue or its dotted path.

    Raises:
        CoderError: there is none of this name.
    """
    module, _, attribute = COMMON.get(name, name).partition(":")
    try:
        return cast("Callable[..., Coder]", getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(sorted(COMMON))
        raise errors.CoderError(f"There is no coder {name!r}; use {known} or package.module:Class.") from error
