"""What authors of bots test with: a context in memory, a model that answers from a list, and Postgres as a fixture.

`context_for` and `ScriptedModel` are loaded when they are first asked for: pytest imports this package in every
project whose environment holds Persais, also where nobody uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persais_core.testing.contexts import ScriptedModel, context_for

__all__ = ["ScriptedModel", "context_for"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"persais_core.testing has no {name!r}")
    from persais_core.testing import contexts

    return getattr(contexts, name)
