"""What the reviewer says."""

from __future__ import annotations

from typing import NamedTuple

# What to do where the text of a finding does not say it.
REMEDIES = {
    "annotation": "name the type itself",
    "class": "write it out in the class",
    "schema": "write the value out",
    "statement": "put it into a function",
}


class Finding(NamedTuple):
    """One thing that is not allowed: where, by which rule, what it is and what to do instead."""

    line: int
    rule: str
    text: str

    @property
    def message(self) -> str:
        """What it is."""
        return self.text.rpartition("; ")[0] or self.text

    @property
    def instead(self) -> str:
        """What to use instead."""
        return self.text.rpartition("; ")[2] if "; " in self.text else REMEDIES.get(self.rule, "write it otherwise")
