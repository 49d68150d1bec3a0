"""Whether a round of the coder brought anything: the same failure twice means that more rounds only cost money."""

from __future__ import annotations

import re
from collections.abc import Iterable

from persais_core import errors
from persais_core.domain.changes import Change, Verdict

MAX_ROUNDS = 3

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")
_PATHS = re.compile(r"(/[\w.\-]+)+/")
_SPACE = re.compile(r"\s+")


def worth_another(change: Change, verdicts: Iterable[Verdict]) -> str:
    """Whether a change whose round has failed is given one more.

    Args:
        change: with the failure of the round before.
        verdicts: of this round.

    Returns:
        What failed, to hold the next round against; see `signature`.

    Raises:
        ChangeError: it failed as before, or this was the last round.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    failure = signature(failed)
    if failure == change.last_failure:
        raise errors.ChangeError(
            f"round {change.round} failed exactly as the one before, so more rounds would only cost money",
            key="rounds-same",
            round=change.round,
        )
    if change.round >= MAX_ROUNDS:
        raise errors.ChangeError(
            f"after {MAX_ROUNDS} rounds these checks still fail: {', '.join(verdict.check for verdict in failed)}",
            key="rounds-over",
            rounds=MAX_ROUNDS,
            checks=named(failed),
        )
    return failure


def nobody_mends(verdicts: Iterable[Verdict]) -> errors.ChangeError:
    """Why a change that only takes something away ends with its first round: a coder may write nothing there."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    return errors.ChangeError(
        f"without what is removed these checks fail: {', '.join(verdict.check for verdict in failed)}; "
        "what else is to be changed or removed has to be in the plan",
        key="remove-failed",
        checks=named(failed),
    )


def named(verdicts: Iterable[Verdict]) -> errors.Named:
    """The names of checks as a value of an error."""
    return errors.Named(tuple(f"check-{verdict.check}" for verdict in verdicts))


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
