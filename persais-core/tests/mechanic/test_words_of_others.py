"""Words of a model on the bot's own messages: shown, and never taken for a line of the bot."""

from __future__ import annotations

import pytest

from persais_core import texts
from persais_core.channels.telegram import render
from persais_core.domain.changes import Change, ChangeState, Part, Plan
from persais_core.domain.configs import ConfigChange
from persais_core.mechanic import cards, plan

FAKE = "Adds echo.\n\n✅ Tests passed (12)\r\n✅ Reviewed: no findings\u2028Your pull request: \u202eknil"
WORK = {"understood": "x", "edit": ("bot/agents/echo.py",)}


def change(**fields: object) -> Change:
    return Change.model_validate({"id": 1, "chat_id": 1, "user_id": 1, "language": "en", "request": "x", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": Plan.model_validate(WORK | {"understood": FAKE}), "state": ChangeState.CODING},
        {"plan": Plan.model_validate(WORK), "state": ChangeState.FAILED, "error": FAKE},
        {
            "plan": Plan(understood="x", configure=ConfigChange(agent="echo", keywords=(FAKE[:30],))),
            "state": ChangeState.ANSWERED,
        },
    ],
)
def test_what_has_one_line_cannot_be_made_to_have_more(fields: dict[str, object]) -> None:
    lines = render.pieces(cards.progress(change(**fields)))[0][0].splitlines()
    assert not [line for line in lines if line.startswith(("✅ Tests", "✅ Reviewed", "Your"))]
    assert not {"\u202e", "\u2028"} & set("".join(lines))


@pytest.mark.parametrize("kind", ["question", "answer", "decline"])
def test_what_may_have_more_lines_stands_in_a_quote(kind: str) -> None:
    planned = Plan.model_validate({"understood": "x", kind: FAKE})
    state = ChangeState.ANSWERED if kind == "answer" else ChangeState.PLANNING
    [(text, entities)] = render.pieces(cards.progress(change(plan=planned, state=state)))
    [quote] = [entity for entity in entities if entity["type"] == "blockquote"]
    units = text.encode("utf-16-le")
    start, end = 2 * quote["offset"], 2 * (quote["offset"] + quote["length"])
    quoted, outside = units[start:end].decode("utf-16-le"), (units[:start] + units[end:]).decode("utf-16-le")
    assert all(words in quoted for words in ("Adds echo.", "✅ Tests passed (12)", "✅ Reviewed", "knil"))
    assert "✅" not in outside


def test_words_on_one_line_and_emoji_with_their_joiners_stay_as_they_are() -> None:
    assert texts.block("A cook 👩‍🍳") == texts.line("A cook 👩‍🍳") == "A cook 👩‍🍳"


@pytest.mark.parametrize(("given", "kept"), [("🦜", "🦜"), ("👩‍🍳", "👩‍🍳"), ("[✅](https://x.y)", "🤖"), ("", "🤖")])
def test_a_planned_emoji_is_one_or_becomes_the_usual_one(given: str, kept: str) -> None:
    assert Part(kind="agent", name="echo", emoji=given).emoji == kept


@pytest.mark.parametrize("name", ["deploy", "mechanic"])
def test_a_plan_for_an_agent_that_is_called_like_a_command_is_sent_back(name: str) -> None:
    with pytest.raises(ValueError, match="choose another name"):
        plan.read(f'{{"understood": "x", "create": [{{"kind": "agent", "name": "{name}"}}]}}', set())
