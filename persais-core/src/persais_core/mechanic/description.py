"""What git and the page of a pull request are told of a change.

The page is where an owner reads before they approve. What we know ourselves, the checks and the cost, stands first
there; the words of the request and of the model come after it, each on a line of its own and without any markup.

Keys are taken out of words before these are escaped: a key with a mark in it would not be known for one.
"""

from __future__ import annotations

from collections.abc import Callable

from persais_core import texts
from persais_core.domain.changes import Change

LONGEST = 4000  # characters of a request
LONGEST_TITLE = 72  # characters
Clean = Callable[[str], str]
"""Takes keys out of a text."""


def title(change: Change, clean: Clean) -> str:
    """The title of the pull request, and the first line of the commit."""
    assert change.plan is not None
    return texts.subject(clean(change.plan.understood.partition("\n")[0]))[:LONGEST_TITLE]


def message(change: Change, clean: Clean) -> str:
    """The message of the commit; what we know stands in its trailers, where nobody else's line can come."""
    return (
        f"{title(change, clean)}\n\n{_quoted(clean(change.request))}\n\n"
        + "".join(f"Correction\n{_quoted(clean(text))}\n\n" for text in change.corrections)
        + f"Persais-Change: {change.id}\nPersais-Requested-By: {change.user_id}\n"
        f"Persais-Checks: {' '.join(v.check for v in change.verdicts if v.passed)}\n"
        f"Persais-Cost: {change.cost:.4f}\n"
    )


def body(change: Change, clean: Clean) -> str:
    """The text of the pull request, in Markdown."""
    assert change.plan is not None
    checks = "\n".join(
        f"- {v.check}: {'passed' if v.passed else 'failed'} {texts.on_page(clean(v.summary))}".rstrip()
        for v in change.verdicts
    )
    request = _quoted(clean(change.request), texts.on_page)
    steps = "\n".join(f"{number}. {texts.on_page(clean(step))}" for number, step in enumerate(change.plan.steps, 1))
    return (
        f"Checks\n\n{checks}\n\nCost: ${change.cost:.4f}, {change.tokens} tokens\n\n"
        f"Request\n\n{request}\n\nPlan\n\n{steps}\n"
    )


def _quoted(text: str, shown: Callable[[str], str] = str) -> str:
    return "\n".join(f"> {shown(line)}".rstrip() for line in text[:LONGEST].splitlines())
