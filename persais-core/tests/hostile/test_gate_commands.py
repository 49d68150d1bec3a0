"""`persais check --as`, `persais check --paths` and `persais sandbox`, as a stranger's program calls them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import repositories
from persais_core.cli import check, sandbox

HONEST = Path(__file__).parent / "honest" / "bot" / "agents" / "habits.py.txt"
run = CliRunner()


@pytest.fixture(autouse=True)
def _outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No project, no repository, no settings."""
    monkeypatch.chdir(tmp_path)


def as_(path: str, file: Path) -> tuple[int, dict[str, object]]:
    found = run.invoke(check.app, ["--as", path, str(file), "--json"])
    answer = json.loads(found.stdout)
    assert set(answer) == {"path", "verdict", "findings"}
    return found.exit_code, answer


def test_honest_file_that_imports_what_is_not_there_is_clean() -> None:
    assert as_("bot/agents/habits.py", HONEST) == (
        0,
        {"path": "bot/agents/habits.py", "verdict": "clean", "findings": []},
    )


def test_finding_says_line_rule_message_and_what_to_use_instead(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('"""X."""\n\nimport os\n')
    code, answer = as_("bot/agents/x.py", file)
    assert code == 1
    assert answer["findings"] == [
        {
            "line": 3,
            "rule": "import",
            "message": "os may not be imported",
            "instead": "keep data in a schema with context.records(…)",
        }
    ]
    plain = run.invoke(check.app, ["--as", "bot/agents/x.py", str(file)])
    assert plain.exit_code == 1
    assert "bot/agents/x.py:3: import: os may not be imported; keep data" in plain.stdout


def test_the_owners_lists_of_a_project_elsewhere_are_known_by_its_root(tmp_path: Path) -> None:
    repositories.commit_all(
        tmp_path / "project",
        {"pyproject.toml": "", "bot/__init__.py": "", "allowed.toml": '[modules]\nlinecache = ["getline"]\n'},
    )
    file = tmp_path / "x.py"
    file.write_text('"""X."""\n\nfrom linecache import getline\n\n\ndef f() -> str:\n    return getline("a", 1)\n')
    asked = ["--as", "bot/agents/x.py", str(file)]
    assert run.invoke(check.app, asked).exit_code == 1
    assert run.invoke(check.app, ["--root", str(tmp_path / "project"), *asked]).stdout == "✅ clean\n"


def _pipe(place: Path) -> None:
    os.mkfifo(place)


ODD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing": (lambda place: None, 2, "cannot be read"),
    "folder": (lambda place: place.mkdir(), 2, "is no plain file"),
    "pipe": (_pipe, 2, "is no plain file"),
    "link": (lambda place: place.symlink_to(HONEST), 2, "symbolic link"),
    "device": (lambda place: place.symlink_to("/dev/zero"), 2, "symbolic link"),
    "large": (lambda place: place.write_bytes(b"#" * 1_000_000), 2, "more than 200 kB"),
    "long line": (lambda place: place.write_bytes(b"X = '" + b"a" * 190_000 + b"'\n"), 1, "line-length"),
    "no UTF-8": (lambda place: place.write_bytes(b"X = '\xff'\n"), 1, "is not UTF-8"),
    "NUL": (lambda place: place.write_bytes(b"X = 1\x00\n"), 1, "U+0000"),
    "deep": (lambda place: place.write_bytes(b"X = " + b"(" * 5000 + b")" * 5000 + b"\n"), 1, "line"),
    "deep lines": (lambda place: place.write_bytes(b"X = " + b"-\\\n" * 50_000 + b"1\n"), 1, "lines"),
    "no Python": (lambda place: place.write_bytes(b"def x(:\n"), 1, "syntax"),
    "mark": (lambda place: place.write_bytes(b"\xef\xbb\xbfX = 1\n"), 1, "byte order mark"),
    "what only site adds": (lambda place: place.write_bytes(b"def x():\n    exit(0)\n"), 1, "builtin"),
    "empty": (lambda place: place.write_bytes(b""), 0, ""),
    "Windows": (lambda place: place.write_bytes(b'"""X."""\r\n\r\nX = 1\r\n'), 0, ""),
}


@pytest.mark.parametrize("kind", ODD)
def test_file_of_every_kind_gets_an_answer(kind: str, tmp_path: Path) -> None:
    make, code, words = ODD[kind]
    make(tmp_path / "x.py")
    found, answer = as_("bot/agents/x.py", tmp_path / "x.py")
    assert (found, answer["verdict"]) == (code, {0: "clean", 1: "findings", 2: "error"}[code])
    assert words in json.dumps(answer)


@pytest.mark.parametrize("path", ["bot/main.py", "../x.py", "/bot/agents/x.py", "tests/conftest.py", "x.py", ""])
def test_path_that_is_closed_is_a_finding(path: str) -> None:
    code, answer = as_(path, HONEST)
    assert (code, answer["verdict"]) == (1, "findings")
    assert "may not be touched" in json.dumps(answer)


def test_list_of_paths_is_judged_from_a_file_and_from_stdin(tmp_path: Path) -> None:
    good, bad = '["bot/agents/a.py"]', '[{"path": "bot/agents/a.py", "mode": "120000"}]'
    (tmp_path / "list.json").write_text(bad)
    found = run.invoke(check.app, ["--paths", "list.json", "--json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["findings"][0]["path"] == "bot/agents/a.py"
    assert run.invoke(check.app, ["--paths", "-"], input=good).exit_code == 0
    for broken in ("nothing.json", str(tmp_path)):
        assert run.invoke(check.app, ["--paths", broken]).exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["--as", "x"], ["--as", "x", "f", "--paths", "y"], ["--paths", "y", "--root", "z"], ["f"], ["--json"]]
)
def test_options_that_do_not_go_together_are_an_error_of_use(arguments: list[str]) -> None:
    assert run.invoke(check.app, arguments).exit_code == 2


# --- persais sandbox ---


def between_walls(folder: Path, *command: str) -> tuple[int, str, str]:
    found = run.invoke(sandbox.app, ["--work", str(folder), "--", *command])
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def test_program_writes_in_its_folder_and_its_words_and_code_are_passed_on(work: Path) -> None:
    code, said, complained = between_walls(work, "sh", "-c", "echo out; echo err >&2; echo x > made; exit 7")
    assert (code, said) == (7, "out\n")
    assert complained.endswith("err\n")
    assert (work / "made").read_text() == "x\n"
    assert {found.name for found in work.iterdir()} == {"made"}
    assert (work / "made").stat().st_uid == work.stat().st_uid == os.geteuid()


def test_program_that_floods_is_stopped_with_a_sentence(work: Path) -> None:
    code, _, complained = between_walls(work, "yes")
    assert code == 124
    assert "it was stopped because it printed more than" in complained


def test_program_that_is_not_there_is_said_so(work: Path) -> None:
    code, _, complained = between_walls(work, "no-such-program")
    assert code == 127
    assert "not found" in complained


@pytest.mark.parametrize("kind", ["missing", "file", "link", "git", "root", "home", "inside git"])
def test_folder_that_holds_too_much_is_refused_in_a_sentence(kind: str, work: Path) -> None:
    (work / "file").touch()
    (work / "repository" / ".git" / "hooks").mkdir(parents=True)
    (work / "link").symlink_to(work)
    places = {
        "git": work / "repository",
        "root": Path("/"),
        "home": Path.home(),
        "inside git": work / "repository/.git/hooks",
    }
    code, said, complained = between_walls(places.get(kind, work / kind), "true")
    assert (code, said) == (125, "")
    assert complained.startswith("persais: nothing was run: ")
    assert complained.count("\n") == 1
