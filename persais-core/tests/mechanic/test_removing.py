"""Taking parts away: what a plan may name, who may still need it, and that the coder brings nothing back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import workshops

from persais_core import errors
from persais_core.checks import paths, tests, typecheck
from persais_core.checks.base import ChangedFile
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, User
from persais_core.domain.plans import Plan
from persais_core.mechanic import branch, cards, code, description, graph, plan, removal, scaffold, verify
from persais_core.mechanic.workshop import Workshop
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

ANN = User(id=7, name="Ann", is_admin=True)
POET, RHYMES, BARD = "bot/agents/poet.py", "bot/tools/rhymes.py", "bot/agents/bard.py"
USES = "from bot.tools.rhymes import rhyme\n"
FILES = {
    POET: USES,
    BARD: USES,
    RHYMES: "async def rhyme() -> None: ...\n",
    "tests/agents/test_poet.py": "from bot.agents.poet import rhyme\ndef test_a() -> None: ...\n",
    "tests/examples/poet.yaml": "agent: poet\nexamples: []\n",
    "tests/tools/test_rhymes.py": "from bot.tools import rhymes\ndef test_a() -> None: ...\n",
}


def read(**fields: Any) -> Plan:
    return plan.read(json.dumps({"understood": "x", "slug": "x"} | fields), {*FILES})


def test_a_part_is_named_by_its_file_or_by_its_kind_and_name_and_takes_its_own_along() -> None:
    made = read(remove=[{"kind": "tool", "name": "rhymes"}, POET, "tests/agents/test_poet.py", POET])
    assert made.remove == (RHYMES, POET) and made.only_removes and made.writable == ()
    assert {*made.gone} == {*FILES} - {BARD}
    renamed = read(remove=[POET], create=[{"kind": "agent", "name": "skald"}])
    assert (renamed.agents, renamed.removed_agents, renamed.only_removes) == (("skald",), ("poet",), False)


@pytest.mark.parametrize(
    "fields",
    [
        {"remove": [path]}
        for path in (
            *("bot/agents/master.py", "bot/agents/mechanic.py", "bot/agents/__init__.py", "bot/main.py", "bot/agents/"),
            *("bot/agents/../main.py", "../bot/agents/poet.py", "/bot/agents/poet.py", "bot/agents/Poet.py"),
            *("BOT/agents/poet.py", "bot/agents/poet.py\n", "bot/agents/poet.PY", "bot/agents/po\u0435t.py"),
            *("tests/agents/test_bard.py", "tests/examples/bard.yaml", "bot/agents/nobody.py", "pyproject.toml"),
        )
    ]
    + [
        {"remove": [{"kind": "agent/../../x", "name": "poet"}]},
        {"remove": [{"kind": "agent", "name": "../tools/rhymes"}]},
        {"remove": [POET], "edit": [POET]},
        {"remove": [POET], "edit": ["tests/agents/test_poet.py"]},
        {"remove": [POET], "create": [{"kind": "agent", "name": "poet"}]},
        {"remove": [POET], "decline": "no"},
        {"remove": [POET], "examples": [{"agent": "poet", "say": "a", "expect": "b"}]},
        {"remove": [f"bot/tools/t{number}.py" for number in range(11)]},
    ],
    ids=str,
)
def test_nothing_else_can_be_removed(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"remove|exist|either|example|changed without|too large"):
        read(**fields)


@pytest.mark.parametrize("path", ["bot/main.py", "bot/agents/../agents/poet.py", "bot/agents/Poet.py", ".env"])
def test_the_gate_lets_no_file_go_that_is_none_of_a_part_even_where_it_is_named(path: str) -> None:
    gone = ChangedFile(path, None, "deleted")
    assert [trouble.rule for trouble in paths.judge(gone, (path,), (), (path,))] == ["closed"]
    other = ChangedFile(BARD, None, "deleted")
    assert [trouble.rule for trouble in paths.judge(other, (), (), (POET,))] == ["plan"]
    assert [trouble.rule for trouble in paths.judge(other, (BARD,), (), (POET,))] == ["removed"]


@pytest.fixture
def coder() -> workshops.Hand:
    return workshops.Hand()


@pytest.fixture
def shop(tmp_path: Path, database: Database, coder: workshops.Hand) -> Workshop:
    """A workshop with a poet and a bard, who share a tool."""
    settings = Settings(
        _env_file=None,
        persais_home=tmp_path / "home",
        llm_base_url="http://127.0.0.1:9/v1",
        default_model="vendor/model",
    )
    home = workshops.at_home(database, tmp_path, FILES)
    return workshops.joined(settings, database, coder=coder, sandbox=Sandbox(secrets_present=False), **home)


async def begun(shop: Workshop, made: Plan) -> Change:
    """A change that has its plan, its branch and what the scaffold makes of it."""
    change = await shop.ledger.open(lane=Lane(chat_id=7), user=ANN, request="Remove it", turn_id=None)
    base = await shop.repository.main()
    fields = {"plan": made, "base": base, "branch": f"feat/x-v{change.id}", "state": ChangeState.CODING}
    change = await shop.ledger.update(change.id, **fields)
    await branch.make(shop, change)
    await scaffold.make(shop, change)
    return change


async def test_who_still_uses_what_goes_must_be_named_and_nobody_may_work_on_it(shop: Workshop) -> None:
    change = await shop.ledger.open(lane=Lane(chat_id=7), user=ANN, request="Remove it", turn_id=None)
    base = await shop.repository.main()
    with pytest.raises(ValueError, match=rf"^{BARD} still uses {RHYMES}; name {BARD} in `edit` or `remove` too$"):
        await removal.check(shop, change, read(remove=[POET, RHYMES]), base)
    for allowed in ({"remove": [POET]}, {"remove": [POET, RHYMES], "edit": [BARD]}):
        await removal.check(shop, change, read(**allowed), base)
    other = await shop.ledger.open(lane=Lane(chat_id=7), user=ANN, request="Another", turn_id=None)
    await shop.ledger.update(other.id, plan=read(edit=[POET]), state=ChangeState.CODING)
    with pytest.raises(errors.PlanError, match=f"change {other.id} is still open and is about {POET} too"):
        await removal.check(shop, change, read(remove=[POET]), base)
    await removal.check(shop, change.model_copy(update={"replaces": other.id}), read(remove=[POET]), base)


async def test_what_goes_is_removed_by_us_and_told_on_the_card_the_commit_and_the_page(shop: Workshop) -> None:
    change = await begun(shop, read(remove=[POET]))
    subject = await verify.subject_of(shop, change, keeps=False)
    assert {(file.path, file.status) for file in subject.changed} == {(path, "deleted") for path in subject.removed}
    assert (await paths.PathsCheck()(subject)).passed and (await typecheck.TypecheckCheck()(subject)).passed
    verdict = await tests.TestsCheck()(subject)  # the tests that went are not missed
    assert verdict.passed and verdict.summary.startswith("1 test ")
    others = await tests.TestsCheck()(dataclasses.replace(subject, removed=()))
    assert others.summary == "tests are missing"
    change = change.model_copy(update={"files": subject.removed, "state": ChangeState.AWAITING_APPROVAL,
                                       "buttons": {"deploy": "a", "abort": "b"}})  # fmt: skip
    shown_card = cards.card(change).text
    assert f"🗑 Goes: {POET}, tests/agents/test_poet.py, tests/examples/poet.yaml\n" in shown_card.replace("\\", "")
    assert "Files: 3 changed" in shown_card and "Examples" not in shown_card
    assert f"- {POET}\n" in description.body(change, str).partition("Removed\n\n")[2].replace("\\", "")
    shown = cards.progress(change.model_copy(update={"state": ChangeState.VERIFYING})).text
    assert f"I will remove, with their tests and examples:\n- `{POET}`" in shown and "Writing the code" not in shown


async def test_the_coder_brings_nothing_back_and_learns_what_a_renamed_one_did(
    shop: Workshop, coder: workshops.Hand
) -> None:
    made = read(remove=[POET], create=[{"kind": "agent", "name": "skald"}])
    change = await begun(shop, made)

    def back(job: CodeJob) -> CodeResult:
        assert f"{POET}:\n{USES}" in job.message and not {*made.gone} & {*job.edit, *job.create, *job.read}
        (job.root / POET).write_text(FILES[POET])  # as it was, so that it differs from nothing
        return CodeResult(status="edited", edited=(POET,))

    coder.deed = back
    result = await code.write(shop, change)
    assert (result.status, result.denied) == ("denied", (POET,))
    folder = shop.worktree(change.branch or "")
    assert not (folder / POET).exists()
    (folder / POET).write_text(FILES[POET])
    (folder / BARD).write_text(USES + "from bot.agents import poet\n")
    subject = await verify.subject_of(shop, change, keeps=False)
    found = [*(await paths.PathsCheck()(subject)).findings, *(await typecheck.TypecheckCheck()(subject)).findings]
    assert f"{POET}: is taken away by this change and may not come back; undo this file" in found
    assert f"{BARD}: still uses {POET}, which is removed; name it too, to be changed or removed" in found


async def test_where_only_something_goes_no_coder_is_asked_and_what_fails_ends_it(
    shop: Workshop, coder: workshops.Hand
) -> None:
    change = await shop.ledger.open(lane=Lane(chat_id=7), user=ANN, request="Remove it", turn_id=None)
    made = read(remove=[POET, RHYMES])  # a plan from before the bard took up rhyming
    fields = {"plan": made, "base": await shop.repository.main(), "state": ChangeState.SCAFFOLDING}
    await shop.ledger.update(change.id, **fields)
    with pytest.raises(errors.ChangeError, match=r"^without what is removed these checks fail: .*typecheck"):
        await graph.builder().compile().ainvoke(graph.State(change=change.id), context=shop)
    ended = await shop.ledger.get(change.id)
    found = [line for verdict in ended.verdicts for line in verdict.findings]
    assert f"{BARD}: still uses {RHYMES}, which is removed; name it too, to be changed or removed" in found
    assert coder.jobs == [] and ended.unable


async def test_nothing_is_removed_through_a_link(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "poet.py").touch()
    (tmp_path / "tree" / "bot").mkdir(parents=True)
    (tmp_path / "tree" / "bot" / "agents").symlink_to(tmp_path / "away")
    with pytest.raises(errors.ChangeError, match="through a link"):
        removal.take_away(tmp_path / "tree", read(remove=[POET]))
    assert (tmp_path / "away" / "poet.py").exists()
