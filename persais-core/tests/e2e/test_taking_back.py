"""Changing one's mind: correcting, trying again, aborting, rolling back, and versions that do not hold."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import AGENT, WITHIN, a_plan, abort, ask, deploy, git, newest, reached, ready, remote, rows, traces
from whole_bots import a_project, commit_everything, said

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live

ECHOING = "        return message.text\n"
SAME = '        return f"{message.text}"\n'
BREAKING = """        if message.text.startswith("b"):
            raise ValueError(message.text)
        return message.text
"""


@pytest.fixture(scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory, aider_venv: Path, mind: minds.Mind) -> AsyncIterator[live.Live]:
    """A bot with one agent, whose changes may cost little."""
    folder = tmp_path_factory.mktemp("parrot")
    async with live.running(
        a_project(folder / "project", ("agent", "parrot")),
        folder / "home",
        AIDER_VENV=str(aider_venv),
        LLM_BASE_URL=mind.url,
        DEFAULT_MODEL="test-model",
        MAX_COST_PER_CHANGE="0.0055",
    ) as running:
        yield running


@pytest.fixture
def parrot(bot: live.Live) -> tuple[live.Live, Path]:
    """The bot, and its project."""
    return bot, bot.home.parent / "project"


async def test_words_said_while_a_change_is_open_correct_its_plan(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = traces(*parrot)
    wait = asyncio.Event()
    mind.coder[:] = [wait]
    await said(
        person, 'Create an agent "Loud" that answers in upper case', "answers with the message in upper case",
        timeout=WITHIN,
    )  # fmt: skip
    corrected = await person.send("no, rather in lower case")
    await person.wait_for(lambda m: "correction of change" in m.text)
    wait.set()
    await person.wait_for(lambda m: "answers with the message in lower case" in m.text, timeout=WITHIN)
    card = await ready(person, after=corrected)
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
    card = await ready(person, after=failed)
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
        failed = await ready(person, after=failed)
    assert "MAX_COST_PER_CHANGE" in failed.text
    await abort(person, failed)


async def test_abort_by_command_stops_the_coder_in_the_middle_and_leaves_nothing(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = traces(*parrot)
    wait = asyncio.Event()
    mind.coder[:] = [wait]
    await said(person, 'Create an agent "Slow" that answers in upper case', "Writing the code", timeout=WITHIN)
    await said(person, "/abort", "was aborted", timeout=WITHIN)
    wait.set()
    assert traces(*parrot) == before
    await said(person, "/abort", "There is no change that could be aborted.")


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
    await said(person, "/abort", f"Change {number} was aborted", timeout=WITHIN)
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
    assert (await said(person, "/deploy", "🚀 Deployed!", timeout=WITHIN)).text.startswith("🚀 Deployed!")
    assert (await said(person, "/shout hello", "HELLO")).text == "HELLO"
    why = await said(person, "/why", "Agent: shout")
    assert why.text.startswith("Agent: shout")
    assert 'First asked for: Create an agent "Shout"' in why.text
    assert re.search(r"^Approved by: \S", why.text, re.M), "the person at this computer has a name"
    told = await said(person, "/rollback", "is not in the bot any more", timeout=WITHIN)
    assert "Shout is not here any more; Master answers from here on." in told.text
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    await said(person, "/shout hello", "no command /shout")
    await said(person, "/rollback 1234567", "Nothing was rolled back")


async def test_an_agent_is_deleted_by_asking_and_a_rollback_brings_it_back(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    at_first = git(remote(parrot[0]), "ls-tree", "-r", "main")
    await deploy(person, await ask(person, 'Create an agent "Poet" that answers in upper case'))
    before = git(remote(parrot[0]), "ls-tree", "-r", "main")
    mind.calls.clear()
    card = await ask(person, "/mechanic Delete the agent Poet")
    files = "bot/agents/poet.py, tests/agents/test_poet.py, tests/examples/poet.yaml"
    assert f"🗑 Goes: {files}" in card.text and all(kind != "code" for kind, _ in mind.calls)
    await said(person, "/poet hello", "HELLO")
    await person.press(card, "Deploy")
    told = await person.wait_for(lambda m: m.id > card.id and "🚀 Deployed!" in m.text, timeout=WITHIN)
    assert "Poet is not here any more; Master answers from here on." in told.text
    assert "poet" not in git(remote(parrot[0]), "ls-tree", "-r", "main")
    assert "poet" not in (await said(person, "/agents", "/parrot")).text
    await said(person, "/poet hello", "no command /poet")
    await said(person, "/why poet", "It is not there any more")
    await said(person, "/rollback", "is not in the bot any more", timeout=WITHIN)
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    await said(person, "/poet hello", "HELLO")
    await said(person, "/rollback", "is not in the bot any more", timeout=WITHIN)
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == at_first


async def test_a_version_that_breaks_in_its_first_answers_is_taken_back_and_they_are_answered_by_the_old_one(
    parrot: tuple[live.Live, Path], person: ChatClient, mind: minds.Mind
) -> None:
    before = git(remote(parrot[0]), "ls-tree", "-r", "main")
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [minds.search_replace(AGENT, ECHOING, BREAKING)]
    card = await ask(person, "Change the parrot")
    await deploy(person, card)
    await said(person, "/parrot", "Parrot mode")
    await said(person, "b one", "ran into an error")
    await person.send("b two")
    await person.wait_for(lambda m: "did not hold" in m.text and "broke in 2 of its first" in m.text, timeout=WITHIN)
    await person.wait_for(lambda m: m.text == "b two", timeout=WITHIN)
    heard = [m.text for m in await person.history() if m.from_bot]
    assert [text for text in heard if text in ("b one", "b two")] == ["b one", "b two"]
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
    told = await person.wait_for(
        lambda m: m.id >= card.id and "did not start" in m.text and "Cause" in m.text, timeout=WITHIN
    )
    assert "Parrot has no name" in told.text
    assert git(remote(parrot[0]), "ls-tree", "-r", "main") == before
    assert (await said(person, "/parrot still here", "still here")).text == "still here"


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
    failed = await person.wait_for(lambda m: m.id == card.id and "❌ Not deployed" in m.text, timeout=WITHIN)
    assert "Main has changed since this was checked, and together with that it fails: Tests." in failed.text
    assert git(remote(bot), "rev-parse", "main") == main

    push(bot, tmp_path / "desk", "tests/agents/test_nobody.py", None)
    await person.press(failed, "Retry")
    card = await ready(person, after=failed)
    push(bot, tmp_path / "desk", "NOTES.md", "Nothing that the change minds.\n")
    await deploy(person, card)
    assert "NOTES.md" in git(remote(bot), "ls-tree", "--name-only", "main")
    body, checked = rows(bot, "select body, (body->>'checked_on') from persais.changes order by id desc limit 1")[0]
    assert checked and checked != body["base"]
