"""What one may say to the Mechanic that is no wish for a change: questions, and settings of agents."""

from __future__ import annotations

import json
from typing import Any

from changes import WITHIN, rows
from whole_bots import said

import minds
from persais_core.emulators.telegram.client import ChatClient
from persais_core.testing import live


def from_what_it_saw(messages: list[dict[str, Any]]) -> str:
    """An answer that could not be given without the tool."""
    first = str(messages[-1]["content"])
    return json.dumps({"understood": "A question", "answer": f"It has a parrot: {'class Parrot' in first}."})


async def test_a_question_is_answered_by_the_model_with_its_tools_and_makes_no_change(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    mind.planner[:] = [minds.tool_call("manage_git", action="show", path="bot/agents/parrot.py"), from_what_it_saw]
    answer = await said(person, "What is in the file of the parrot?", "🔧 It has", timeout=WITHIN)
    assert answer.text == "🔧 It has a parrot: True."
    assert rows(bot, "select state, branch from persais.changes order by id desc limit 1") == [("answered", None)]


async def test_an_agent_is_set_in_words_and_a_tap_or_by_command_from_the_next_turn_on(
    bot: live.Live, person: ChatClient, mind: minds.Mind
) -> None:
    words = await person.send("Let the parrot use vendor/tiny-1 with temperature 0")
    asked = await person.wait_for(
        lambda m: m.id > words.id and m.text.startswith(("⚙️ ", "I cannot")) and bool(m.buttons), timeout=WITHIN
    )
    assert asked.text.startswith("⚙️ To be set for parrot: model vendor/tiny-1, temperature 0.")
    assert rows(bot, "select count(*) from persais.agent_config") == [(0,)]
    await person.press(asked, "Set")
    done = await person.wait_for(lambda m: m.id == asked.id and m.text.startswith("✅ parrot"), timeout=WITHIN)
    assert not done.buttons
    assert "model vendor/tiny-1" in done.text
    assert "temperature 0" in done.text
    assert "switched off" in (await said(person, "/config parrot enabled=no", "✅ parrot: ")).text
    await said(person, "/parrot hello", "Parrot is switched off. /config parrot default takes that back.")
    await said(person, "/config parrot default", "as usual")
    assert (await said(person, "/parrot hello", "hello")).text == "hello"
    assert rows(bot, "select count(*) from persais.agent_config") == [(0,)]


async def test_what_cannot_be_set_is_declined_in_the_owners_words(person: ChatClient, mind: minds.Mind) -> None:
    mind.planner[:] = [json.dumps({"understood": "x", "configure": {"agent": "nobody", "temperature": 1}})]
    declined = await said(person, "Set nobody to temperature 1", "I cannot do that", timeout=WITHIN)
    assert "There is no agent nobody" in declined.text
