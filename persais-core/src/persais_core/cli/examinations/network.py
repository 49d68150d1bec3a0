"""What keeps a service from answering, in words: no examination of its own."""

from __future__ import annotations

import httpx


def trouble(error: Exception) -> str:
    """What went wrong with a request, as it reads after the name of whom it was for."""
    if isinstance(error, httpx.TimeoutException):
        return "does not answer in time"
    if isinstance(error, httpx.HTTPError):
        return f"cannot be reached ({type(error).__name__})"
    return "answers something that is not what was asked for"


def advice(name: str, *, is_set: bool) -> str:
    """What to look at; the setting of the address only where somebody has set it."""
    return f"check {name} and the network" if is_set else "check the network, and a proxy or firewall if there is one"
