"""What git and the page of a pull request are told of a change.

The page is where an owner reads before they approve. What we know ourselves, the checks and the cost, stands first
there; the words of the request and of the model come after it, each on a line of its own and without any markup.

Keys are taken out of words before these are escaped: a key with a mark in it would not be known for one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from persais_core import texts
from persais_core.domain.changes import Change

LONGEST = 4000  # characters of a request, or of a correction
MOST_CORRECTIONS = 5  # the newest; GitHub takes 65,536 characters, and marks that are escaped count twice
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
    """The text of the pull request, in Markdown and the owner's language.

    What the checks found and the steps of the plan are told in English, as the coder is told them.
    """
    assert change.plan is not None
    say = functools.partial(texts.say, change.language)
    checks = "\n".join(
        f"- {'✅' if verdict.passed else '❌'} {say(f'check-{verdict.check}')}: {texts.on_page(clean(verdict.summary))}"
        for verdict in change.verdicts
    )
    said = [
        ("page-request", change.request),
        *(("page-correction", text) for text in change.corrections[-MOST_CORRECTIONS:]),
    ]
    asked = "".join(f"{say(key)}\n\n{_quoted(clean(text), texts.on_page)}\n\n" for key, text in said)
    cost = say("page-cost", cost=f"{change.cost:.4f}", tokens=change.tokens)
    steps = "\n".join(f"{number}. {texts.on_page(clean(step))}" for number, step in enumerate(change.plan.steps, 1))
    gone = "\n".join(f"- {texts.on_page(path)}" for path in change.removed)
    removed = f"{say('page-removed')}\n\n{gone}\n\n" if gone else ""
    return f"{say('page-checks')}\n\n{checks}\n\n{cost}\n\n{removed}{asked}{say('page-plan')}\n\n{steps}\n"


def _quoted(text: str, shown: Callable[[str], str] = str) -> str:
    cut = f"{text[:LONGEST]}…" if len(text) > LONGEST else text
    return "\n".join(f"> {shown(line)}".rstrip() for line in cut.splitlines())
