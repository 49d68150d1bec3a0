"""`persais git` and `persais code`: the Mechanic's tools in a person's hands, on their own project."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pygit2
import pytest
from typer.testing import CliRunner, Result

import minds
from persais_core import errors
from persais_core.cli import git, new
from persais_core.domain.plans import FieldSpec, Part
from persais_core.git.repository import Repository
from persais_core.settings import child_environment
from persais_core.templates import engine, projects

ROOT = Path(__file__).parents[3]
PARROT = "bot/agents/parrot.py"
LOUDER = minds.search_replace(PARROT, "        return message.text\n", "        return message.text.upper()\n")


@pytest.fixture
async def mind() -> AsyncIterator[minds.Mind]:
    async with minds.serving() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "bot"
    with projects.prepared(folder) as fresh:
        projects.render(fresh, name="my-bot")
        engine.scaffold(fresh, [Part(kind="agent", name="parrot")])
        new.commit_all(fresh, "Start")
    return folder


async def persais(project: Path, *words: str, **settings: str) -> tuple[int, str]:
    """Run a command in a project; its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "persais_core", *words,
        cwd=project, env=child_environment(PERSAIS_HOME=str(project.parent / "home"), **settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def look(project: Path, *words: str) -> Result:
    return CliRunner().invoke(git.app, [*words, "--root", str(project)])


def test_the_repository_is_looked_into_and_nothing_else(project: Path) -> None:
    assert "main" in look(project, "branches").output
    assert "Start" in look(project, "log").output
    assert "class Parrot" in look(project, "show", PARROT).output
    assert "nothing differs" in look(project, "diff").output
    assert PARROT in look(project, "show").output, "the first commit is told by its files"
    (project / PARROT).write_text("PARROT = 1\n")
    repository = pygit2.Repository(str(project))
    repository.index.add_all()
    who = pygit2.Signature("me", "me@localhost")
    made = repository.create_commit("HEAD", who, who, "Less", repository.index.write_tree(), [repository.head.target])
    for change in ([], ["main"], [str(made)[:8]]):
        assert "+PARROT = 1" in look(project, "show", *change).output, change
    for words in (("show", "../../etc/passwd"), ("show", "nothing.py"), ("log", "--limit", "999"), ("diff", "nosuch")):
        assert isinstance(look(project, *words).exception, errors.GitError), words


async def test_the_coder_edits_what_is_named_and_leaves_the_rest_to_the_person(
    project: Path, own_url: str, mind: minds.Mind
) -> None:
    settings = {
        "DATABASE_URL": own_url, "LLM_BASE_URL": mind.url, "DEFAULT_MODEL": "test-model", "ALLOW_UNSANDBOXED": "1",
        "AIDER_VENV": os.environ.get("PERSAIS_AIDER_VENV", str(ROOT / ".persais" / "aider-venv")),
    }  # fmt: skip
    (project / ".env").write_text("NOTE=mine\n")
    mind.coder[:] = [LOUDER]
    code, said = await persais(project, "code", "Answer in capitals.", "--edit", PARROT, **settings)
    assert (code, f"edited {PARROT}" in said, "The coder changed 1 file." in said) == (0, True, True), said
    changed = await Repository(project).changed(await Repository(project).head(), project)
    assert {file.path for file in changed} == {PARROT, ".env"}
    assert (project / ".env").read_text() == "NOTE=mine\n"
    code, said = await persais(project, "code", "Again.", "--edit", PARROT, **settings)
    assert (code, "differs from the last commit" in said) == (1, True)
    (project / PARROT).write_text(await Repository(project).read(await Repository(project).head(), PARROT))
    mind.coder[:] = ["I would rather leave it as it is."]
    code, said = await persais(project, "code", "Again.", "--edit", PARROT, **settings)
    assert (code, "changed no file, and said: I would rather" in said, "no_edits" in said) == (1, True, False), said


async def test_check_says_which_checks_were_not_run_and_why(project: Path) -> None:
    engine.scaffold(project, [Part(kind="schema", name="visits", fields=(FieldSpec(name="place", type="str"),))])
    code, said = await persais(project, "check", "--only", "migrations")
    assert code == 1 and "no bot is running in this folder" in said
    planted = project / "bot/agents/parrot.py"
    planted.write_text(planted.read_text() + f"\nKEY = 'ghp_{'a1B2' * 9}'\n")
    code, said = await persais(project, "check")
    left_out = [line for line in said.splitlines() if line.startswith("➖")]
    assert code == 1
    assert [line.split()[1] for line in left_out] == ["paths", "lint", "typecheck", "migrations", "tests", "examples"]
    assert "your own business" in left_out[0] and "secrets comes first" in left_out[1]
    assert "a schema changed" in left_out[3] and "no bot is running in this folder" in left_out[3]
