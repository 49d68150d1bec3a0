"""Counts what the corpora showed, and tells it at the end: `make test-hostile`."""

from __future__ import annotations

from collections import Counter

import pytest

COUNTS = pytest.StashKey[dict[str, Counter[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = {}


@pytest.fixture(scope="session")
def counts(request: pytest.FixtureRequest) -> dict[str, Counter[str]]:
    """By what is counted: `of` how many there are, and how many of them went as they should, by gate."""
    return request.config.stash[COUNTS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, found in config.stash.get(COUNTS, {}).items():
        total = found.pop("of")
        gates = ", ".join(f"{gate} {number}" for gate, number in found.most_common())
        terminalreporter.write_line(f"{what} {sum(found.values())}/{total}: {gates}")
