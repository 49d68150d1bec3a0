"""Changing one's mind: correcting, trying again, aborting, rolling back, and versions that do not hold."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import AGENT, WITHIN, a_plan, abort, ask, git, newest, reached, ready, remote, rows, traces

import minds
from conftest import commit_everything, run_persais
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live

ECHOING = "        return message.text\n"
SAME = '        return f"{message.text}"\n'
BREAKING = """        if message.text.startswith("b"):
            raise ValueError(message.text)
        return message.text
"""


@pytest.fixture(scope="module")
async def parrot(
    tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind
) -> AsyncIterator[tuple[live.Live, Path]]:
    """A bot with one agent, and its project."""
    folder = tmp_path_factory.mktemp("parrot")
    run_persais("new", str(folder / "project"))
    run_persais("scaffold", "agent", "parrot", cwd=folder / "project")
    commit_everything(folder / "project")
    async with live.running(
        folder / "project",
        folder / "home",
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        DEFAULT_MODEL="test-model",
        MAX_COST_PER_CHANGE="0.0055",
    ) as bot:
        yield bot, folder / "project"


@pytest.fixture
async def person(parrot: tuple[live.Live, Path], mind: minds.Mind) -> AsyncIterator[ChatClient]:
    mind.forget()
    async with parrot[0].person() as somebody:
        await somebody.send("/mechanic")
        await somebody.wait_for(lambda m: m.text == "🔧 Mechanic mode activated")
        yield somebody
    mind.forget()


async def test_words_said_while_a_change_is_open_correct_its_plan(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = traces(*parrot)
    wait = asyncio.Event()
    mind.coder[:] = [wait]
    await person.send('Create an agent "Loud" that answers in upper case')
    await person.wait_for(lambda m: "answers with the message in upper case" in m.text, timeout=WITHIN)
    await person.send("no, rather in lower case")
    await person.wait_for(lambda m: "correction of change" in m.text)
    wait.set()
    await person.wait_for(lambda m: "answers with the message in lower case" in m.text, timeout=WITHIN)
    card = await ready(person)
    assert len(rows(parrot[0], "select 1 from persais.pull_requests where state = 'open'")) == 1
    await abort(person, card)
    assert traces(*parrot) == before


async def test_a_vague_request_gets_one_question_and_its_answer_is_planned(
    person: ChatClient, mind: minds.Mind
) -> None:
    mind.planner[:] = [a_plan(edit=[], question="What should it say?"), a_plan()]
    mind.coder[:] = [minds.search_replace(AGENT, ECHOING, SAME)]
    question = await ask(person, "Change the parrot")
    assert question.text == "❓ What should it say?"
    card = await ask(person, "Polly in front")
    assert "PR is ready" in card.text
    asked = [messages[-1]["content"] for kind, messages in mind.calls if kind == "plan"][1]
    assert '"corrections": ["Polly in front"]' in asked
    await abort(person, card)


async def test_what_failed_can_be_tried_again(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [a_plan()] * 2
    mind.coder[:] = ["No.", minds.search_replace(AGENT, ECHOING, SAME)]
    failed = await ask(person, "Change the parrot")
    assert [button.text for row in failed.buttons for button in row] == ["Retry", "Abort"]
    await person.press(failed, "Retry")
    card = await ready(person)
    assert "PR is ready" in card.text
    await abort(person, card)


async def test_the_same_failure_twice_ends_the_rounds_early(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [
        minds.search_replace(AGENT, ECHOING, "        return nothing_like_it\n"),
        minds.search_replace(AGENT, "        return nothing_like_it\n", "\n        return nothing_like_it\n"),
    ]
    failed = await ask(person, "Change the parrot")
    assert "Round 2 failed exactly as the one before" in failed.text
    assert [kind for kind, _ in mind.calls].count("code") == 2
    await abort(person, failed)


async def test_a_model_that_never_gets_done_is_stopped_by_the_cap(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [a_plan()] * 9
    mind.coder[:] = ["nothing", *["<<<<<<< SEARCH\nno such line\n=======\n"] * 20]
    failed = await ask(person, "Change the parrot")
    for _ in range(8):
        if "MAX_COST_PER_CHANGE" in failed.text:
            break
        await person.press(failed, "Retry")
        failed = await ready(person)
    assert "MAX_COST_PER_CHANGE" in failed.text
    await abort(person, failed)


async def test_abort_by_command_stops_the_coder_in_the_middle_and_leaves_nothing(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = traces(*parrot)
    wait = asyncio.Event()
    mind.coder[:] = [wait]
    await person.send('Create an agent "Slow" that answers in upper case')
    await person.wait_for(lambda m: "Writing the code" in m.text, timeout=WITHIN)
    await person.send("/abort")
    await person.wait_for(lambda m: "was aborted" in m.text, timeout=WITHIN)
    wait.set()
    assert traces(*parrot) == before
    await person.send("/abort")
    await person.wait_for(lambda m: m.text == "There is no change that could be aborted.")


@pytest.mark.parametrize("state", ["planning", "scaffolding", "coding", "verifying", "delivering", "awaiting_approval"])
async def test_abort_in_any_state_leaves_nothing(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind, state: str
) -> None:
    bot, _ = parrot
    before = traces(*parrot)
    earlier = newest(bot)
    wait = asyncio.Event()
    if state == "planning":
        mind.planner[:] = [wait]
    if state == "coding":
        mind.coder[:] = [wait]
    await person.send(f'Create an agent "S{state.replace("_", "")}" that answers in upper case')
    number = await reached(bot, state, after=earlier)
    await person.send("/abort")
    await person.wait_for(lambda m: f"Change {number} was aborted" in m.text, timeout=WITHIN)
    wait.set()
    assert rows(bot, f"select state from persais.changes where id > {earlier}") == [("aborted",)]
    assert traces(*parrot) == before


async def test_a_diff_is_read_in_the_chat(person: ChatClient, mind: minds.Mind) -> None:
    card = await ask(person, 'Create an agent "Longer" that answers with the text reversed')
    await person.press(card, "Diff")
    shown = await person.wait_for(lambda m: any(e.type == "pre" for e in m.entities), timeout=WITHIN)
    assert "bot/agents/longer.py" in shown.text
    assert any(entity.type == "pre" and entity.language == "diff" for entity in shown.entities)
    await abort(person, card)


async def test_deployed_explained_and_rolled_back(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = git(remote(parrot[0]), "ls-tree", "-r", "main")
    await ask(person, 'Create an agent "Shout" that answers in upper case')
    await person.send("/deploy")
    await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
    await person.send("/shout hello")
    said = await person.wait_for(lambda m: m.text == "HELLO")
    await person.send("/why")
    why = await person.wait_for(lambda m: m.text.startswith("Agent: shout"))
    assert 'First asked for: Create an agent "Shout"' in why.text
    assert "Approved by: You" in why.text
    assert said.from_bot
    await person.send("/rollback")
    told = await person.wait_for(lambda m: "is not in the bot any more" in m.text, timeout=WITHIN)
    assert "Shout is not here any more; Master answers from here on." in told.text
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    await person.send("/shout hello")
    await person.wait_for(lambda m: "no command /shout" in m.text)
    await person.send("/rollback 1234567")
    await person.wait_for(lambda m: "Nothing was rolled back" in m.text)


async def test_a_version_that_breaks_in_its_first_answers_is_taken_back_and_they_are_answered_by_the_old_one(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = git(remote(parrot[0]), "ls-tree", "-r", "main")
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [minds.search_replace(AGENT, ECHOING, BREAKING)]
    card = await ask(person, "Change the parrot")
    await person.press(card, "Deploy")
    await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
    await person.send("/parrot")
    await person.wait_for(lambda m: "Parrot mode" in m.text)
    await person.send("b one")
    await person.wait_for(lambda m: "ran into an error" in m.text)
    await person.send("b two")
    await person.wait_for(lambda m: "did not hold" in m.text and "broke in 2 of its first" in m.text, timeout=WITHIN)
    await person.wait_for(lambda m: m.text == "b two", timeout=WITHIN)
    said = [m.text for m in await person.history() if m.from_bot]
    assert [text for text in said if text in ("b one", "b two")] == ["b one", "b two"]
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    failed = next(m for m in reversed(await person.history()) if "Not deployed" in m.text)
    await abort(person, failed)


async def test_a_version_that_does_not_load_never_replaces_the_old_one(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = git(remote(parrot[0]), "ls-tree", "-r", "main")
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [minds.search_replace(AGENT, '    name = "parrot"\n', '    name = ""\n')]
    card = await ask(person, "Change the parrot")
    await person.press(card, "Deploy")
    told = await person.wait_for(lambda m: "did not start" in m.text and "Cause" in m.text, timeout=WITHIN)
    assert "Parrot has no name" in told.text
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    await person.send("/parrot still here")
    await person.wait_for(lambda m: m.text == "still here")


def push(bot: live.Live, work: Path, path: str, text: str | None) -> None:
    """What a person does to main with git, at some other desk; None: remove the file."""
    if not work.exists():
        subprocess.run(["git", "clone", "-q", str(remote(bot)), str(work)], check=True)
    git(work, "pull", "-q")
    file = work / path
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    commit_everything(work)
    git(work, "push", "-q", "origin", "HEAD:main")


NOBODY_IS_LOUD = """from pathlib import Path


def test_nobody_is_loud() -> None:
    assert not list(Path("bot/agents").glob("loud*"))
"""


async def test_what_was_approved_is_checked_again_with_what_main_has_become(
    parrot: tuple[live.Live, Path], person: ChatClient, tmp_path: Path
) -> None:
    bot, _ = parrot
    card = await ask(person, 'Create an agent "Loud" that answers in upper case')
    assert "PR is ready" in card.text, card.text
    push(bot, tmp_path / "desk", "tests/agents/test_nobody.py", NOBODY_IS_LOUD)
    main = git(remote(bot), "rev-parse", "main")
    await person.press(card, "Deploy")
    await person.wait_for(lambda m: "so all checks run once more" in m.text, timeout=WITHIN)
    failed = await person.wait_for(lambda m: "❌ Not deployed" in m.text, timeout=WITHIN)
    assert "Main has changed since this was checked, and together with that it fails: Tests." in failed.text
    assert git(remote(bot), "rev-parse", "main") == main

    push(bot, tmp_path / "desk", "tests/agents/test_nobody.py", None)
    await person.press(failed, "Retry")
    card = await ready(person)
    push(bot, tmp_path / "desk", "NOTES.md", "Nothing that the change minds.\n")
    await person.press(card, "Deploy")
    await person.wait_for(lambda m: m.text == "🚀 Deployed!", timeout=WITHIN)
    assert "NOTES.md" in git(remote(bot), "ls-tree", "--name-only", "main")
    body, checked = rows(bot, "select body, (body->>'checked_on') from persais.changes order by id desc limit 1")[0]
    assert checked and checked != body["base"]
