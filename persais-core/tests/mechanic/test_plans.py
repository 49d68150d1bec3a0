"""How a model's answer becomes a plan, and what the chat says of one that needs no work or was replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import workshops

from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, User
from persais_core.domain.plans import Plan
from persais_core.mechanic import cards, plan, project, workshop
from persais_core.mechanic.ledger import Ledger
from persais_core.security.redact import Redactor

ANN = User(id=7, name="Ann", is_admin=True)


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ({"schema_name": "trips", "before": "a", "after": "b"}, "must edit bot/schemas/trips.py as well"),
        ({"schema_name": "notes", "before": "id", "after": "b"}, "a field of every record"),
        ({"schema_name": "notes", "before": "a", "after": 'b"; drop'}, "no name of a field"),
        ({"schema_name": "notes", "before": "a", "after": "a"}, "to a name that no other rename is about"),
        ({"schema_name": "notes", "before": "text", "after": "a"}, "to a name that no other rename is about"),
    ],
)
def test_a_plan_renames_fields_of_schemas_that_it_edits(rename: dict[str, str], said: str) -> None:
    notes = "bot/schemas/notes.py"
    fine = {"schema_name": "notes", "before": "text", "after": "body"}
    work = {"understood": "x", "edit": [notes], "renames": [fine]}
    assert plan.read(json.dumps(work), {notes}).renames[0].path == notes
    with pytest.raises(ValueError, match=said):
        plan.read(json.dumps(work | {"renames": [fine, rename]}), {notes})


async def test_a_field_that_the_schema_does_not_declare_is_not_renamed(database: Database, tmp_path: Path) -> None:
    notes, odd = "bot/schemas/notes.py", "bot/schemas/odd.py"
    files = {notes: "class Note(Record, table=True):\n    text: str\n", odd: "from bot.schemas.notes import Note\n"}
    repository = workshops.at_home(database, tmp_path, files)["repository"]
    base = await repository.main()
    assert await project.fields_of(repository, base, notes) == frozenset({"text"})
    assert await project.fields_of(repository, base, odd) is None


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


PLAN = json.dumps({"understood": "x", "edit": ["bot/agents/one.py"], "steps": ["say {name}"]}, indent=1)


@pytest.mark.parametrize(
    "answer",
    [
        f'<think>The {{request}} wants {{"understood": 1}}.</think>\n{PLAN}',
        f"I put {{name}} into {{}} and {{'x'}}, as {{ \"a\": 1 }} does.\n```json\n{PLAN}\n```\nIs {{that}} right?",
        f'{{"plan": {PLAN}}}',
        f"{{{PLAN}}}",
        PLAN.replace("say {name}", "say\n{name}"),
    ],
    ids=["thoughts", "braces in prose", "wrapped", "doubled", "a line break in a text"],
)
def test_a_plan_is_found_wherever_it_stands_in_an_answer(answer: str) -> None:
    assert plan.read(answer, {"bot/agents/one.py"}).edit == ("bot/agents/one.py",)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (PLAN[:-40], "cut off"),
        (PLAN[: PLAN.index("name")], "cut off"),
        (PLAN.replace('"x"', "x"), "invalid JSON: Expecting value at line 2, column 16"),
        ("{'understood': 'x'}", "invalid JSON"),
        ('{"kind": "agent"}', "understood"),
        ('{"a":' * 20_000, "nested too deep"),
        ("{" * 200_000, "no JSON object"),
        ('{ "' * 50_000, "invalid JSON"),
        ('{"a":{}}{"' * 20_000, "invalid JSON"),
    ],
)
def test_what_is_no_plan_is_told_so_that_it_can_be_mended_however_hostile_it_is(answer: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan.read(answer, set())


@pytest.mark.parametrize(
    ("language", "before"), [("en", "I cannot do that"), ("ru", "Этого я сделать не могу")], ids=["en", "ru"]
)
def test_a_reason_that_repeats_what_is_put_before_it_is_shown_once(language: Any, before: str) -> None:
    made = Plan(understood="x", decline=f"{before}: {before.upper()}. no network: none.")
    change = Change(id=1, chat_id=7, user_id=7, language=language, request="x", plan=made, state=ChangeState.ABORTED)
    assert cards.progress(change).text == f"{before}. No network: none."


async def test_a_change_that_was_corrected_names_the_one_that_took_its_place(database: Database) -> None:
    ledger = Ledger(database, Redactor())
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
    said = {
        "understood": "x",
        "steps": ("y",),
        "files": (),
        "removed": {},
        "renames": (),
        "examples": (),
        "request": "z",
        "failures": "",
    }
    task = workshop.render("coder", **said)
    assert len(task) < 7500
