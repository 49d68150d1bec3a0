"""What a release finds out about its agents before it takes over."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from persais_core import Agent, Context, Message, Record, Reply
from persais_core.agents import rehearsal
from persais_core.domain import examples

HELLO = "agent: echo\nexamples:\n  - say: Hello World\n    expect: 'Echo: Hello World'\n"


class Note(Record, table=True):
    __tablename__ = "agent_rehearsal_notes"

    text: str


class Echo(Agent):
    """Repeats."""

    name = "echo"

    async def reply(self, message: Message, context: Context) -> str | Reply:
        return f"Echo: {message.text}"


class Hidden(Echo):
    async def reply(self, message: Message, context: Context) -> str | Reply:
        await context.records(Note).add(Note(text=message.text))
        notes = await context.records(Note).list()
        return Reply(text=" ".join(["Echo:", *(note.text for note in notes)]))


class Broken(Echo):
    async def reply(self, message: Message, context: Context) -> str | Reply:
        raise ValueError("boom \ud800")


class Leaving(Echo):
    async def reply(self, message: Message, context: Context) -> str | Reply:
        raise SystemExit(3)


class Poet(Agent):
    name = "echo"
    prompt = "You write poems."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / examples.FOLDER).mkdir(parents=True)
    (tmp_path / examples.FOLDER / "echo.yaml").write_text(HELLO)
    return tmp_path


async def test_a_release_without_examples_has_nothing_to_rehearse(tmp_path: Path) -> None:
    assert await rehearsal.rehearse(tmp_path, [Broken()]) is None


@pytest.mark.parametrize("agent", [Echo, Hidden, Poet])
async def test_agents_that_answer_as_they_should_or_are_prompts_may_take_over(root: Path, agent: type[Agent]) -> None:
    assert await rehearsal.rehearse(root, [agent()]) is None


async def test_an_agent_that_raises_is_named_with_its_example(root: Path) -> None:
    assert await rehearsal.rehearse(root, [Broken()]) == (
        "echo: when told 'Hello World' it must answer 'Echo: Hello World', but it raised ValueError: boom ?"
    )


async def test_an_agent_that_is_gone_is_named(root: Path) -> None:
    assert "there is no agent of this name" in str(await rehearsal.rehearse(root, []))


async def test_an_agent_that_ends_the_program_ends_only_its_rehearsal(root: Path) -> None:
    with pytest.raises(rehearsal.errors.AgentError, match="by SystemExit: 3"):
        await rehearsal.rehearse(root, [Leaving()])


async def test_an_agent_that_never_comes_back_is_named_in_time(root: Path) -> None:
    let_go = threading.Event()

    class Stuck(Echo):
        async def reply(self, message: Message, context: Context) -> str | Reply:
            let_go.wait()
            return ""

    try:
        told = await rehearsal.rehearse(root, [Stuck()], seconds=0.2)
    finally:
        let_go.set()
    assert told == "trying the examples took more than 0.2 s; the last was echo at 'Hello World'"


async def test_a_file_that_cannot_be_used_is_named(root: Path) -> None:
    (root / examples.FOLDER / "echo.yaml").write_text("agent: [\n")
    with pytest.raises(examples.ExamplesError, match=r"tests/examples/echo.yaml is no YAML"):
        await rehearsal.rehearse(root, [Echo()])
