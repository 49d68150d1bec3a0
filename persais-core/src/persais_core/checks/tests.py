"""Whether the project's tests pass, all of them, in the sandbox.

The verdict is not pytest's exit code: code under test can end the process with 0, or have every test skipped. What
counts is the report, and in it a passed case for every test function that stands in the files. The candidate's own
`conftest.py` and settings are not read, no plugins are loaded but the two that are named, and the project is only
imported from the copy.

A test that forges the report from inside the process would pass here; that takes calls which the `imports` check
refuses before any test is run.
"""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from persais_core import commands
from persais_core.checks import base
from persais_core.domain import changes
from persais_core.security import sandbox

NAME = "tests"
SECONDS = 60.0
REPORT = ".report.xml"
LIMITS = sandbox.Limits(processes=32, address_bytes=8 << 30)
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
        settings = subject.scratch / "tests"
        settings.mkdir(exist_ok=True)
        settings.chmod(0o755)  # whatever our umask is: the sandbox may have a uid of its own
        platform = settings.resolve() / "platform.ini"
        platform.write_text(SETTINGS, "utf-8")
        platform.chmod(0o644)
        argv = (
            *(sys.executable, "-I", "-m", "pytest", "-c", str(platform), "--rootdir", str(tree)),
            *("-o", f"pythonpath={tree}", "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider"),
            *("-p", "pytest_asyncio.plugin", "-p", "persais_core.testing.plugin", "-q", "--tb=short", "--no-header"),
            *("--color=no", "--maxfail=10", f"--basetemp={tree / '.tmp' / 'pytest'}", f"--junitxml={tree / REPORT}"),
            *("-o", "junit_logging=no", str(tree / "tests")),
        )
        env = {"PERSAIS_SANDBOX": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        (tree / REPORT).unlink(missing_ok=True)
        command = commands.Command(argv=argv, cwd=tree, env=env, timeout_seconds=self._seconds)
        outcome = await subject.sandbox.run(command, folder=tree, limits=LIMITS, readable=(settings,))
        if outcome.stopped:
            summary = f"stopped after {self._seconds:g} s" if outcome.timed_out else "stopped"
            last = _last_test(outcome.stdout)
            return base.failed(NAME, summary, [f"the tests were stopped because {outcome.stopped}{last}"])
        raw = sandbox.read_report(tree, REPORT)
        if raw is None:
            tail = " | ".join((outcome.stdout + outcome.stderr).strip().splitlines()[-4:]).replace(f"{tree}/", "")
            return base.failed(
                NAME, "no report", [f"the tests ended without a report (exit {outcome.exit_code}): {tail}"]
            )
        return _judge(raw, expected, tree, outcome)


def _judge(raw: bytes, expected: set[tuple[str, str]], tree: Path, outcome: sandbox.Outcome) -> changes.Verdict:
    """Hold the report against the test functions that stand in the files."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        return base.failed(NAME, "no report", ["the report of the tests was tampered with"])
    try:
        cases = list(ElementTree.fromstring(raw).iter("testcase"))
    except ElementTree.ParseError:
        return base.failed(NAME, "no report", ["the report of the tests cannot be read"])
    passed: set[tuple[str, str]] = set()
    findings: list[str] = []
    for case in cases:
        name = (case.get("classname", ""), case.get("name", "").partition("[")[0])
        troubles = [child for child in case if child.tag in {"failure", "error", "skipped"}]
        if not troubles:
            passed.add(name)
        findings += [_explain(case, child, tree) for child in troubles]
    if not findings:
        findings = [f"{path.replace('.', '/')}: {name} did not run" for path, name in sorted(expected - passed)]
    if not findings and outcome.exit_code:
        findings = [f"pytest ended with {outcome.exit_code}: {outcome.stdout.strip()[-200:]}"]
    total = len(cases)
    if findings:
        good = sum(1 for case in cases if not any(child.tag in {"failure", "error", "skipped"} for child in case))
        return base.failed(NAME, f"{good} of {max(total, len(expected))} passed", findings)
    return base.passed(NAME, f"{base.count(total, 'test', 'tests')} in {outcome.seconds:.1f} s")


def _explain(case: ElementTree.Element, trouble: ElementTree.Element, tree: Path) -> str:
    """One failure in a few lines: where, what, and the lines that pytest marks with E."""
    name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
    text = (trouble.text or "").replace(f"{tree}/", "")
    message = (trouble.get("message") or "").replace(f"{tree}/", "")
    if trouble.tag == "skipped":
        return f"{name}: was skipped ({message}); every test must run"
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")][:6]
    places = [match for line in text.splitlines() if (match := FRAME.match(line)) and "/site-packages/" not in line]
    own = [match for match in places if not match["path"].startswith(("/", ".."))]
    place = f" ({own[-1]['path']}:{own[-1]['line']})" if own else ""
    return f"{name}{place}: {' | '.join(errors) or message.splitlines()[0] if errors or message else trouble.tag}"


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


def _functions(where: str, body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            yield where, node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _functions(f"{where}.{node.name}", node.body)
