"""The offline model writing code: against files as aider shows them, and through real aider."""

import ast
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob
from persais_core.domain import plans
from persais_core.emulators.model import OfflineModel, behaviours, brain, editor, names, planner
from persais_core.templates import engine

KEY = "local-key-12345"

AGENT = '''"""Echo: repeats the user's message."""

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
'''

TEST = '''"""What Echo promises."""

from bot.agents.echo import Echo
from persais_core import Message
from persais_core.testing import context_for


async def test_echo_answers() -> None:
    reply = await Echo().reply(Message(text="Hello World"), context_for(Echo))
    assert reply == "Hello World"
'''

ECHO = behaviours.Behaviour("repeat", "Echo: ")


def test_the_answer_and_the_expectation_of_its_test_are_rewritten() -> None:
    agent, test = editor.answering(AGENT, ECHO), editor.answering(TEST, ECHO)
    assert '        return "Echo: " + message.text\n' in agent
    assert agent.replace('"Echo: " + ', "", 1) == AGENT
    assert '    assert reply == "Echo: Hello World"\n' in test
    assert editor.answering(agent, ECHO) == agent, "a second round has nothing to do"
    assert editor.answering(test, ECHO) == test


def test_a_longer_reply_is_replaced_whole_and_its_docstring_stays() -> None:
    longer = AGENT.replace(
        "        return message.text\n",
        "        text = message.text\n        if text:\n            return text\n        return ''\n",
    )
    assert editor.answering(longer, behaviours.Behaviour("upper")) == AGENT.replace(
        "return message.text", "return message.text.upper()"
    )


@pytest.mark.parametrize("source", ["", "def broken(:\n", "X = 1\n", '"""Only words."""\n'])
def test_files_without_an_answer_are_left_alone(source: str) -> None:
    assert editor.answering(source, ECHO) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Doc."""\n\nimport re\n', '"""Doc."""\n\n# Note\n\nimport re\n'),
        ('"""Doc.\n\nMore.\n"""\nX = 1\n', '"""Doc.\n\nMore.\n"""\n\n# Note\n\nX = 1\n'),
        ("import re\n", "# Note\n\nimport re\n"),
        ('"""Doc."""\n', '"""Doc."""\n\n# Note\n\n'),
        ("", "# Note\n"),
    ],
)
def test_a_comment_stands_under_the_docstring(source: str, expected: str) -> None:
    assert editor.commented(source, "Note").rstrip() == expected.rstrip()
    assert editor.commented(expected, "Note") == expected
    ast.parse(editor.commented(source, "Note"))


def conversation(task: str, files: dict[str, str], fence: str = "```") -> list[editor.Said]:
    shown = "".join(f"\n{path}\n{fence}\n{text}{fence}\n" for path, text in files.items())
    return [
        ("system", "All changes to files must use this *SEARCH/REPLACE block* format."),
        ("user", "Change get_factorial() to use math.factorial"),
        ("assistant", "example"),
        ("user", f"I have *added these files to the chat* so you can go ahead and edit them.\n\n{shown}"),
        ("assistant", "Ok."),
        ("user", f"{task}\n\n# *SEARCH/REPLACE block* Rules:\n\nuse ```python\n<<<<<<< SEARCH"),
    ]


def test_blocks_are_copied_from_the_files_that_were_shown() -> None:
    shown = {"bot/agents/echo.py": AGENT.replace("    ", "  "), "tests/agents/test_echo.py": TEST}
    text = brain.answer(conversation(f"Task:\n1. {ECHO.step()}", shown))
    assert "bot/agents/echo.py\n```python\n<<<<<<< SEARCH\n    return message.text\n=======\n" in text
    assert text.count("<<<<<<< SEARCH") == 2
    assert brain.answer(conversation("Task: write a game", shown)) == editor.UNKNOWN
    done = {path: editor.answering(source, ECHO) for path, source in shown.items()}
    assert brain.answer(conversation(f"Task:\n1. {ECHO.step()}\nThese checks failed:\nx", done)) == editor.NOTHING


def test_only_the_file_of_the_comment_gets_it() -> None:
    step = planner.comment_step('Say "hi"', "bot/schemas/characters.py")
    shown = {"bot/agents/echo.py": AGENT, "bot/schemas/characters.py": '"""C."""\n\nX = "`````"\n'}
    text = brain.answer(conversation(f"Task: {step}", shown))
    assert text.count("<<<<<<< SEARCH") == 1
    assert '# Say "hi"\n' in text


def test_without_files_nothing_is_claimed() -> None:
    assert brain.answer(conversation(f"Task: {ECHO.step()}", {})) == editor.UNKNOWN


@pytest.mark.parametrize("kind", ["repeat", "prefix", "suffix", "upper", "lower", "reverse"])
@pytest.mark.parametrize("title", ["Echo", "Щука и Ёж", "Abcdefghij Klmnopqrst Uvwxyz Abcdefgh"])
def test_what_the_templates_render_can_be_filled(kind: behaviours.Kind, title: str) -> None:
    part = plans.Part(kind="agent", name=names.file_name(title) or "", title=title, description="Does it.")
    behaviour = behaviours.Behaviour(kind, f"{title}: " if kind in {"repeat", "prefix", "suffix"} else "")
    rendered = engine.render(part)
    for path, text in rendered.items():
        filled = editor.answering(text, behaviour)
        assert filled != text, path
        ast.parse(filled)
        assert max(map(len, filled.splitlines())) <= 120
        wanted = behaviour.answer("Hello World") if path.startswith("tests/") else behaviour.body("message.text")[-1]
        assert wanted in filled
        assert editor.answering(filled, behaviour) == filled, "a second round has nothing to do"


@pytest.fixture(scope="module")
def offline_url() -> Iterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = Starlette(routes=OfflineModel(key=KEY).routes)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.aider
async def test_real_aider_fills_the_scaffold_with_the_offline_model(tmp_path: Path, offline_url: str) -> None:
    given = os.environ.get("PERSAIS_AIDER_VENV")
    coder = AiderCoder(Path(given) if given else Path(__file__).parents[3] / ".persais" / "aider-venv")
    if not given:
        await coder.prepare(print)
    files = {
        "bot/agents/echo.py": AGENT,
        "tests/agents/test_echo.py": TEST,
        "bot/schemas/characters.py": '"""Characters."""\n\nX = """\n```\n"""\n',
    }
    comment = planner.comment_step("Привет", "bot/schemas/characters.py")
    (tmp_path / "scratch").mkdir()
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    job = CodeJob(
        root=tmp_path / "tree",
        edit=tuple(files),
        message=f"Task: a new agent\n1. {ECHO.step()}\n2. {comment}",
        model="offline",
        base_url=offline_url,
        api_key=KEY,
        timeout_seconds=60.0,
        scratch=tmp_path / "scratch",
    )
    result = await coder.run(job)
    assert (result.status, result.requests) == ("edited", 1), result.detail
    assert result.edited == tuple(sorted(files))
    assert (tmp_path / "tree/bot/agents/echo.py").read_text() == editor.answering(AGENT, ECHO)
    assert (tmp_path / "tree/tests/agents/test_echo.py").read_text() == editor.answering(TEST, ECHO)
    assert (tmp_path / "tree/bot/schemas/characters.py").read_text().startswith('"""Characters."""\n\n# Привет\n\nX')
    assert result.tokens_in > 0 and result.cost == 0
