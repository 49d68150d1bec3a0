"""What `persais doctor` looks at: one file for each thing that can be ill, one function in it, a line a finding.

An examination changes nothing, except that those of the outside services ask them something small. It raises nothing
that it expects; what it did not expect is a finding too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from persais_core.settings import Settings

Verdict = Literal["well", "look", "ill"]


@dataclass(frozen=True)
class Patient:
    """The project and its settings.

    Args:
        root: its folder.
        config: what is set for it.
    """

    root: Path
    config: Settings


@dataclass(frozen=True)
class Finding:
    """One line.

    Args:
        what: what was looked at, in a word or two.
        verdict: `well`; `look`: works, and somebody should know something; `ill`: something does not work.
        says: what was found, half a sentence.
        do: what to do about it; empty where there is nothing to do.
    """

    what: str
    verdict: Verdict
    says: str
    do: str = ""


def well(what: str, says: str) -> Finding:
    """All is as it should be."""
    return Finding(what, "well", says)


def look(what: str, says: str, do: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(what, "look", says, do)


def ill(what: str, says: str, do: str) -> Finding:
    """It does not work."""
    return Finding(what, "ill", says, do)


Examination = Callable[[Patient], Awaitable[list[Finding]]]

CATALOGUE: Mapping[str, str] = {
    "machine": "persais_core.cli.examinations.machine:examine",
    "settings": "persais_core.cli.examinations.written:examine",
    "database": "persais_core.cli.examinations.database:examine",
    "telegram": "persais_core.cli.examinations.telegram:examine",
    "model": "persais_core.cli.examinations.model:examine",
    "repository": "persais_core.cli.examinations.repository:examine",
    "sandbox": "persais_core.cli.examinations.isolation:examine",
    "coder": "persais_core.cli.examinations.coder:examine",
    "people": "persais_core.cli.examinations.people:examine",
}
"""Name of an examination and the function that is it, in the order in which they are told."""
