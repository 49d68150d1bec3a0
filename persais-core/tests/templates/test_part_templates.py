"""What the templates render, and what they refuse, without running any of it."""

import ast
from pathlib import Path

import pytest

from persais_core import errors
from persais_core.domain import names
from persais_core.domain.plans import FieldSpec, Part
from persais_core.templates import engine, naming

ECHO = Part(
    kind="agent",
    name="echo",
    title="Echo",
    emoji="🎭",
    keywords=("echo", "эхо"),
    description="Repeats the user's message.",
)
FIELDS = (FieldSpec(name="name", type="str"), FieldSpec(name="age", type="int", optional=True))
SCHEMA = Part(kind="schema", name="characters", fields=FIELDS)
TOOL = Part(kind="tool", name="characters")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("bot/agents", "bot/tools", "bot/schemas", "bot/migrations/versions"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_whole_number_gets_a_column_of_64_bits() -> None:
    numbers = (FieldSpec(name="age", type="int", optional=True), FieldSpec(name="gold", type="int"))
    part = Part(kind="schema", name="characters", fields=numbers)
    source = engine.render(part)["bot/schemas/characters.py"]
    assert "    age: int | None = Field(default=None, sa_type=BigInteger)\n" in source
    assert "    gold: int = Field(sa_type=BigInteger)\n" in source
    _, migration = engine.render_migration(part, None)
    assert 'sa.Column("gold", sa.BigInteger(), nullable=False)' in "".join(migration.values())


def test_an_agent_is_rendered_as_documented() -> None:
    assert engine.render(ECHO) == {
        "bot/agents/echo.py": '''"""Echo: repeats the user's message."""

from persais_core import Agent, Context, Message


class Echo(Agent):
    """Repeats the user's message."""

    name = "echo"
    title = {"en": "Echo", "ru": "Echo"}
    emoji = "🎭"
    keywords = ("echo", "эхо")

    async def reply(self, message: Message, context: Context) -> str:
        """Answer one message."""
        return message.text
''',
        "tests/agents/test_echo.py": '''"""What Echo promises."""

from bot.agents.echo import Echo
from persais_core import Message
from persais_core.testing import context_for


async def test_echo_answers() -> None:
    reply = await Echo().reply(Message(text="Hello World"), context_for(Echo))
    assert reply == "Hello World"
''',
    }


def test_values_of_a_hostile_model_stay_data() -> None:
    evil = '"""\nimport os; os.system("x")\n"""'
    part = Part(kind="agent", name="echo", title=evil, emoji=evil, keywords=(evil, "\\", '"', ""), description=evil)
    for text in engine.render(part).values():
        tree = ast.parse(text)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "system"]
        assert max(map(len, text.splitlines())) <= 110


def test_a_missing_description_is_in_the_chosen_language() -> None:
    part = Part(kind="agent", name="echo")
    assert '"""Answers messages."""' in engine.render(part)["bot/agents/echo.py"]
    assert '"""Отвечает на сообщения."""' in engine.render(part, "ru")["bot/agents/echo.py"]


def test_a_tool_beside_its_schema_gets_the_schemas_fields(root: Path) -> None:
    made = engine.scaffold(root, [SCHEMA, TOOL])
    assert "add_character(" in (root / "bot/tools/characters.py").read_text()
    assert made == (
        "bot/schemas/characters.py",
        "tests/schemas/test_characters.py",
        "bot/tools/characters.py",
        "tests/tools/test_characters.py",
    )


def test_a_dry_run_writes_nothing(root: Path) -> None:
    before = files_in(root)
    assert engine.scaffold(root, [ECHO], dry_run=True) == ("bot/agents/echo.py", "tests/agents/test_echo.py")
    assert files_in(root) == before


def test_an_existing_file_is_named_and_nothing_is_written(root: Path) -> None:
    (root / "bot/tools/characters.py").write_text("mine")
    before = files_in(root)
    with pytest.raises(errors.ScaffoldError, match=r"bot/tools/characters\.py"):
        engine.scaffold(root, [ECHO, SCHEMA, TOOL])
    assert files_in(root) == before
    assert (root / "bot/tools/characters.py").read_text() == "mine"


def test_a_file_that_cannot_be_written_takes_the_others_back(root: Path) -> None:
    (root / "tests").mkdir()
    (root / "tests/agents").write_text("a file where a directory should be")
    before = files_in(root)
    with pytest.raises(errors.ScaffoldError, match="nothing was changed"):
        engine.scaffold(root, [ECHO])
    assert files_in(root) == before


def test_a_linked_directory_cannot_lead_outside(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (root / "bot/agents").rmdir()
    (root / "bot/agents").symlink_to(elsewhere)
    with pytest.raises(errors.ScaffoldError, match="outside"):
        engine.scaffold(root, [ECHO])
    assert files_in(elsewhere) == []


def test_the_same_part_twice_is_refused(root: Path) -> None:
    with pytest.raises(errors.ScaffoldError, match="twice"):
        engine.scaffold(root, [ECHO, ECHO])


@pytest.mark.parametrize("name", sorted(names.BUILT_IN_AGENTS | names.BUILT_IN_COMMANDS))
def test_names_of_built_in_agents_and_commands_are_refused(name: str) -> None:
    with pytest.raises(errors.ScaffoldError, match=name):
        engine.render(Part(kind="agent", name=name))
    engine.render(Part(kind="tool", name=name))


@pytest.mark.parametrize("name", ["class", "Echo", "1st", "a b", "../x", "a" * 41, "match", ""])
def test_a_bad_name_is_one_plain_sentence(name: str) -> None:
    with pytest.raises(errors.ScaffoldError) as caught:
        engine.part("agent", name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("name:str", FieldSpec(name="name", type="str")),
        ("age:int?", FieldSpec(name="age", type="int", optional=True)),
        (" at:datetime ", FieldSpec(name="at", type="datetime")),
    ],
)
def test_a_field_is_read(text: str, spec: FieldSpec) -> None:
    assert engine.parse_field(text) == spec


@pytest.mark.parametrize(
    "text",
    ["name", "name:", ":str", "name:text", "Name:str", "na me:str", "class:str", "id:int", "created_by:int",
     "metadata:str", "model_dump:str", "context:str", "int:int", "name:str??", "x\ny:str", "__class__:str"],
)  # fmt: skip
def test_a_field_that_cannot_be_a_column_is_refused(text: str) -> None:
    with pytest.raises(errors.ScaffoldError):
        engine.parse_field(text)


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(errors.ScaffoldError, match="twice"):
        engine.render(Part(kind="schema", name="notes", fields=(FIELDS[0], FIELDS[0])))


def test_a_schema_without_fields_is_refused() -> None:
    with pytest.raises(errors.ScaffoldError, match="no fields"):
        engine.render(Part(kind="schema", name="notes"))


@pytest.mark.parametrize(
    ("many", "one"),
    [("characters", "character"), ("diaries", "diary"), ("movies", "movie"), ("boxes", "box"), ("status", "status"),
     ("news", "news"), ("diary", "diary"), ("class_notes", "class_note"), ("glasses", "glass"), ("bus", "bus")],
)  # fmt: skip
def test_a_schema_is_named_in_the_plural_and_its_class_in_the_singular(many: str, one: str) -> None:
    assert naming.singular(many) == one


def test_migrations_of_one_scaffold_stand_on_each_other(root: Path) -> None:
    places = Part(kind="schema", name="places", fields=FIELDS)
    made = engine.scaffold(root, [SCHEMA, places], migrations=True)
    first, second = (Path(path).name for path in made if path.startswith(engine.VERSIONS))
    text = (root / engine.VERSIONS / second).read_text()
    assert f'down_revision = "{first.partition("_")[0]}"' in text
    third = engine.scaffold(root, [Part(kind="schema", name="trips", fields=FIELDS)], migrations=True)[-1]
    assert f'down_revision = "{second.partition("_")[0]}"' in (root / third).read_text()


def test_the_project_is_found_from_any_directory_inside(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert engine.project_root(root / "bot" / "agents") == root
    with pytest.raises(errors.ProjectError, match="persais new"):
        engine.project_root(tmp_path_factory.mktemp("empty"))
