"""How a model's answer becomes a plan, and what the chat says of one that needs no work or was replaced."""

from __future__ import annotations

import json
from typing import Any

import pytest

from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState, Plan
from persais_core.domain.chats import Lane, User
from persais_core.mechanic import cards, plan, workshop
from persais_core.mechanic.ledger import Ledger

ANN = User(id=7, name="Ann", is_admin=True)


@pytest.mark.parametrize("slug", [{}, {"slug": None}, {"slug": ""}, {"slug": "Ответ!"}])
@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ({"question": "Which one?\nA or B?"}, "Which one?"),
        ({"decline": "It needs the network."}, "It needs the network."),
        ({"answer": "\nThree agents."}, "Three agents."),
        ({"configure": {"agent": "echo", "temperature": 0}}, "echo"),
    ],
)
def test_what_needs_no_work_needs_no_slug_and_no_summary(
    slug: dict[str, Any], said: dict[str, Any], understood: str
) -> None:
    made = plan.read(json.dumps(said | slug | {"create": [], "steps": []}), set())
    assert (made.slug, made.understood) == ("change", understood)
    assert plan.read(json.dumps(said | {"understood": "So"}), set()).understood == "So"


def test_work_keeps_its_slug_and_must_be_summed_up() -> None:
    work = {"understood": "x", "slug": "no", "create": [{"kind": "agent", "name": "no"}]}
    assert plan.read(json.dumps(work), set()).slug == "no"
    assert plan.read(json.dumps(work | {"slug": None}), set()).slug == "change"
    with pytest.raises(ValueError, match="understood"):
        plan.read(json.dumps(work | {"understood": None}), set())


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "understood": "x",
        "prompt": "Arr",
        "create": [{"kind": "feature", "name": "Notes", "fields": [{"name": "n", "type": "number"}]}],
        "edit": ["bot/main.py"],
    }
    with pytest.raises(ValueError, match="prompt") as caught:
        plan.read(json.dumps(wrong), set())
    told = str(caught.value)
    for part in ("create.0.kind", "create.0.name", "create.0.fields.0.type", "edit: 'bot/main.py' may not", "prompt"):
        assert part in told
    missing = {"understood": "x", "edit": ["bot/agents/one.py", "bot/agents/two.py"]}
    with pytest.raises(ValueError, match=r"one\.py does not exist.*two\.py does not exist"):
        plan.read(json.dumps(missing), set())
    many = {"understood": "x", "create": [{"kind": "x", "name": "X" * 900}] * 30}
    with pytest.raises(ValueError, match="and 52 more") as caught:
        plan.read(json.dumps(many), set())
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("language", "before"), [("en", "I cannot do that"), ("ru", "Этого я сделать не могу")], ids=["en", "ru"]
)
def test_a_reason_that_repeats_what_is_put_before_it_is_shown_once(language: Any, before: str) -> None:
    made = Plan(understood="x", decline=f"{before}: {before.upper()}. no network: none.")
    change = Change(id=1, chat_id=7, user_id=7, language=language, request="x", plan=made, state=ChangeState.ABORTED)
    assert cards.progress(change).text == f"{before}. No network: none."


async def test_a_change_that_was_corrected_names_the_one_that_took_its_place(database: Database) -> None:
    ledger = Ledger(database)
    first = await ledger.open(lane=Lane(chat_id=7), user=ANN, request="Parrot", turn_id=None)
    work = Plan(understood="Parrot", edit=("bot/agents/parrot.py",))
    first = await ledger.update(first.id, plan=work)
    second = await ledger.open(lane=Lane(chat_id=7), user=ANN, request="No, a cat", turn_id=None, corrects=first)
    assert await ledger.stop(first.id, actor=7, replaced_by=second.id)
    ended = await ledger.update(first.id, state=ChangeState.ABORTED)
    assert cards.progress(ended).text.endswith(f"Change {first.id} was replaced by change {second.id}.")
    delivered = ended.model_copy(update={"commit": "0" * 40, "branch": "feat/parrot-v1"})
    assert cards.card(delivered).text.startswith(f"🗑 Replaced by change {second.id}\n")


def test_the_prompts_stay_short_enough_for_a_small_model() -> None:
    assert len(workshop.render("planner")) < 9000
    task = workshop.render("coder", understood="x", steps=("y",), files=(), examples=(), request="z", failures="")
    assert len(task) < 7500
