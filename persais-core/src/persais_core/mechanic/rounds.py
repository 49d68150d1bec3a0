"""Whether a round of the coder brought anything: the same failure twice means that more rounds only cost money."""

from __future__ import annotations

import re
from collections.abc import Iterable

from persais_core.domain.changes import Verdict

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")
_PATHS = re.compile(r"(/[\w.\-]+)+/")
_SPACE = re.compile(r"\s+")


def signature(verdicts: Iterable[Verdict]) -> str:
    """What failed, without what differs from run to run: folders, numbers, times, addresses.

    Returns:
        Empty when everything passed; equal for two rounds that failed alike.
    """
    lines = [
        _SPACE.sub(" ", _NUMBERS.sub("#", _PATHS.sub("", line))).strip()
        for verdict in verdicts
        if not verdict.passed
        for line in (verdict.check, *(verdict.findings or (verdict.summary,)))
    ]
    return "\n".join(lines)[:4000]
