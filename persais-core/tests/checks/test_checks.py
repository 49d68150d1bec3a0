"""The checks on a real project: what each lets pass, what it stops, and how it says so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from candidates import candidate, text_of

from persais_core import checks, errors
from persais_core.checks import base, lint, paths, secrets, tests, typecheck
from persais_core.domain import changes
from persais_core.security import sandbox

AGENT, TEST = "bot/agents/echo.py", "tests/agents/test_echo.py"
HONEST = Path(__file__).parents[1] / "hostile" / "honest"
# A project as a coder would write it, in the style that linter and type checker ask for.
PROJECT = (
    *(f"bot/agents/{name}" for name in ("diary", "echo", "quests", "router_like", "two_step", "writer")),
    *(f"bot/schemas/{name}" for name in ("entries", "goals", "ideas", "notes", "places")),
    *(f"bot/tools/{name}" for name in ("calendar_days", "dice", "export", "money", "notes", "parallel", "search")),
    *(f"bot/tools/{name}" for name in ("shopping", "validated")),
    *(f"tests/agents/test_{name}" for name in ("echo", "quests")),
    *(f"tests/tools/test_{name}" for name in ("dice", "money", "shopping")),
)
FILES = {
    AGENT: (HONEST / f"{AGENT}.txt").read_text("utf-8"),
    TEST: (HONEST / f"{TEST}.txt").read_text("utf-8"),
}

Make = Callable[..., base.Subject]


@pytest.fixture
def make(tmp_path: Path, box: sandbox.Sandbox) -> Make:
    """A project in which some files were written by a change."""

    def build(written: Mapping[str, str], *, extra: Mapping[str, str] | None = None) -> base.Subject:
        return candidate(tmp_path, box, written, extra=extra)

    return build


async def test_honest_change_passes_every_check_in_order(make: Make) -> None:
    subject = make(FILES)
    told: list[changes.Verdict] = []

    async def tell(verdict: changes.Verdict) -> None:
        told.append(verdict)

    verdicts = await checks.verify(subject, tell=tell)
    assert [text_of(verdict) for verdict in verdicts if not verdict.passed] == []
    assert tuple(verdict.check for verdict in verdicts) == checks.ORDER
    assert told == list(verdicts)
    assert list(subject.scratch.iterdir()) == []


async def test_whole_honest_project_passes(make: Make, empty_url: str) -> None:
    samples = {f"{path}.py": (HONEST / f"{path}.py.txt").read_text("utf-8") for path in PROJECT}
    verdicts = await checks.verify(dataclasses.replace(make(samples), database_url=empty_url))
    assert [text_of(verdict) for verdict in verdicts if not verdict.passed] == []


async def test_nothing_runs_after_a_guard_has_failed(make: Make) -> None:
    subject = make({**FILES, AGENT: FILES[AGENT].replace('return f"', 'eval("1")\n        return f"')})
    verdicts = await checks.verify(subject)
    assert [verdict.check for verdict in verdicts] == ["paths", "imports"]
    assert not verdicts[-1].passed


async def test_lint_types_and_tests_are_all_asked_when_one_fails(make: Make) -> None:
    wrong = FILES[AGENT].replace('f"Echo: {message.text}"', 'message.txt + ": " + 1')
    subject = make({**FILES, AGENT: f"{wrong}\n\ndef unused() -> str:\n    x = 1\n    return ''\n"})
    verdicts = {verdict.check: verdict for verdict in await checks.verify(subject)}
    assert f"{AGENT}:20: F841" in text_of(verdicts["lint"])
    assert f"{AGENT}:16: missing-attribute" in text_of(verdicts["typecheck"])
    assert "has no attribute 'txt'" in text_of(verdicts["tests"])
    assert not any(verdicts[name].passed for name in ("lint", "typecheck", "tests"))


async def test_sandbox_that_refuses_is_a_failed_verdict(make: Make) -> None:
    refusing = sandbox.Sandbox(secrets_present=True, readable=(Path("/"),))  # so the canary gets out
    verdict = await checks.ask(tests.TestsCheck(), dataclasses.replace(make(FILES), sandbox=refusing))
    assert not verdict.passed
    assert "ALLOW_UNSANDBOXED" in text_of(verdict)


async def test_check_that_crashes_is_a_failed_verdict(make: Make) -> None:
    class Broken:
        name = "broken"

        async def __call__(self, subject: base.Subject) -> changes.Verdict:
            raise ZeroDivisionError

    verdict = await checks.ask(Broken(), make(FILES))
    assert not verdict.passed
    assert verdict.findings == ("the broken check itself failed; see the log",)


# --- paths ---

OUT_OF_BOUNDS = [
    "bot/main.py",
    "bot/agents/__init__.py",
    "bot/agents/sitecustomize.py",
    "bot/agents/conftest.py",
    "bot/agents/sub/echo.py",
    "bot/agents/Echo.py",
    "bot/agents/echo.pyi",
    "bot/agents/éch.py",
    "bot/agents/echo.py\n",
    "bot/migrations/env.py",
    "bot/../pyproject.toml",
    "/etc/passwd",
    "../outside.py",
    "tests/conftest.py",
    "tests/agents/echo.py",
    "tests/agents/conftest.py",
    "json.py",
    "pyproject.toml",
    ".env",
    ".git",
    ".git/hooks/pre-commit",
    ".github/workflows/ci.yml",
    ".aider.conf.yml",
    "requirements.txt",
    "x.pth",
]


@pytest.mark.parametrize("path", OUT_OF_BOUNDS)
async def test_path_out_of_bounds_is_refused_even_if_the_plan_names_it(path: str, make: Make) -> None:
    subject = make(FILES)
    changed = (*subject.changed, base.ChangedFile(path, 0o100644, "added", 1))
    verdict = await paths.PathsCheck()(dataclasses.replace(subject, changed=changed, allowed=(*FILES, path)))
    assert not verdict.passed
    assert "may not be touched" in text_of(verdict)
    assert "\n" not in text_of(verdict)


async def test_path_that_the_plan_does_not_name_is_refused(make: Make) -> None:
    verdict = await paths.PathsCheck()(dataclasses.replace(make(FILES), allowed=(AGENT,)))
    assert verdict.findings == (f"{TEST}: is not in the plan; undo this file",)


@pytest.mark.parametrize(
    ("mode", "status", "finding"),
    [
        (0o100755, "modified", "is no plain file (mode 100755)"),
        (0o120000, "added", "is no plain file (mode 120000)"),
        (0o160000, "added", "is no plain file (mode 160000)"),
        (None, "deleted", "was removed"),
    ],
)
async def test_mode_and_removal_are_refused(mode: int | None, status: str, finding: str, make: Make) -> None:
    subject = make(FILES)
    changed = (base.ChangedFile(AGENT, mode, status),)  # type: ignore[arg-type]
    verdict = await paths.PathsCheck()(dataclasses.replace(subject, changed=changed))
    assert finding in text_of(verdict)


async def test_links_pipes_twins_and_giants_in_the_tree_are_refused(make: Make, tmp_path: Path) -> None:
    subject = make(FILES)
    check, agent = paths.PathsCheck(), subject.root / AGENT
    twin = agent.with_name("ECHO.py")
    twin.write_text("")
    assert "only in case or accents" in text_of(await check(subject))
    twin.unlink()
    agent.write_text("x" * 200_001)
    assert "200 kB" in text_of(await check(subject))
    agent.unlink()
    agent.hardlink_to(subject.root / TEST)
    assert "is no plain file" in text_of(await check(subject))
    agent.unlink()
    agent.symlink_to("/etc/passwd")
    assert "symbolic link" in text_of(await check(subject))
    agent.unlink()
    agent.parent.rename(tmp_path / "elsewhere")
    agent.parent.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/echo.py").write_text("")
    assert "symbolic link" in text_of(await check(subject))


# --- secrets ---

LEAKS = {
    "OpenRouter key": 'KEY = "sk-or-' + "v1-" + "0123456789abcdef" * 4 + '"',
    "OpenAI key": 'KEY = "sk-' + "proj-" + "Ab3xYz" * 6 + '"',
    "Fly token": 'KEY = "fm2_' + "lJPECAAAAAAAB" * 4 + '"',
    "Neon address with password": 'URL = "postgresql://bot:' + 'q1w2e3r4@ep-x.eu.aws.neon.tech/db"',
    "AWS Access Key": 'KEY = "AKIA' + 'IOSFODNN7EXAMPLE"',
    "GitHub Token": 'KEY = "ghp_' + "A1b2" * 9 + '"',
    "Secret Keyword": 'password = "' + 'correct-horse-7"',
    "Private Key": 'KEY = "-----BEGIN ' + 'RSA PRIVATE KEY-----"',
    "Telegram bot token": 'KEY = "123456789:' + "AAE" + "x4Gz" * 8 + '"',
}


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("mark", ["", "  # pragma: allowlist secret"])
async def test_secret_is_found_and_not_repeated(kind: str, mark: str, make: Make) -> None:
    verdict = await secrets.SecretsCheck()(make({AGENT: f'"""X."""\n\n{LEAKS[kind]}{mark}\n'}))
    assert not verdict.passed
    assert f"{AGENT}:3: {kind}; " in text_of(verdict)
    assert LEAKS[kind].split('"')[1] not in text_of(verdict)


# --- lint and types ---


async def test_lint_reads_neither_the_projects_settings_nor_its_comments(make: Make) -> None:
    source = '"""X."""\n\nimport json  # noqa: F401\n'
    subject = make(
        {AGENT: source}, extra={"ruff.toml": 'exclude = ["*"]', "pyproject.toml": "[tool.ruff]\nexclude=['*']"}
    )
    assert f"{AGENT}:3: F401" in text_of(await lint.LintCheck()(subject))


async def test_lint_of_unreadable_code_is_a_finding(make: Make) -> None:
    assert f"{AGENT}:1: " in text_of(await lint.LintCheck()(make({AGENT: "def x(:\n"})))


async def test_types_are_checked_by_our_settings_in_spite_of_comments_and_only_in_changed_files(make: Make) -> None:
    wrong = '"""X."""\n\n\ndef x() -> int:\n    """X."""\n    return ""  # type: ignore\n'
    subject = make({AGENT: wrong}, extra={"bot/agents/old.py": wrong, "pyrefly.toml": 'preset = "off"'})
    verdict = await typecheck.TypecheckCheck()(subject)
    assert [finding.partition(": ")[0] for finding in verdict.findings] == [f"{AGENT}:6"]


async def test_reply_with_another_signature_is_a_type_error(make: Make) -> None:
    wrong = FILES[AGENT].replace("message: Message, context: Context", "message: str, context: Context")
    wrong = wrong.replace("Context, Message", "Context").replace("message.text", "message")
    assert "bad-override" in text_of(await typecheck.TypecheckCheck()(make({AGENT: wrong})))


# --- tests ---

FORGERIES = {
    "fails": ("def test_x() -> None:\n    assert 1 == 2\n", "assert 1 == 2"),
    "raises": ("def test_x() -> None:\n    raise ValueError('boom')\n", "ValueError: boom"),
    "exits at once": ("import os\n\n\ndef test_x() -> None:\n    os._exit(0)\n", "without a report"),
    "exits at import": ("import os\n\nos._exit(0)\n\n\ndef test_x() -> None:\n    pass\n", "without a report"),
    "skips": ("import pytest\n\n\n@pytest.mark.skip\ndef test_x() -> None:\n    pass\n", "was skipped"),
    "skips the module": (
        "import pytest\n\npytest.skip('no', allow_module_level=True)\n\n\ndef test_x():\n    pass\n",
        "skipped",
    ),
    "expects to fail": (
        "import pytest\n\n\n@pytest.mark.xfail\ndef test_x() -> None:\n    assert False\n",
        "was skipped",
    ),
    "is not collected": ("def test_x() -> None:\n    pass\n\n\ntest_x.__test__ = False\n", "test_x did not run"),
    "is rebound": ("def test_x() -> None:\n    assert False\n\n\ntest_x = None\n", "test_x did not run"),
    "does not import": ("import nothing_there\n\n\ndef test_x() -> None:\n    pass\n", "nothing_there"),
    "is no Python": ("def test_x(:\n", "SyntaxError"),
    "reaches out": (
        "import socket\n\n\ndef test_x() -> None:\n    socket.create_connection(('127.0.0.1', 1))\n",
        "PermissionError",
    ),
    "has no test": ("X = 1\n", "there is no test"),
}


CASE = {"where": "tests.agents.test_echo", "name": "test_x", "trouble": "", "message": "", "text": ""}
WRITERS = {
    "the file that pytest would leave": (
        '    xml = \'<x><testcase classname="tests.agents.test_echo" name="test_x"/></x>\'\n'
        "    pathlib.Path('.report.xml').write_text(xml)\n"
    ),
    "words for the outer process": (
        f"    for word in ({json.dumps(CASE)!r}, '{{\"exit\": 0}}'):\n        tell('0' * 32 + ' ' + word + '\\n')\n"
    ),
    "the whole report": f"    tell({json.dumps({'exit': 0, 'said': [CASE]})!r})\n",
}


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("name", WRITERS)
async def test_report_that_a_test_writes_before_it_ends_the_process_is_none(name: str, code: int, make: Make) -> None:
    source = (
        "import contextlib\nimport os\nimport pathlib\n\n\n"
        "def tell(text):\n    for place in range(3, 64):\n        with contextlib.suppress(OSError):\n"
        "            os.write(place, text.encode())\n\n\n"
        f"def test_x() -> None:\n{WRITERS[name]}    os._exit({code})\n"
    )
    verdict = await tests.TestsCheck()(make({AGENT: FILES[AGENT], TEST: source}))
    assert not verdict.passed
    assert f"without a report (exit {code})" in text_of(verdict)


async def test_words_after_those_of_a_test_that_passed_are_not_believed(make: Make) -> None:
    source = (
        "import os\n\n\ndef test_a() -> None:\n    pass\n\n\ndef test_b() -> None:\n"
        "    for place in range(3, 64):\n        try:\n            os.write(place, b'{} {}\\n')\n"
        "        except OSError:\n            pass\n"
    )
    assert "without a report (exit 0)" in text_of(await tests.TestsCheck()(make({AGENT: FILES[AGENT], TEST: source})))


async def test_process_that_a_test_leaves_behind_does_not_hold_the_report(make: Make) -> None:
    source = (
        "import os\nimport time\n\n\ndef test_x() -> None:\n    if os.fork() == 0:\n"
        "        os.setsid()\n        time.sleep(600)\n"
    )
    assert (await tests.TestsCheck(seconds=30)(make({AGENT: FILES[AGENT], TEST: source}))).passed


@pytest.mark.parametrize("name", FORGERIES)
async def test_test_file_that_does_not_prove_anything_fails(name: str, make: Make) -> None:
    source, finding = FORGERIES[name]
    verdict = await tests.TestsCheck()(make({AGENT: FILES[AGENT], TEST: source}))
    assert not verdict.passed
    assert finding in text_of(verdict)


async def test_settings_conftest_and_shadows_of_the_candidate_are_not_loaded(make: Make) -> None:
    extra = {
        "tests/conftest.py": "raise SystemExit('loaded')\n",
        "conftest.py": "raise SystemExit('loaded')\n",
        "pytest.ini": "[pytest]\naddopts = --collect-only\n",
        "tests/json.py": "raise SystemExit('loaded')\n",
        "sitecustomize.py": "raise SystemExit('loaded')\n",
    }
    verdict = await tests.TestsCheck()(make(FILES, extra=extra))
    assert verdict.passed, text_of(verdict)


async def test_test_that_never_ends_is_named(make: Make) -> None:
    endless = "import time\n\n\ndef test_x() -> None:\n    while True:\n        time.sleep(1)\n"
    verdict = await tests.TestsCheck(seconds=3)(make({TEST: endless}))
    assert verdict.summary == "stopped after 3 s"
    assert "did not end within 3 s" in text_of(verdict)


async def test_old_test_that_the_change_breaks_is_named(make: Make) -> None:
    subject = make({AGENT: FILES[AGENT].replace("Echo: {", "echo: {")}, extra={TEST: FILES[TEST]})
    verdict = await tests.TestsCheck()(subject)
    assert "0 of 3 passed" in text_of(verdict)
    assert "tests.agents.test_echo.test_echo_repeats" in text_of(verdict)
    assert str(subject.root) not in text_of(verdict)


async def test_project_without_parts_needs_no_test(make: Make) -> None:
    assert (await tests.TestsCheck()(make({}))).passed


def test_catalogue_keeps_the_contract() -> None:
    for name, build in checks.CATALOGUE.items():
        assert build().name == name
    assert issubclass(base.CheckError, errors.PersaisError)
