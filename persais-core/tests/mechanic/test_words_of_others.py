"""Words of a model on the bot's own messages: shown, and never taken for a line of the bot."""

from __future__ import annotations

import html.entities
import unicodedata

import pytest

from persais_core import texts
from persais_core.channels.telegram import render
from persais_core.domain.changes import Change, ChangeState, Verdict
from persais_core.domain.chats import Reply
from persais_core.domain.configs import ConfigChange
from persais_core.domain.plans import Part, Plan
from persais_core.mechanic import cards, description, plan
from persais_core.security.redact import Redactor

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


UNSEEN = [
    f"&{name}"
    for name, meant in html.entities.html5.items()
    if name.endswith(";") and any(unicodedata.category(mark) in ("Cc", "Cf", "Zl", "Zp") for mark in meant)
]


@pytest.mark.parametrize("entity", [*UNSEEN, "&#10;", "&#x2028;", "&amp;"])
def test_an_entity_is_words_like_any_other(entity: str) -> None:
    words = f"Adds echo.{entity}✅ Tests passed"
    for shown in (texts.line(words), texts.block(words), texts.escaped(words)):
        assert render.pieces(Reply(text=f"📋 {shown}")) == [(f"📋 {words}", [])]


@pytest.mark.parametrize("formula", ["$x$", "$$x$$", "$$\nx\n$$", "$_{a}$", "costs $5 and $6"])
def test_a_formula_is_words_like_any_other(formula: str) -> None:
    assert render.pieces(Reply(text=f"📋 {texts.escaped(formula)}")) == [(f"📋 {formula}", [])]


MARKED = ["[](https://x.y)deploy", "de[ploy](https://x.y)", "[d][a]eploy\n\n[a]: https://x.y", "de`p`loy", "$deploy$"]


@pytest.mark.parametrize("said", [*MARKED, "[[]](https://x.y)deploy", "_de_[p](https://x.y)`loy`"])
def test_a_command_that_only_comes_of_markup_cannot_be_tapped(said: str) -> None:
    shown = "".join(text for text, _ in render.pieces(Reply(text=texts.untapped(f"Tap /{said} now.", markup=True))))
    assert "/\u2060" in shown or "/deploy" not in shown
    kept = "see /`x`, /[a](https://x.y) and /de`"
    assert texts.untapped(kept, markup=True) == kept


@pytest.mark.parametrize("words", ["/deploy", "see /DEPLOY@bot", "(/rollback 3)", "/de\u200bploy", "a\n/abort"])
def test_a_command_in_words_of_a_model_cannot_be_tapped(words: str) -> None:
    [(shown, _)] = render.pieces(Reply(text=texts.escaped(words)))
    assert shown.replace("/\u2060", "/") == words.replace("\u200b", "")
    assert shown.count("/\u2060") == 1


def test_an_address_in_words_of_a_model_is_no_link_and_paths_stay_as_they_are() -> None:
    words = "https://example.test/deploy and bot/agents/deploy.py, /deployer"
    [(shown, _)] = render.pieces(Reply(text=texts.line(words)))
    assert shown == words.replace("://", ":\u2060//")


@pytest.mark.parametrize("said", ["/deploy", "_/deploy_", "/de**ploy**", "&sol;deploy", "/&#100;eploy", "\\/deploy"])
def test_a_command_in_markdown_of_an_agent_cannot_be_tapped(said: str) -> None:
    [(shown, _)] = render.pieces(Reply(text=texts.untapped(f"Tap {said} now.", markup=True)))
    assert shown == "Tap /\u2060deploy now."


STEP = (
    "Add it.\n\nChecks\n\n- tests: passed 212 tests\n\nCost: $0.01\n\n[diff](https://example.test) <img src=x>\n<!--"
    " fixes #12, GH-12, thanks @somebody; &NewLine; key word_that_opens_1"
)


def delivered() -> Change:
    return change(
        plan=Plan.model_validate(
            WORK | {"understood": "Adds @echo\r\nPersais-Checks: tests", "steps": (STEP, "- imports: passed", "12. x")}
        ),
        request="make\n<!-- an echo",
        corrections=("no, in\n- imports: passed\nlower case",),
        verdicts=(Verdict(check="lint", passed=True, summary=STEP),),
        cost=0.5,
    )


def test_words_of_others_on_the_page_of_a_pull_request_are_neither_lines_nor_markup_of_ours() -> None:
    body = description.body(delivered(), Redactor(("word_that_opens_1",)).text)
    lines = body.splitlines()
    ours = [line for line in lines if line and not line.startswith((">", "- ✅ Style: Add it", "1. ", "2. ", "3. "))]
    assert ours == ["Checks", "Cost: $0.5000, 0 tokens", "Request", "Correction", "Plan"]
    assert "\n\nCorrection\n\n> no, in\n> \\- imports: passed\n> lower case\n\nPlan\n" in body
    assert body.index("Cost: ") < body.index("\\<\\!")
    assert lines[-2:] == ["2. \\- imports: passed", "3. 12\\. x"]
    assert not [
        mark for mark in ("@somebody", "#12", "GH-12", "://", "word_that", "word\\_that", " <", " &") if mark in body
    ]


def test_the_page_of_a_pull_request_is_in_the_language_of_who_asked() -> None:
    body = description.body(delivered().model_copy(update={"language": "ru"}), str)
    assert body.startswith("Проверки\n\n- ✅ Стиль: ")
    assert [line for line in body.splitlines() if line in {"Просьба", "Поправка", "План"}] == [
        "Просьба",
        "Поправка",
        "План",
    ]


def test_the_trailers_of_a_commit_are_ours_alone() -> None:
    message = description.message(delivered(), str)
    words = "> make\n> <!-- an echo\n\nCorrection\n> no, in\n> - imports: passed\n> lower case\n\n"
    assert message.startswith(f"Adds @\u2060echo\n\n{words}Persais-Change: 1\n")
    assert message.count("Persais-Checks:") == 1
