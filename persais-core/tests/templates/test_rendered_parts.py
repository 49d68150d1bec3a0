"""What the templates render is green before anybody touches it: lint, types, its own tests, its own migration."""

import os
import sys
from pathlib import Path

import pytest

from persais_core import processes
from persais_core.domain.plans import FieldSpec, Part
from persais_core.templates import engine, projects

BIN = Path(sys.executable).parent
EVIL = 'He said """hi"""; \\" \u202e and left\\'
LONG = "abcdefghi_" * 4
FIELDS = tuple(
    FieldSpec(name=f"{kind}_{'maybe' if optional else 'always'}", type=kind, optional=optional)
    for kind in ("str", "int", "float", "bool", "datetime", "date")
    for optional in (True, False)
)
AWKWARD_FIELDS = tuple(
    FieldSpec(name=name, type=kind, optional=True)
    for name, kind in (("date", "date"), ("datetime", "datetime"), ("type", "str"), ("list", "str"), ("order", "int"),
                       ("user", "str"), ("limit", "int"), ("record", "str"), (LONG.strip("_")[:39], "datetime"))
)  # fmt: skip
PARTS = (
    Part(kind="agent", name="echo", title="Echo", emoji="🎭", keywords=("echo", "эхо"), description="Repeats words."),
    Part(
        kind="agent", name="evil", title=EVIL, emoji="👩\u200d👧", keywords=(EVIL, "x" * 90) * 4, description=EVIL * 9
    ),
    Part(kind="agent", name=LONG, title="宽" * 90, description="宽" * 500),
    *(Part(kind="agent", name=name) for name in ("agent", "context", "none", "true", "json", "test_it", "x")),
    Part(kind="tool", name="weather", title=EVIL, description=EVIL),
    Part(kind="tool", name=LONG),
    *(Part(kind="tool", name=name) for name in ("context", "context_for", "text", "print", "test_it", "json")),
    Part(kind="schema", name="characters", title=EVIL, description=EVIL, fields=FIELDS),
    Part(kind="tool", name="characters"),
    Part(kind="schema", name="record", fields=AWKWARD_FIELDS),
    Part(kind="tool", name="record"),
    Part(kind="schema", name="exceptions", fields=FIELDS[:1]),
    Part(kind="schema", name="dt", fields=FIELDS),
    Part(kind="tool", name="dt"),
    Part(kind="schema", name=LONG[:38] + "xy", fields=FIELDS),
    Part(kind="tool", name=LONG[:38] + "xy"),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered")
    projects.render(root, name="my-bot")
    engine.scaffold(root, PARTS, migrations=True)
    return root


async def run(project: Path, *argv: str, **env: str) -> processes.Outcome:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return await processes.run(processes.Command(argv, project, inherited | env, timeout_seconds=120))


async def test_it_is_clean_under_ruff(project: Path) -> None:
    outcome = await run(project, str(BIN / "ruff"), "check", "--no-cache", ".")
    assert outcome, outcome.stdout
    outcome = await run(project, str(BIN / "ruff"), "format", "--no-cache", "--check", "bot", "tests")
    assert outcome, outcome.stdout


async def test_no_line_is_too_long(project: Path) -> None:
    for path in [*project.glob("bot/**/*.py"), *project.glob("tests/**/*.py")]:
        for line in path.read_text("utf-8").splitlines():
            assert len(line) <= 110, f"{path}: {line}"


async def test_it_is_clean_under_the_type_checker(project: Path) -> None:
    outcome = await run(project, str(BIN / "pyrefly"), "check", "--python-interpreter-path", sys.executable)
    errors = [line for line in outcome.stdout.splitlines() if line.startswith("ERROR")]
    assert not errors, outcome.stdout


async def test_its_own_tests_pass_on_postgres(project: Path) -> None:
    outcome = await run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert outcome, outcome.stdout
    assert "skipped" not in outcome.stdout


async def test_its_own_tests_pass_in_a_sandbox_too(project: Path) -> None:
    outcome = await run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", PERSAIS_SANDBOX="1")
    assert outcome, outcome.stdout


async def test_its_migrations_make_what_its_schemas_declare_and_take_it_back(
    project: Path, persais_database: str | None
) -> None:
    assert persais_database

    async def migrate(*words: str) -> processes.Outcome:
        program = "from persais_core.cli.migrate import app; app()"
        return await run(project, sys.executable, "-c", program, *words, DATABASE_URL=persais_database)

    behind = await migrate("status")
    assert behind.exit_code == 1
    assert "persais migrate up" in behind.stdout
    assert await migrate("up")
    equal = await migrate("status")
    assert equal, equal.stdout + equal.stderr
    nothing = await migrate("new", "whatever")
    assert "Nothing to do" in nothing.stdout
    back = await migrate("down", "base")
    assert "No migration has been run" in back.stdout
    assert await migrate("up")


async def test_a_field_added_by_hand_becomes_a_migration(tmp_path: Path, persais_database: str | None) -> None:
    assert persais_database
    projects.render(tmp_path, name="my-bot")
    engine.scaffold(tmp_path, [Part(kind="schema", name="notes", fields=FIELDS[:1])], migrations=True)

    async def migrate(*words: str) -> processes.Outcome:
        program = "from persais_core.cli.migrate import app; app()"
        return await run(tmp_path, sys.executable, "-c", program, *words, DATABASE_URL=persais_database)

    assert await migrate("up")
    source = tmp_path / "bot/schemas/notes.py"
    source.write_text(source.read_text() + "    place: str | None = None\n")
    differs = await migrate("status")
    assert "add column: agent_notes.place" in differs.stdout
    made = await migrate("new", "add a place")
    assert "add_a_place.py" in made.stdout, made.stdout + made.stderr
    assert await run(tmp_path, str(BIN / "ruff"), "check", "--no-cache", ".")
    assert await migrate("up")
    assert await migrate("status")
    assert await migrate("down", "-1")
    assert "place" not in (await migrate("up", "head")).stderr
