"""A new project: what it holds, and that it appears whole or not at all."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from persais_core import errors, settings
from persais_core.templates import projects

REPOSITORY = Path(__file__).resolve().parents[3]
MADE_BY_TOOLS = {"__pycache__", ".persais", ".pytest_cache", ".ruff_cache"}


def contents(folder: Path) -> dict[str, str]:
    """Relative path to text of everything that belongs to the project."""
    made = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in MADE_BY_TOOLS]
        for file in files:
            path = Path(parent) / file
            made[str(path.relative_to(folder))] = path.read_text("utf-8")
    return made


def test_the_app_in_the_repository_is_what_new_makes(tmp_path: Path) -> None:
    projects.render(tmp_path, name="persais-app")
    rendered, kept = contents(tmp_path), contents(REPOSITORY / "persais-app")
    assert sorted(rendered) == sorted(kept)
    for path, text in rendered.items():
        assert kept[path] == text, path


def test_every_setting_is_explained_and_no_other(tmp_path: Path) -> None:
    projects.render(tmp_path, name="my-bot")
    lines = (tmp_path / ".env.example").read_text().splitlines()
    named = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    assert sorted(named) == sorted(name.upper() for name in settings.Settings.model_fields)
    for number, line in enumerate(lines):
        if re.match(r"[A-Z_]+=", line):
            assert lines[number - 1].startswith("#") or re.match(r"[A-Z_]+=", lines[number - 1]), line


def test_a_copied_example_changes_no_default(tmp_path: Path) -> None:
    projects.render(tmp_path, name="my-bot")
    example = settings.Settings(_env_file=tmp_path / ".env.example")
    assert example == settings.Settings(_env_file=None)


def test_the_owner_is_an_admin_from_the_first_start(tmp_path: Path) -> None:
    files = projects.render(tmp_path, name="my-bot", owner_id=42)
    assert ".env" in files
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert settings.Settings(_env_file=tmp_path / ".env").admin_user_ids == {42}


def test_without_an_owner_there_is_no_env_file(tmp_path: Path) -> None:
    assert ".env" not in projects.render(tmp_path, name="my-bot")


def test_the_readme_speaks_the_chosen_language(tmp_path: Path) -> None:
    for language, words in (("en", "Start it"), ("ru", "Запуск")):
        folder = tmp_path / language
        folder.mkdir()
        projects.render(folder, name="my-bot", language=language)
        assert words in (folder / "README.md").read_text("utf-8")


def test_no_path_of_this_machine_is_left_in_it(tmp_path: Path) -> None:
    projects.render(tmp_path, name="my-bot")
    for path, text in contents(tmp_path).items():
        assert str(projects.SKELETON.parent) not in text, path
        assert str(tmp_path) not in text, path
        assert "{{" not in text.replace("${{", ""), path
        assert "{%" not in text, path


def test_its_project_file_names_the_bot_and_the_framework(tmp_path: Path) -> None:
    projects.render(tmp_path, name="my-bot")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-bot"
    assert project["dependencies"] == ["persais-core[local]"]


@pytest.mark.parametrize(
    "name", ["My-Bot", "bot_1", "1bot", "-bot", "bot-", "a" * 61, "", "a\n", "persais-core", "бот"]
)
def test_a_bad_project_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ScaffoldError):
        projects.render(tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_follows_from_the_directory() -> None:
    assert projects.name_from(Path("/somewhere/My Bot_2")) == "my-bot-2"
    with pytest.raises(errors.ScaffoldError, match="--name"):
        projects.name_from(Path("/somewhere/бот"))


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), projects.prepared(tmp_path / "bot") as fresh:
        (fresh / "half").write_text("")
        raise RuntimeError("power cut")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_filled_and_stays_the_same_directory(tmp_path: Path) -> None:
    before = tmp_path.stat().st_ino
    with projects.prepared(tmp_path) as fresh:
        (fresh / "file").write_text("text")
    assert tmp_path.stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["file", "full directory", "link to nothing"])
def test_a_place_that_is_taken_is_left_alone(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "bot"
    if kind == "file":
        target.write_text("mine")
    elif kind == "full directory":
        target.mkdir()
        (target / "mine").write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.ScaffoldError), projects.prepared(target):
        raise AssertionError("the block must not be entered")
    assert [path.name for path in tmp_path.iterdir()] == ["bot"]
