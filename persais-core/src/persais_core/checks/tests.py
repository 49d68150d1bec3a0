"""Whether the project's tests pass, all of them, in the sandbox.

The verdict is not pytest's exit code: code under test can end the process with 0, or have every test skipped. What
counts is the report of `trial`, which no file in the project can stand for, and in it a passed case for every test
function that stands in the files. The candidate's own `conftest.py` and settings are not read, no plugins are loaded
but the two that are named, and the project is only imported from the copy.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persais_core.checks import base, report
from persais_core.domain import changes
from persais_core.security import sandbox

NAME = "tests"
SECONDS = 60.0
LIMITS = sandbox.Limits(processes=32, address_bytes=8 << 30)
ENVIRONMENT = {"PERSAIS_SANDBOX": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
SETTINGS = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
xfail_strict = true
"""
FRAME = re.compile(r"^(?P<path>[^\s:]+\.py):(?P<line>\d+): ?(?P<what>.*)$")


class TestsCheck:
    """Whether every test function of the project ran and passed.

    Args:
        seconds: wall clock for the whole run.
    """

    name = NAME
    __test__ = False  # pytest collects classes by this name

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Run pytest on the copy and judge its report."""
        tree = (await subject.copied()).resolve()
        expected = await asyncio.to_thread(_expected, tree)
        if not expected:
            if any(path.startswith("bot/") for path in subject.written):
                return base.failed(NAME, "no tests", ["there is no test; write one test function for each behaviour"])
            return base.passed(NAME, "no tests")
        if missing := await asyncio.to_thread(_taken_away, subject, tree):
            return base.failed(NAME, "tests are missing", missing)
        settings = subject.scratch / "tests"
        settings.mkdir(exist_ok=True)
        settings.chmod(0o755)  # whatever our umask is: the sandbox may have a uid of its own
        platform = settings.resolve() / "platform.ini"
        platform.write_text(SETTINGS, "utf-8")
        platform.chmod(0o644)
        arguments = (
            *("tests", "-c", str(platform), "--rootdir", str(tree)),
            *("-o", f"pythonpath={tree}", "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider"),
            *("-p", "pytest_asyncio.plugin", "-p", "persais_core.testing.plugin", "-q", "--tb=short", "--no-header"),
            *("--color=no", "--maxfail=10", f"--basetemp={tree / '.tmp' / 'pytest'}", str(tree / "tests")),
        )
        found = await report.of_trial(
            subject.sandbox,
            arguments,
            folder=tree,
            env=ENVIRONMENT,
            limits=LIMITS,
            timeout_seconds=self._seconds,
            readable=(settings,),
        )
        outcome = found.outcome
        if outcome.stopped:
            summary = f"stopped after {self._seconds:g} s" if outcome.timed_out else "stopped"
            last = _last_test(outcome.stdout)
            return base.failed(NAME, summary, [f"the tests were stopped because {outcome.stopped}{last}"])
        if found.said is None:
            code = outcome.exit_code if found.exit_code is None else found.exit_code
            tail = " | ".join((outcome.stdout + outcome.stderr).strip().splitlines()[-4:]).replace(f"{tree}/", "")
            return base.failed(NAME, "no report", [f"the tests ended without a report (exit {code}): {tail}"])
        return _judge(found, expected, tree)


def _judge(found: report.Report, expected: set[tuple[str, str]], tree: Path) -> changes.Verdict:
    """Hold the report against the test functions that stand in the files."""
    cases = found.said or ()
    passed = {(case["where"], case["name"].partition("[")[0]) for case in cases if not case["trouble"]}
    findings = [_explain(case, tree) for case in cases if case["trouble"]]
    if not findings:
        findings = [f"{path.replace('.', '/')}: {name} did not run" for path, name in sorted(expected - passed)]
    if not findings and found.exit_code:
        findings = [f"pytest ended with {found.exit_code}: {found.outcome.stdout.strip()[-200:]}"]
    if findings:
        good = sum(1 for case in cases if not case["trouble"])
        return base.failed(NAME, f"{good} of {max(len(cases), len(expected))} passed", findings)
    return base.passed(NAME, f"{base.count(len(cases), 'test', 'tests')} in {found.outcome.seconds:.1f} s")


def _explain(case: dict[str, Any], tree: Path) -> str:
    """One failure in a few lines: where, what, and the lines that pytest marks with E."""
    name = f"{case['where']}.{case['name']}".strip(".")
    text, message = case["text"].replace(f"{tree}/", ""), case["message"].replace(f"{tree}/", "")
    if case["trouble"] == "skipped":
        return f"{name}: was skipped ({message}); every test must run"
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")][:6]
    places = [match for line in text.splitlines() if (match := FRAME.match(line)) and "/site-packages/" not in line]
    own = [match for match in places if not match["path"].startswith(("/", ".."))]
    place = f" ({own[-1]['path']}:{own[-1]['line']})" if own else ""
    return f"{name}{place}: {' | '.join(errors) or message.splitlines()[0] if errors or message else case['trouble']}"


def _last_test(stdout: str) -> str:
    """Which file pytest was in, from its lines of dots."""
    files = [line.split()[0] for line in stdout.splitlines() if line.startswith("tests/")]
    return f" (in {files[-1]})" if files else ""


def _expected(tree: Path) -> set[tuple[str, str]]:
    """Class name and name, as pytest reports them, of every test function in the test files."""
    found: set[tuple[str, str]] = set()
    for path in sorted((tree / "tests").rglob("test_*.py")):
        module = ".".join(path.relative_to(tree).with_suffix("").parts)
        try:
            body = ast.parse(path.read_bytes()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            found.add((module, "(the file)"))
            continue
        found.update(_functions(module, body))
    return found


def _taken_away(subject: base.Subject, tree: Path) -> list[str]:
    """Changed files that lost test functions, or never got one: what is not there cannot fail."""
    findings = []
    for file in subject.changed:
        if not file.path.startswith("tests/") or not file.path.endswith(".py"):
            continue
        if file.path in subject.removed:
            continue  # it goes with what it tests
        now = _count((tree / file.path).read_bytes()) if (tree / file.path).is_file() else 0
        before = _count(subject.former.get(file.path, "").encode()) or 0
        if now is None:
            continue  # no Python: the run itself says what is wrong with it
        if now < before:
            findings.append(f"{file.path}: holds {now} test functions of {before}; replace tests, never remove one")
        elif not now:
            findings.append(f"{file.path}: holds no test; write one test function for each behaviour")
    return findings


def _count(source: bytes) -> int | None:
    """How many test functions stand in a file; None where it is no Python."""
    try:
        return sum(1 for _ in _functions("", ast.parse(source).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _functions(where: str, body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            yield where, node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _functions(f"{where}.{node.name}", node.body)
