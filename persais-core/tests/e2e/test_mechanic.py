"""The Mechanic through the chat: real Postgres, git, aider, checks and sandbox; Telegram and model are stood in for."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from changes import AGENT, WITHIN, a_plan, abort, ask, git, remote, traces
from whole_bots import said

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live


def project_of(bot: live.Live) -> Path:
    return bot.home.parent / "project"


async def test_a_comment_asked_for_ends_in_a_pull_request_that_changes_that_file_only(
    bot: live.Live, person: ChatClient
) -> None:
    card = await ask(person, "Add a comment to schemas/characters.py")
    assert "Files: 1 changed" in card.text
    branch = card.text.split("Branch: ")[1].splitlines()[0]
    assert git(remote(bot), "diff", "--name-only", f"main...{branch}").split() == ["bot/schemas/characters.py"]
    added = [line for line in git(remote(bot), "diff", f"main...{branch}").splitlines() if line.startswith("+#")]
    assert len(added) == 1
    await abort(person, card)


async def test_abort_leaves_nothing_behind_and_no_buttons_on_the_card(bot: live.Live, person: ChatClient) -> None:
    before = traces(bot, project_of(bot))
    card = await ask(person, 'Create an agent "Loud" that answers in upper case')
    assert traces(bot, project_of(bot)) != before
    await abort(person, card)
    assert traces(bot, project_of(bot)) == before
    now = next(m for m in await person.history() if m.id == card.id)
    assert now.buttons == ()


async def test_mechanic_without_words_only_switches(person: ChatClient, mind: minds.Mind) -> None:
    assert (await said(person, "/mechanic    ")).text == "🔧 Mechanic mode activated"
    assert mind.calls == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (["I would rather chat.", "Still no plan."], "and said: Still no plan."),
        ([a_plan(edit=["../../etc/passwd"])] * 2, "may not be changed"),
        ([a_plan(edit=["bot/main.py"])] * 2, "may not be changed"),
        ([a_plan(edit=["bot/agents/nobody.py"])] * 2, "does not exist"),
        ([a_plan(edit=[], create=[{"kind": "agent", "name": "class"}])] * 2, "Python language"),
        ([a_plan(edit=[], create=[{"kind": "agent", "name": "parrot"}])] * 2, "exists already"),
        ([a_plan(edit=[], create=[{"kind": "agent", "name": "Ünï/../x"}])] * 2, "no usable name"),
        ([a_plan(slug="x; rm -rf /")] * 2, "slug"),
        ([a_plan(edit=[f"bot/agents/a{n}.py" for n in range(100)])] * 2, "10 parts"),
    ],
    ids=[
        "prose",
        "outside",
        "closed file",
        "missing file",
        "keyword",
        "twice",
        "hostile name",
        "hostile slug",
        "100 files",
    ],
)
async def test_an_unusable_plan_is_sent_back_once_and_then_said_to_be_so(
    bot: live.Live, person: ChatClient, mind: minds.Mind, answers: list[minds.Answer], told: str
) -> None:
    before = traces(bot, project_of(bot))
    mind.planner[:] = answers
    answer = await ask(person, "Change the parrot")
    assert told in answer.text
    assert [kind for kind, _ in mind.calls] == ["plan", "plan"]
    assert traces(bot, project_of(bot)) == before


async def test_a_plan_is_repaired_when_the_second_answer_is_good(person: ChatClient, mind: minds.Mind) -> None:
    good = a_plan(edit=[], decline="it is against the rules")
    mind.planner[:] = ["{broken", good]
    assert (await ask(person, "Change the parrot")).text == "I cannot do that. It is against the rules"


async def test_a_model_that_is_down_is_told_with_what_to_check(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [500] * 9
    assert "status 500" in (await ask(person, "Change the parrot")).text


async def test_names_and_titles_in_any_script_do_no_harm(person: ChatClient, mind: minds.Mind) -> None:
    part = {
        "kind": "agent",
        "name": "guest",
        "title": "مرحبا *bold* `x` 👻",
        "emoji": "👻",
        "description": '"""\nimport os',
    }
    mind.planner[:] = [a_plan(edit=[], create=[part], understood="مرحبا [x](http://evil.example)")]
    mind.coder[:] = [
        minds.search_replace("bot/agents/guest.py", "        return message.text\n", '        return "Hi"\n')
        + minds.search_replace(
            "tests/agents/test_guest.py", '    assert reply == "Hello World"\n', '    assert reply == "Hi"\n'
        )
    ]
    card = await ask(person, "Make a guest")
    assert "Files: 2 changed" in card.text
    progress = next(m for m in reversed(await person.history()) if "Got it" in m.text)
    assert "[x](http:\u2060//evil.example)" in progress.text  # no link, neither by markup nor by itself
    await abort(person, card)


async def test_a_coder_that_writes_outside_its_files_is_refused_and_nothing_is_kept(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    main = git(remote(bot), "rev-parse", "main")
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [minds.search_replace("bot/main.py", "", "import os\n")] * 4
    answer = await ask(person, "Change the parrot")
    assert "bot/main.py" in answer.text
    assert git(remote(bot), "rev-parse", "main") == main


async def test_a_coder_that_changes_nothing_is_told(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [a_plan()]
    mind.coder[:] = ["I think it is perfect already."]
    failed = await ask(person, "Change the parrot")
    assert "I think it is perfect already." in failed.text
    # The same plan would bring the same: trying again begins with a new one, made by somebody who knows why.
    mind.planner[:] = [json.dumps({"decline": "I cannot do that: I cannot do that: it is perfect."})]
    await person.press(failed, "Retry")
    await person.wait_for(  # what is new stands below
        lambda m: m.id > failed.id and m.text == "I cannot do that. It is perfect.", timeout=WITHIN
    )
    asked = json.loads([messages for kind, messages in mind.calls if kind == "plan"][-1][-1]["content"])
    assert "I think it is perfect already." in asked["earlier"]["failure"]["cause"]
    assert asked["earlier"]["plan"]["edit"]


async def test_a_failed_check_goes_back_to_the_coder_with_its_words(person: ChatClient, mind: minds.Mind) -> None:
    wrong = minds.search_replace(AGENT, "        return message.text\n", "        return undefined_name\n")
    right = minds.search_replace(AGENT, "        return undefined_name\n", '        return f"{message.text}"\n')
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [wrong, right]
    card = await ask(person, "Change the parrot")
    assert "PR is ready" in card.text
    second = json.dumps([messages for kind, messages in mind.calls if kind == "code"][1])
    assert "undefined_name" in second
    assert "These checks failed" in second
    await abort(person, card)


async def test_after_three_rounds_the_card_says_which_checks_fail(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    steps = ["message.text", "one", "two", "three"]
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [
        minds.search_replace(AGENT, f"        return {before}\n", f"        return {after}\n")
        for before, after in itertools.pairwise(steps)
    ]
    answer = await ask(person, "Change the parrot")
    assert "After 3 rounds" in answer.text
    assert [kind for kind, _ in mind.calls].count("code") == 3
    await person.press(answer, "Retry")
    await person.wait_for(lambda m: m.id == answer.id and m.text.count("🔁 It did not work") == 1 and not m.buttons)
    await person.wait_for(lambda m: m.id > answer.id and "Retry" in str(m.buttons), timeout=WITHIN)
    again = str([messages for kind, messages in mind.calls if kind == "code"][3])
    assert "An earlier try, which is gone, failed in these checks:" in again
    assert "F821" in again or "undefined" in again


async def test_code_that_reaches_for_the_system_never_runs(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    proof = bot.home / "proof"
    mind.planner[:] = [a_plan()]
    mind.coder[:] = [
        minds.search_replace(
            AGENT,
            "from persais_core import",
            f"import pathlib\npathlib.Path({str(proof)!r}).touch()\nfrom persais_core import",
        )
    ] + ["no"] * 2
    answer = await ask(person, "Change the parrot")
    assert "❌" in answer.text
    assert not proof.exists()
