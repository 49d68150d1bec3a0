"""A test that is not there cannot fail, so taking one away fails, before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from persais_core import errors
from persais_core.checks import base, tests
from persais_core.security.sandbox import Isolation, Sandbox

PART, TEST = "bot/agents/echo.py", "tests/agents/test_echo.py"
TWO = "def test_a() -> None: ...\nclass TestMore:\n    async def test_b(self) -> None: ...\n"
ONE = "def test_a() -> None: ...\ndef was_b() -> None: ...\n"
OTHER = {"tests/agents/test_other.py": "def test_c() -> None: ...\n"}


def subject(root: Path, files: dict[str, str], *, former: dict[str, str], added: bool = False) -> base.Subject:
    for path, text in (files | OTHER).items():
        (root / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "project" / path).write_text(text)
    changed = tuple(base.ChangedFile(path, 0o100644, "added" if added else "modified", 1) for path in files)
    # Nothing may be run here: a verdict about what is missing needs no run.
    box = Sandbox(verdict=Isolation("refused", (), "no isolation here"))
    (root / "scratch").mkdir()
    return base.Subject(root / "project", "0" * 40, tuple(files), changed, box, root / "scratch", former=former)


@pytest.mark.parametrize("now", [ONE, ""], ids=["renamed", "emptied"])
async def test_a_test_that_was_taken_away_is_missed(tmp_path: Path, now: str) -> None:
    verdict = await tests.TestsCheck()(subject(tmp_path, {TEST: now}, former={TEST: TWO}))
    assert not verdict.passed and verdict.summary == "tests are missing"
    assert verdict.findings[0].startswith(f"{TEST}: holds ") and "of 2; replace tests, never remove one" in str(verdict)


async def test_a_new_file_of_tests_holds_one(tmp_path: Path) -> None:
    made = subject(tmp_path, {PART: "", TEST: "def was_a() -> None: ...\n"}, former={}, added=True)
    verdict = await tests.TestsCheck()(made)
    assert [line.partition(";")[0] for line in verdict.findings] == [f"{TEST}: holds no test"]


@pytest.mark.parametrize(
    "now", ["def test_x() -> None: ...\ndef test_y() -> None: ...\n", "def test_a(:\n"], ids=["replaced", "broken"]
)
async def test_what_cannot_be_counted_against_it_is_run(tmp_path: Path, now: str) -> None:
    made = subject(tmp_path, {PART: "", TEST: now}, former={TEST: TWO, PART: "def test_q(): ..."})
    with pytest.raises(errors.SandboxError, match="no isolation here"):
        await tests.TestsCheck()(made)
