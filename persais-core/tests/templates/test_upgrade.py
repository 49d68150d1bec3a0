"""A project is taken to newer templates, and nothing of its owner's is lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from persais_core import errors
from persais_core.cli.new import commit_all
from persais_core.templates import projects, upgrade


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@localhost")
    return subprocess.run(["git", "-C", str(root), *who, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of today with two agents, and a template file edited by hand."""
    root = tmp_path / "my-bot"
    root.mkdir()
    projects.render(root, name="my-bot", language="ru", owner_id=7)
    commit_all(root, "Start my-bot")
    for name in ("echo", "shout"):
        (root / f"bot/agents/{name}.py").write_text(f'"""{name}."""\n')
    (root / "fly.toml").write_text((root / "fly.toml").read_text().replace('"fra"', '"ams"'))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Mine")
    return root


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The templates of the next version: a file more, one changed, one gone, and other words in bot/."""
    skeleton = tmp_path / "skeleton"
    shutil.copytree(projects.SKELETON, skeleton)
    (skeleton / "NEWS.md.jinja").write_text("# {{ name }} {{ core_version }}\n")
    (skeleton / ".dockerignore.jinja").unlink()
    fly = skeleton / "fly.toml.jinja"
    fly.write_text(fly.read_text().replace("kill_timeout = 60", "kill_timeout = 90"))
    (skeleton / "bot/main.py.jinja").write_text('"""Another start."""\n')
    return skeleton


def test_new_templates_come_and_everything_of_the_owner_stays(project: Path, newer: Path) -> None:
    before = (project / "bot/main.py").read_text()
    done = upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    assert (done.branch, done.conflicts) == ("upgrade/persais-9.0.0", ())
    assert done.added == ("NEWS.md",) and done.removed == (".dockerignore",) and "fly.toml" in done.changed
    assert (project / "NEWS.md").read_text() == "# my-bot 9.0.0\n"
    fly = (project / "fly.toml").read_text()
    assert '"ams"' in fly and "kill_timeout = 90" in fly
    assert (project / "bot/main.py").read_text() == before
    assert (project / "bot/agents/echo.py").exists() and (project / "bot/agents/shout.py").exists()
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "branch", "--show-current").strip() == done.branch
    assert "owner_id: 7" in (project / ".copier-answers.yml").read_text()


def test_a_second_upgrade_builds_on_the_first(project: Path, newer: Path) -> None:
    upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    git(project, "switch", "-q", "main")
    git(project, "merge", "-q", "upgrade/persais-9.0.0")
    assert upgrade.upgrade(project, skeleton=newer, version="9.0.0") == upgrade.Upgrade()
    (newer / "NEWS.md.jinja").write_text("# {{ name }}: {{ core_version }}\n")
    done = upgrade.upgrade(project, skeleton=newer, version="9.1.0")
    assert done.conflicts == () and (project / "NEWS.md").read_text() == "# my-bot: 9.1.0\n"


def test_an_upgrade_that_was_thrown_away_can_be_made_again(project: Path, newer: Path) -> None:
    done = upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    git(project, "switch", "-q", "main")
    with pytest.raises(errors.ProjectError, match="begun and not finished"):
        upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    git(project, "branch", "-qD", str(done.branch))
    assert upgrade.upgrade(project, skeleton=newer, version="9.0.0").added == ("NEWS.md",)


def test_a_true_conflict_is_shown_as_git_shows_it_and_nothing_is_lost(project: Path, newer: Path) -> None:
    (project / "fly.toml").write_text(
        (project / "fly.toml").read_text().replace("kill_timeout = 60", "kill_timeout = 5")
    )
    git(project, "commit", "-qam", "Hurry")
    done = upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    assert done.conflicts == ("fly.toml",)
    text = (project / "fly.toml").read_text()
    assert "<<<<<<<" in text and "kill_timeout = 5\n" in text and "kill_timeout = 90\n" in text
    assert "UU fly.toml" in git(project, "status", "--porcelain")
    git(project, "merge", "--abort")
    git(project, "switch", "-q", "main")
    assert "kill_timeout = 5\n" in (project / "fly.toml").read_text()


def test_what_the_bot_has_become_since_is_what_is_upgraded(project: Path, newer: Path) -> None:
    git(project, "switch", "-qc", "evolved")
    (project / "bot/agents/parrot.py").write_text('"""parrot."""\n')
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Merge pull request #1")
    git(project, "update-ref", "refs/remotes/persais/main", "HEAD")
    git(project, "switch", "-q", "main")
    upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    assert (project / "bot/agents/parrot.py").exists()


def test_in_a_clone_the_first_commit_is_where_it_began(project: Path, newer: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(project), str(tmp_path / "clone"))
    done = upgrade.upgrade(tmp_path / "clone", skeleton=newer, version="9.0.0")
    assert done.added == ("NEWS.md",) and done.conflicts == ()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("rm", "-q", "bot/agents/echo.py"), "not committed"),
        (("switch", "-q", "--detach"), "detached"),
        (("merge", "-q", "--no-ff", "--no-commit", "other"), "going on"),
    ],
)
def test_a_repository_in_the_middle_of_something_is_left_alone(
    project: Path, newer: Path, spoil: tuple[str, ...], words: str
) -> None:
    git(project, "switch", "-qc", "other")
    git(project, "commit", "-qm", "Other", "--allow-empty")
    git(project, "switch", "-q", "main")
    git(project, *spoil)
    before = git(project, "status", "--porcelain"), git(project, "for-each-ref")
    with pytest.raises(errors.ProjectError, match=words):
        upgrade.upgrade(project, skeleton=newer, version="9.0.0")
    assert (git(project, "status", "--porcelain"), git(project, "for-each-ref")) == before


def test_what_is_no_repository_or_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ProjectError, match="no git repository"):
        upgrade.upgrade(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    with pytest.raises(errors.ProjectError, match="nothing is committed"):
        upgrade.upgrade(tmp_path)
    git(tmp_path, "commit", "-qm", "x", "--allow-empty")
    with pytest.raises(errors.ProjectError, match="persais new"):
        upgrade.upgrade(tmp_path)
