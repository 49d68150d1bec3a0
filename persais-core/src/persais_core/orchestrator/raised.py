"""What an agent's own code raised, in a few lines: kept with the turn, for whoever is asked to mend that agent.

The type and the message of the error, and the last lines of the project that were on the way to it: a tool that is
given nonsense breaks, but it is its caller that has to be mended. The message may hold
anything a person wrote, so it is data to whoever reads it, and short.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import PurePath

from persais_core.domain.chats import storable

MAX_BYTES = 1200
MAX_MESSAGE = 350  # characters of the error itself
MAX_LINE = 120  # characters of the line of code
MOST_LINES = 3
ROOMS = ("agents", "tools", "schemas")


def told(error: BaseException, redact: Callable[[str], str]) -> str:
    """An error as type and message, and where in `bot/` it came from, the innermost line first.

    Args:
        redact: takes secrets out.
    """
    said = " ".join("".join(traceback.format_exception_only(error)).split())
    # Secrets go before anything is cut: half a key is recognised by nobody.
    message = redact(said)[:MAX_MESSAGE]
    lines = dict.fromkeys(  # one that calls itself is told once
        f"{path}, line {frame.lineno}, in {frame.name}: {redact(frame.line or '')[:MAX_LINE]}"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if (path := _in_project(frame.filename))
    )
    whole = storable("\n".join([message, *list(lines)[:MOST_LINES]]))
    return whole.encode("utf-8")[:MAX_BYTES].decode("utf-8", "ignore")


def _in_project(filename: str) -> str | None:
    """The path of a file of the bot, relative to the project; None for any other."""
    parts = PurePath(filename).parts
    if len(parts) > 2 and parts[-3] == "bot" and parts[-2] in ROOMS:
        return "/".join(parts[-3:])
    return None
