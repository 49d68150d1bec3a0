"""`persais scaffold`, as typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from persais_core import errors
from persais_core.cli import scaffold
from persais_core.templates import projects


@pytest.fixture
def project(tmp_path: Path) -> Path:
    projects.render(tmp_path, name="my-bot")
    return tmp_path


def call(project: Path, *words: str) -> Result:
    return CliRunner().invoke(scaffold.app, [*words, "--root", str(project)])


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_agent_is_made_with_what_was_said_about_it(project: Path) -> None:
    words = ("--title", "Echo", "--keyword", "echo", "--keyword", "эхо", "--description", "Repeats words.")
    result = call(project, "agent", "echo", *words)
    assert result.exit_code == 0, result.output
    assert "echo.py" in result.output
    assert 'keywords = ("echo", "эхо")' in (project / "bot/agents/echo.py").read_text("utf-8")
    assert (project / "tests/agents/test_echo.py").exists()


def test_a_feature_is_schema_tool_tests_and_migration(project: Path) -> None:
    before = files_in(project)
    result = call(project, "feature", "characters", "name:str", "role:str?", "age:int?")
    assert result.exit_code == 0, result.output
    made = files_in(project) - before
    assert {path.rpartition("/")[0] for path in made} == {
        "bot/schemas", "bot/tools", "tests/schemas", "tests/tools", "bot/migrations/versions"
    }  # fmt: skip
    assert len(made) == 5
    assert "persais migrate up" in result.output


def test_a_dry_run_shows_and_writes_nothing(project: Path) -> None:
    before = files_in(project)
    result = call(project, "feature", "characters", "name:str", "--dry-run")
    assert result.exit_code == 0
    assert "characters.py" in result.output
    assert "nothing was written" in result.output
    assert files_in(project) == before


def test_tool_and_schema_are_made_alone(project: Path) -> None:
    assert call(project, "tool", "weather").exit_code == 0
    assert call(project, "schema", "places", "name:str").exit_code == 0
    assert {"bot/tools/weather.py", "bot/schemas/places.py"} < files_in(project)


@pytest.mark.parametrize(
    "words",
    [("agent", "master"), ("agent", "class"), ("agent", "deploy"), ("schema", "notes", "text"),
     ("feature", "notes", "id:int"), ("tool", "../notes")],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_before_anything_is_written(project: Path, words: tuple[str, ...]) -> None:
    before = files_in(project)
    result = call(project, *words)
    assert isinstance(result.exception, errors.ScaffoldError)
    assert files_in(project) == before


def test_outside_a_project_it_says_how_to_make_one(tmp_path: Path) -> None:
    result = call(tmp_path, "agent", "echo")
    assert isinstance(result.exception, errors.ProjectError)
    assert "persais new" in str(result.exception)
