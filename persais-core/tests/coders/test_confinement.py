"""Which paths of a reply may be written."""

from pathlib import Path

import pytest

from persais_core.coders.aider.confinement import Confinement


@pytest.fixture
def fence(tmp_path: Path) -> Confinement:
    root = tmp_path / "tree"
    (root / "bot" / "agents").mkdir(parents=True)
    (root / "bot" / "agents" / "echo.py").write_text("ECHO = 1\n")
    (root / "bot" / "agents" / "other.py").write_text("OTHER = 1\n")
    (root / "bot" / "agents" / "link.py").symlink_to("echo.py")
    (root / "bot" / "linked").symlink_to("agents")
    return Confinement(root, ["bot/agents/echo.py"], ["tests/agents/test_*.py", "bot/agents/*.py", "bot/linked/*.py"])


@pytest.mark.parametrize(
    "path",
    [
        "bot/agents/echo.py",
        "./bot/agents/echo.py",
        "bot//agents/echo.py",
        "tests/agents/test_a.py",
        "bot/agents/new.py",
    ],
)
def test_named_files_and_new_files_of_a_pattern_may_be_written(fence: Confinement, path: str) -> None:
    assert fence.refusal(path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "none of the files"),
        (".", "none of the files"),
        ("../x.py", "no plain path"),
        ("bot/agents/../agents/echo.py", "no plain path"),
        ("/etc/passwd", "no plain path"),
        ("bot\\agents\\new.py", "no plain path"),
        ("bot/agents/new\n.py", "no plain path"),
        ("bot/agents/n\u202eew.py", "no plain path"),
        (".git", "git"),
        ("bot/.GIT/config", "git"),
        ("bot/agents/link.py", "symbolic link"),
        ("bot/linked/new.py", "symbolic link"),
        ("bot/agents/other.py", "exists already"),
        ("bot/agents/deep/new.py", "none of the files"),
        ("tests/agents/helper.py", "none of the files"),
        ("conftest.py", "none of the files"),
    ],
)
def test_everything_else_is_refused_with_its_reason(fence: Confinement, path: str, reason: str) -> None:
    assert reason in (fence.refusal(path) or "")


def test_a_made_file_may_be_written_again_and_goes_when_it_stays_empty(fence: Confinement) -> None:
    kept = fence.make("bot/agents/new.py")
    assert fence.refusal("bot/agents/new.py") is None
    kept.write_text("NEW = 1\n")
    fence.make("tests/agents/test_new.py")
    fence.sweep()
    assert kept.exists()
    assert not (fence.root / "tests").exists()
