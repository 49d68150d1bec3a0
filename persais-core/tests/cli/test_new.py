"""`persais new`, as typed."""

import sys
from pathlib import Path

import pygit2
import pytest
from typer.testing import CliRunner, Result

from persais_core import errors, processes
from persais_core.cli import new
from persais_core.templates.upgrade import PRISTINE


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(new.app, [str(word) for word in words])


def test_a_project_is_made_and_committed_on_main(tmp_path: Path) -> None:
    result = call(tmp_path / "my-bot")
    assert result.exit_code == 0, result.output
    assert "bot/" in result.output
    assert "persais dev" in result.output
    repository = pygit2.Repository(str(tmp_path / "my-bot"))
    assert repository.head.shorthand == "main"
    assert repository.status() == {}
    commit = repository.head.peel(pygit2.Commit)
    assert commit.message == "Start my-bot"
    assert commit.parents == []
    assert "bot/main.py" in [entry.path for entry in repository.index]
    assert repository.references[PRISTINE].target == commit.id


def test_the_owners_env_file_is_not_committed(tmp_path: Path) -> None:
    assert call(tmp_path / "my-bot", "--owner-id", "42").exit_code == 0
    assert (tmp_path / "my-bot/.env").read_text().endswith("ADMIN_USER_IDS=42\n")
    repository = pygit2.Repository(str(tmp_path / "my-bot"))
    assert ".env" not in [entry.path for entry in repository.index]


def test_without_git_there_is_no_repository(tmp_path: Path) -> None:
    assert call(tmp_path / "my-bot", "--no-git").exit_code == 0
    assert not (tmp_path / "my-bot/.git").exists()


def test_the_name_may_differ_from_the_directory(tmp_path: Path) -> None:
    assert call(tmp_path / "Бот", "--name", "other", "--language", "ru").exit_code == 0
    assert 'name = "other"' in (tmp_path / "Бот/pyproject.toml").read_text("utf-8")
    assert (tmp_path / "Бот/README.md").read_text("utf-8").startswith("# other\n")


@pytest.mark.parametrize("words", [("Бот",), ("my-bot", "--name", "My Bot"), ("my-bot", "--owner-id", "-1")])
def test_bad_answers_write_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = call(tmp_path / words[0], *words[1:])
    assert isinstance(result.exception, errors.ScaffoldError)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = call(tmp_path, "--name", "my-bot")
    assert isinstance(result.exception, errors.ScaffoldError)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("config", "name", "email"),
    [("", "Persais", "persais@localhost"), ("[user]\nname = Ada\nemail = ada@example.org\n", "Ada", "ada@example.org")],
)
async def test_the_first_commit_is_by_whoever_git_knows(tmp_path: Path, config: str, name: str, email: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(config)
    program = "from persais_core.cli.new import app; app()"
    argv = (sys.executable, "-c", program, "my-bot")
    outcome = await processes.run(processes.Command(argv, tmp_path, {"HOME": str(home), "PATH": "/usr/bin:/bin"}))
    assert outcome, outcome.stderr
    author = pygit2.Repository(str(tmp_path / "my-bot")).head.peel(pygit2.Commit).author
    assert (author.name, author.email) == (name, email)
