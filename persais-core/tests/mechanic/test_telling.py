"""What the chat tells of a change that fails, waits or is called off: each stage as it went, each wish with its end."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
import pytest
import workshops
from sqlalchemy import select
from sqlmodel import col

from persais_core import errors, texts
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval
from persais_core.db.tables.people import AuditEntry, Person
from persais_core.domain.changes import Change, ChangeState, Notice, Verdict
from persais_core.domain.chats import Lane, User
from persais_core.domain.plans import FieldSpec, Part, Plan, PlannedExample
from persais_core.mechanic import cards, why
from persais_core.mechanic.evolution import Evolution
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.workshop import Workshop
from persais_core.security.redact import Redactor
from persais_core.settings import Settings
from scripted_openai import ScriptedOpenAI, says

ANN, BOB = User(id=1000001, name="Ann Lee", is_admin=True), User(id=1000002, is_admin=True)
LANE, GROUP = Lane(chat_id=ANN.id), Lane(chat_id=-100, topic_id=7)
AGENT = workshops.PARROT
PLAN = {"understood": "Change the parrot", "slug": "parrot", "edit": [AGENT], "steps": ["Do it."]}
HERE = Notice(key="update:1:0", chat_id=LANE.chat_id, language="en")
THERE = Notice(key="update:2:0", chat_id=GROUP.chat_id, topic_id=GROUP.topic_id, language="ru")


def idle(job: CodeJob) -> CodeResult:
    """Write nothing, and say why."""
    return CodeResult(status="no_edits", reply="It is perfect already.")


@dataclass
class House:
    """A Mechanic with a repository, a remote and an idle coder."""

    database: Database
    ledger: Ledger
    shop: Workshop
    evolution: Evolution
    remote: Path

    async def worked_on(self) -> Change:
        """A change that has gone as far as it goes."""
        change = await self.ledger.open(lane=LANE, user=ANN, request="Change the parrot", turn_id=None)
        await self.evolution.change(change.id)
        return await self.ledger.get(change.id)

    async def told(self, *notices: Notice) -> list[str]:
        """What stands in messages now."""
        found = [
            await self.database.run(
                "select body ->> 'text' as text from persais.outbox where key = %(key)s", {"key": n.key}
            )
            for n in notices
        ]
        return [row["text"] for rows in found for row in rows]


@pytest.fixture
async def house(database: Database, openai_server: ScriptedOpenAI, tmp_path: Path) -> House:
    openai_server.script(says(json.dumps(PLAN)))
    settings = Settings(_env_file=None, llm_base_url=openai_server.url, llm_api_key="k", persais_home=tmp_path)
    home = workshops.at_home(database, tmp_path, {AGENT: "# the parrot\n"})
    shop = workshops.joined(settings, database, coder=workshops.Hand(idle), **home)
    return House(database, shop.ledger, shop, workshops.evolution_of(shop), tmp_path / "remote.git")


def a_change(**fields: Any) -> Change:
    return Change(id=1, chat_id=1, user_id=1, request="x", **{"language": "en", **fields})


def lines(change: Change) -> list[str]:
    return cards.progress(change).text.splitlines()


async def test_a_stage_that_wrote_nothing_is_no_stage_that_is_done(house: House) -> None:
    failed = await house.worked_on()
    assert failed.state is ChangeState.FAILED and failed.ended_in is ChangeState.CODING
    assert "❌ Writing the code" in lines(failed)
    assert "✅ Skeleton from templates" not in lines(failed), "nothing was made from a template"
    again = await house.ledger.update(failed.id, state=ChangeState.CODING, error=None)
    assert "⏳ Writing the code" in lines(again) and again.ended_in is None


async def test_a_failure_is_told_in_the_language_of_the_owner_and_kept_in_english(house: House) -> None:
    owner = ANN.model_copy(update={"language": "ru"})
    change = await house.ledger.open(lane=LANE, user=owner, request="Change the parrot", turn_id=None)
    await house.evolution.change(change.id)
    failed = await house.ledger.get(change.id)
    assert failed.error == "Модель ничего не изменила и сказала: It is perfect already."
    async with house.database.session() as session:
        found = await session.execute(select(AuditEntry).where(col(AuditEntry.action) == "change failed"))
        kept = found.scalar_one().detail
    assert kept["cause"] == failed.unable == "the model changed nothing, and said: It is perfect already."


WORK = Plan(understood="x", create=(Part(kind="agent", name="parrot"),))
BAD = Verdict(check="lint", passed=False, summary="1 thing")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"state": "failed", "ended_in": "scaffolding", "error": "e"}, ["❌ Skeleton from templates"]),
        (
            {"state": "failed", "ended_in": "verifying", "error": "e"},
            ["✅ Skeleton from templates", "✅ Writing the code", "❌ Checking"],
        ),
        (
            {"state": "failed", "ended_in": "verifying", "error": "e", "verdicts": (BAD,)},
            ["✅ Skeleton from templates", "✅ Writing the code", "❌ Style: 1 thing"],
        ),
        (
            {"state": "failed", "ended_in": "delivering", "error": "e"},
            ["✅ Skeleton from templates", "✅ Writing the code", "❌ Commit, push, pull request"],
        ),
        (
            {"state": "aborted", "ended_in": "coding"},
            ["✅ Skeleton from templates", "🗑 Writing the code"],
        ),
        (
            {"state": "aborted", "ended_in": "coding", "error": "e"},
            ["✅ Skeleton from templates", "❌ Writing the code"],
        ),
        (
            {"state": "coding", "round": 2, "verdicts": (BAD,), "stages": {"coding": 1.0, "verifying": 1.0}},
            ["✅ Skeleton from templates", "⏳ Mending the code, round 2", "❌ Style: 1 thing"],
        ),
        (
            {"state": "rolled_back", "commit": "c" * 40},
            ["✅ Skeleton from templates", "✅ Writing the code", "✅ Commit, push, pull request"],
        ),
        ({"state": "aborted", "ended_in": "planning"}, []),
    ],
)
def test_each_stage_is_shown_as_it_went(fields: dict[str, Any], shown: list[str]) -> None:
    marks = ("✅", "❌ S", "❌ W", "❌ C", "⏳ S", "⏳ Wr", "⏳ M", "⏳ C", "🗑")
    assert [line for line in lines(a_change(plan=WORK, **fields)) if line.startswith(marks)] == shown


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "I will create:|I will change:|New tables: todo \\(text\\)|Changed tables: note|Changed tools: add"),
        ("ru", "Создам:|Изменю:|Новые таблицы: todo \\(text\\)|Изменённые таблицы: note|Изменённые инструменты: add"),
    ],
)
def test_what_is_made_and_what_is_changed_are_told_apart(language: str, told: str) -> None:
    made = Part(kind="schema", name="todo", fields=(FieldSpec(name="text", type="str"),))
    both = Plan(understood="x", create=(made,), edit=("bot/tools/add.py", "bot/schemas/note.py"))
    create, change, *others = told.split("|")
    files = [f"- `{path}`" for path in both.files]
    shown = lines(a_change(plan=both, language=language, state=ChangeState.SCAFFOLDING))
    assert shown[2:11] == [create, *files[:2], "", change, *files[2:], *others[:2]]
    assert others[2] in shown


def test_a_question_waits_for_its_answer_until_it_is_given_or_called_off() -> None:
    asking = a_change(plan=Plan(understood="x", question="Which?"))
    assert asking.is_asking and asking.standing == "awaiting-answer"
    assert not asking.model_copy(update={"state": ChangeState.ABORTED}).is_asking
    assert a_change().standing == "planning"
    assert a_change(state=ChangeState.AWAITING_APPROVAL).standing == "awaiting-approval"


def test_what_changes_cost_is_never_told_as_nothing() -> None:
    assert "Changes here cost about $0.01." in lines(a_change(plan=WORK, estimate=0.0051))
    assert "Changes here cost less than a cent." in lines(a_change(plan=WORK, estimate=0.0049))
    assert "Changes here cost" not in "".join(lines(a_change(plan=WORK)))


def test_the_card_counts_the_files_that_the_diff_shows() -> None:
    kept = (PlannedExample(agent="parrot", say="a", expect="b"),)
    files = (AGENT, "tests/agents/test_parrot.py", "tests/examples/parrot.yaml")
    told = cards.card(a_change(plan=WORK.model_copy(update={"examples": kept}), files=files)).text.splitlines()
    assert "Files: 2 changed" in told and "Examples: 1 saved (1 more file)" in told
    known = (*kept, PlannedExample(agent="parrot", say="c", expect="d", is_kept=True))
    beside = cards.card(a_change(plan=WORK.model_copy(update={"examples": known}), files=files)).text.splitlines()
    assert "Examples: 1 saved (1 more file)" in beside
    other = PlannedExample(agent="parrot", say="c", expect="d", instead_of="e")
    for examples, shown in (
        ((other,), ["Examples: 1 replaced, as you asked for another answer (1 more file)"]),
        (
            (*kept, other),
            ["Examples: 1 saved (1 more file)", "Examples: 1 replaced, as you asked for another answer"],
        ),
    ):
        card = cards.card(a_change(plan=WORK.model_copy(update={"examples": examples}), files=files)).text
        assert [line for line in card.splitlines() if line.startswith("Examples")] == shown
    nothing_new = cards.card(a_change(plan=WORK.model_copy(update={"examples": known[1:]}), files=files[:2])).text
    assert "Examples" not in nothing_new
    without = cards.card(a_change(plan=WORK, files=files[:2])).text
    assert "Files: 2 changed" in without.splitlines() and "Examples" not in without


async def test_each_message_that_said_a_change_is_being_aborted_says_in_the_end_that_it_was(house: House) -> None:
    change = await house.worked_on()
    assert await house.ledger.stop(change.id, actor=ANN.id, notice=HERE)
    assert await house.told(HERE) == [texts.say("en", "abort-begun", change=change.id)]
    assert await house.ledger.stop(change.id, actor=BOB.id, notice=THERE)  # and the first job is taken back
    for _ in range(2):  # the second is what a kill after the first leads to
        await house.evolution.decide(change.id, "abort", ANN.id)
    ended = [texts.say(language, "mechanic-aborted", change=change.id) for language in texts.LANGUAGES]
    assert sorted(await house.told(HERE, THERE)) == sorted(ended)
    assert not await house.ledger.stop(change.id, actor=ANN.id, notice=HERE)
    assert (await house.ledger.get(change.id)).notices == ()


async def test_a_change_that_cannot_be_cleared_away_says_why_and_is_aborted_later(house: House) -> None:
    change = await house.worked_on()
    await house.ledger.stop(change.id, actor=ANN.id, notice=HERE)
    away = house.remote.with_name("away.git")
    shutil.move(house.remote, away)
    with pytest.raises(errors.PersaisError):
        await house.evolution.decide(change.id, "abort", ANN.id)
    [told] = await house.told(HERE)
    assert told.startswith(f"Change {change.id} could not be aborted: ")
    shutil.move(away, house.remote)
    await house.ledger.stop(change.id, actor=ANN.id, notice=THERE)
    assert await house.told(HERE) == [texts.say("en", "abort-begun", change=change.id)]
    await house.evolution.decide(change.id, "abort", ANN.id)
    assert await house.told(HERE) == [f"Change {change.id} was aborted."]


async def test_an_abort_that_comes_after_the_merge_says_so_and_the_rest_does_not_change_that(house: House) -> None:
    change = await house.worked_on()
    await house.ledger.stop(change.id, actor=ANN.id, notice=HERE)
    late = texts.say("en", "abort-late", change=change.id)
    for state in (ChangeState.DEPLOYING, ChangeState.FAILED, ChangeState.DEPLOYING, ChangeState.DEPLOYED):
        await house.ledger.update(change.id, state=state)
        assert await house.told(HERE) == [late]


async def test_a_rollback_is_told_in_the_message_that_said_it_was_asked_for(house: House) -> None:
    change = await house.worked_on()
    main = pygit2.Repository(str(house.remote)).references["refs/heads/main"].target
    await house.ledger.update(change.id, state=ChangeState.DEPLOYED, merge_commit=str(main), branch="feat/parrot-v1")
    asked = {"user": ANN.id, "chat": LANE.chat_id, "topic": 0}
    await house.evolution.rollback(str(change.id), key=HERE.key, **asked)
    [told] = await house.told(HERE)
    assert told.startswith("Nothing was rolled back: ")  # there is nothing before the first commit
    await house.ledger.update(change.id, state=ChangeState.ROLLED_BACK)
    for notice in (HERE, THERE):  # asked for twice; the second finds it done
        await house.evolution.rollback(str(change.id), key=notice.key, **asked)
    begun = texts.say("en", "rollback-begun", change=change.id, branch="feat/parrot-v1")
    assert await house.told(HERE, THERE) == [begun, begun]


@pytest.mark.parametrize(("known", "who"), [(True, "Ann Lee"), (False, "1000001")])
async def test_who_approved_is_told_by_name_where_there_is_one(house: House, known: bool, who: str) -> None:
    change = await house.ledger.open(lane=LANE, user=ANN, request="Parrot", turn_id=None)
    await house.ledger.update(change.id, state=ChangeState.DEPLOYED, files=(AGENT,), commit="c" * 40)
    async with house.database.session() as session:
        session.add(Approval(nonce="n", change_id=change.id, action="deploy", commit="c" * 40, used_by=ANN.id))
        if known:
            session.add(Person(id=ANN.id, name="Ann\n Lee"))
    told = await why.answer(house.database, house.ledger, agent="parrot", language="en", is_admin=True)
    assert told is not None and f"Approved by: {who}" in told.text.splitlines()


async def test_a_page_is_linked_to_where_it_is_served_now(house: House) -> None:
    change = await house.worked_on()
    for stored, shown in (
        ("http://127.0.0.1:3000/pulls/3?key=k", "http://127.0.0.1:4000/pulls/3?key=k"),
        ("https://github.com/ann/bot/pull/3", "https://github.com/ann/bot/pull/3"),
    ):
        await house.ledger.update(change.id, pull_request_url=stored)
        restored = Ledger(house.database, Redactor(), "http://127.0.0.1:4000")
        assert (await restored.get(change.id)).pull_request_url == shown


async def test_words_are_called_a_correction_once_their_plan_takes_the_place_of_another(
    house: House, openai_server: ScriptedOpenAI
) -> None:
    answered = {"understood": "x", "answer": "It repeats."}
    openai_server.script(says(json.dumps(answered)), says(json.dumps(PLAN)))
    first = await house.ledger.open(lane=LANE, user=ANN, request="Parrot", turn_id=None)
    await house.ledger.update(first.id, plan=WORK, state=ChangeState.CODING)

    async def corrected(words: str) -> tuple[Change, str]:
        made = await house.ledger.open(lane=LANE, user=ANN, request=words, turn_id=None, corrects=first)
        assert cards.progress(made).text == texts.say("en", "mechanic-planning")
        await house.evolution.change(made.id)
        made = await house.ledger.get(made.id)
        return made, cards.progress(made).text

    told = texts.say("en", "mechanic-replaces", change=first.id)
    question, text = await corrected("No, what does it do?")
    assert question.state is ChangeState.ANSWERED and told not in text
    assert not (await house.ledger.get(first.id)).called_off
    _, text = await corrected("No, a cat")
    assert told in text.splitlines()
    assert (await house.ledger.get(first.id)).called_off
    await house.ledger.update(first.id, state=ChangeState.DEPLOYED, replaced_by=None)
    late, text = await corrected("No, a dog")
    assert late.replaces is None and told not in text
