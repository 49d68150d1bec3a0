"""Aider as a coder: a subprocess in an environment of its own, driven by our driver instead of its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persais_core.coders.aider.coder import AiderCoder

__all__ = ["AiderCoder"]


def __getattr__(name: str) -> Any:
    """Import the coder when it is first asked for, so that `environment` can be run as a program by itself."""
    if name != "AiderCoder":
        raise AttributeError(f"persais_core.coders.aider has no {name!r}")
    from persais_core.coders.aider.coder import AiderCoder

    return AiderCoder
