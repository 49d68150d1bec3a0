"""What an agent's own code raised, in a few lines: kept with the turn, for whoever is asked to mend that agent.

The type and the message of the error, and the last line of the project that was on the way to it. The message may hold
anything a person wrote, so it is data to whoever reads it, and short.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import PurePath

MOST = 600  # bytes that are kept
MESSAGE = 350  # characters of the error itself
LINE = 120  # characters of the line of code
ROOMS = ("agents", "tools", "schemas")


def told(error: BaseException, redact: Callable[[str], str]) -> str:
    """An error as type and message, and where in `bot/` it came from.

    Args:
        redact: takes secrets out.
    """
    said = " ".join("".join(traceback.format_exception_only(error)).split())
    # Secrets go before anything is cut: half a key is recognised by nobody.
    lines = [redact(said)[:MESSAGE]]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if path := _in_project(frame.filename):
            lines.append(f"{path}, line {frame.lineno}, in {frame.name}: {redact(frame.line or '')[:LINE]}")
            break
    return "\n".join(lines).encode("utf-8", "replace")[:MOST].decode("utf-8", "ignore").replace("\x00", "")


def _in_project(filename: str) -> str | None:
    """The path of a file of the bot, relative to the project; None for any other."""
    parts = PurePath(filename).parts
    if len(parts) > 2 and parts[-3] == "bot" and parts[-2] in ROOMS:
        return "/".join(parts[-3:])
    return None
