"""What authors of bots test with."""

import os
import sys
from pathlib import Path

import psycopg
import pytest

from persais_core import Agent, Context, Message, errors, processes
from persais_core.testing import ScriptedModel, context_for


class Poet(Agent):
    """Writes poems."""

    name = "poet"
    prompt = "You are a poet."


async def run(folder: Path, *argv: str, **env: str) -> processes.Outcome:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return await processes.run(processes.Command((sys.executable, *argv), folder, inherited | env, timeout_seconds=60))


async def test_a_scripted_model_answers_in_order_and_remembers_the_questions() -> None:
    model = ScriptedModel(replies=["one", "two"])
    context = context_for(Poet, model=model)
    assert await context.ask("first", system="be short") == "one"
    assert await context.ask("second") == "two"
    assert [(question.prompt, question.system) for question in model.questions] == [
        ("first", "be short"),
        ("second", ""),
    ]


async def test_a_question_without_a_reply_left_says_so() -> None:
    with pytest.raises(errors.ModelError, match="question 1 has no scripted reply"):
        await context_for().ask("hello")


async def test_an_agent_with_a_prompt_asks_the_model() -> None:
    model = ScriptedModel(replies=["roses"])
    reply = await Poet().reply(Message(text="flowers"), context_for(Poet, model=model))
    assert getattr(reply, "text", reply) == "roses"
    assert model.questions[0].system == "You are a poet."


def test_a_context_is_for_the_user_and_language_asked_for() -> None:
    context: Context = context_for(user_id=7, language="ru")
    assert (context.user.id, context.language) == (7, "ru")


async def test_the_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import persais_core.testing.plugin, sys;"
        "print([m for m in ('sqlalchemy', 'pydantic', 'psycopg', 'jinja2', 'alembic') if m in sys.modules])"
    )
    outcome = await run(tmp_path, "-c", program)
    assert outcome.stdout == "[]\n", outcome.stderr


async def test_a_project_that_uses_no_fixture_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\n\ndef test_plain():\n    assert 'sqlalchemy' not in sys.modules\n"
    )
    outcome = await run(tmp_path, "-m", "pytest", "-q", "-p", "no:langsmith_plugin", "-p", "no:cacheprovider")
    assert "1 passed" in outcome.stdout, outcome.stdout


async def test_each_test_gets_a_fresh_database_and_none_is_left(tmp_path: Path, persais_database: str | None) -> None:
    assert persais_database
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\npythonpath = .\n")
    (tmp_path / "bot/schemas").mkdir(parents=True)
    for package in ("bot", "bot/schemas"):
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "bot/schemas/notes.py").write_text(
        "from persais_core import Record\n\n\n"
        "class Note(Record, table=True):\n    __tablename__ = 'agent_notes'\n    text: str\n"
    )
    (tmp_path / "test_notes.py").write_text(
        "import pytest\n"
        "from bot.schemas.notes import Note\n\n\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "async def test_fresh(context, number):\n"
        "    assert list(await context.records(Note).list()) == []\n"
        "    assert (await context.records(Note).add(Note(text='a'))).id == 1\n"
    )
    before = left_behind(persais_database)
    outcome = await run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", DATABASE_URL=persais_database)
    assert "2 passed" in outcome.stdout, outcome.stdout
    assert left_behind(persais_database) == before


def left_behind(url: str) -> set[str]:
    """Names of databases and roles."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select datname from pg_database where datname like 'persais_test_%' "
            "union all select rolname from pg_roles where rolname like 'persais_agents_%'"
        )
        return {name for (name,) in found}


async def test_an_address_that_does_not_answer_is_one_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (tmp_path / "test_it.py").write_text("async def test_it(context):\n    pass\n")
    url = f"postgresql://nobody@/none?host={tmp_path}"
    outcome = await run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", DATABASE_URL=url)
    assert "no database for tests could be made" in outcome.stdout
