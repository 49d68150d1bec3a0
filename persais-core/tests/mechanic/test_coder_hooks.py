"""What is held around a run of the coder: a clean tree before, a judged one after, both in the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import workshops

from persais_core import errors
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.domain.changes import Change
from persais_core.domain.chats import Lane, User
from persais_core.domain.plans import Plan
from persais_core.mechanic import branch, code
from persais_core.mechanic.workshop import Workshop
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

ECHO, OTHER = "bot/agents/echo.py", "bot/agents/other.py"


@pytest.fixture
def coder() -> workshops.Hand:
    return workshops.Hand()


@pytest.fixture
def shop(tmp_path: Path, own_database: Database, coder: workshops.Hand) -> Workshop:
    settings = Settings(
        _env_file=None,
        persais_home=tmp_path / "home",
        llm_base_url="http://127.0.0.1:9/v1",
        llm_api_key="sk-the-key-of-the-model",
        default_model="vendor/model",
        model_prices="vendor/model=3/15",
    )
    return workshops.joined(
        settings,
        own_database,
        coder=coder,
        sandbox=Sandbox(secrets_present=False),
        redactor=Redactor(settings.secrets),
        **workshops.at_home(own_database, tmp_path, dict.fromkeys((ECHO, OTHER), "BEFORE = 1\n")),
    )


async def begun(shop: Workshop) -> Change:
    """A change with a worktree, whose plan is to change one agent."""
    lane, user = Lane(chat_id=7), User(id=7, name="Ann", is_admin=True)
    change = await shop.ledger.open(lane=lane, user=user, request="louder", turn_id=None)
    base = await shop.repository.main()
    plan = Plan(understood="Louder", edit=(ECHO,), slug="louder")
    change = await shop.ledger.update(change.id, plan=plan, base=base, branch="feat/louder-001", round=1)
    await branch.make(shop, change)
    return change


def noted(url: str) -> list[tuple[Any, ...]]:
    """(action, outcome, subject, detail) of what the coder did; each must name the commit it began from."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select action, outcome, subject, detail from persais.audit "
            "where (action like 'coder%' or action = 'edit refused') and commit is not null order by id"
        ).fetchall()


async def test_what_may_not_be_changed_is_put_back_and_noted(
    shop: Workshop, coder: workshops.Hand, own_url: str
) -> None:
    change = await begun(shop)

    def deed(job: CodeJob) -> CodeResult:
        (job.root / ECHO).write_text("AFTER = 1\n")
        (job.root / OTHER).write_text("EVIL = 1\n")
        (job.root / "bot" / "main.py").symlink_to("/etc/passwd")
        return CodeResult(status="edited", edited=(ECHO,), tokens_in=10, cost=0.25, requests=1)

    coder.deed = deed
    result = await code.write(shop, change)
    assert (result.status, set(result.denied)) == ("denied", {OTHER, "bot/main.py"})
    worktree = shop.worktree("feat/louder-001")
    assert (worktree / OTHER).read_text() == "BEFORE = 1\n" and not (worktree / "bot" / "main.py").is_symlink()
    began, refused, ended = noted(own_url)
    files = [ECHO, "tests/agents/test_echo.py"]
    assert began == ("coder began", "ok", f"change {change.id}", {"files": files, "round": 1})
    assert refused[:2] == ("edit refused", "refused") and set(refused[3]["files"]) == {OTHER, "bot/main.py"}
    assert ended[:2] == ("coder ended", "failed") and (ended[3]["status"], ended[3]["cost"]) == ("denied", 0.25)


async def test_a_file_in_a_usual_place_is_an_alarm_only_when_it_is_wanted_again(
    shop: Workshop, coder: workshops.Hand, own_url: str
) -> None:
    change, wanted = await begun(shop), [("bot/helpers/x.py",), ("tests/conftest.py",), ("bot/helpers/x.py",)]

    def deed(job: CodeJob) -> CodeResult:
        (job.root / ECHO).write_text(f"AFTER = {len(wanted)}\n")
        return CodeResult(status="edited", edited=(ECHO,), denied=wanted.pop(0))

    coder.deed = deed
    for _ in range(3):
        await code.write(shop, change)
    query = "select alarm from persais.audit where action = 'edit refused' order by id"
    with psycopg.connect(own_url) as connection:
        assert connection.execute(query).fetchall() == [(None,), ("edit",), ("edit",)]


async def test_a_run_is_told_the_list_the_prices_and_what_must_not_be_said(
    shop: Workshop, coder: workshops.Hand, own_url: str
) -> None:
    change = await begun(shop)
    await code.write(shop, change)
    [job] = coder.jobs
    assert (job.edit, job.create, job.read) == ((ECHO,), ("tests/agents/test_echo.py",), (OTHER,))
    assert job.prices == pytest.approx((3e-6, 15e-6))
    assert [value.get_secret_value() for value in job.secrets] == ["sk-the-key-of-the-model"]
    assert job.max_cost == pytest.approx(2.0)
    assert [row[0] for row in noted(own_url)] == ["coder began", "coder ended"]


async def test_in_a_tree_that_is_not_clean_nothing_is_begun(
    shop: Workshop, coder: workshops.Hand, own_url: str
) -> None:
    change = await begun(shop)
    (shop.worktree("feat/louder-001") / ".env").write_text("OPENAI_API_BASE=http://evil\n")
    with pytest.raises(errors.CoderError, match=r"\.env, which is not part of this change"):
        await code.write(shop, change)
    assert coder.jobs == [] and noted(own_url) == []


async def test_a_sandbox_that_refuses_is_noted_and_told(shop: Workshop, coder: workshops.Hand, own_url: str) -> None:
    change = await begun(shop)

    def deed(job: CodeJob) -> CodeResult:
        raise errors.SandboxError("no isolation here: this kernel has no Landlock")

    coder.deed = deed
    with pytest.raises(errors.SandboxError):
        await code.write(shop, change)
    assert [row[:2] for row in noted(own_url)] == [("coder began", "ok"), ("coder ended", "failed")]


async def test_what_was_written_before_a_kill_is_the_work_of_the_round_that_is_repeated(
    shop: Workshop, coder: workshops.Hand
) -> None:
    change = await begun(shop)

    def deed(job: CodeJob) -> CodeResult:
        if len(coder.jobs) > 1:
            return CodeResult(status="no_edits", reply="All is as it should be.")
        (job.root / ECHO).write_text("AFTER = 1\n")
        raise SystemExit  # nobody gets to note what was done

    coder.deed = deed
    with pytest.raises(SystemExit):
        await code.one_round(shop, change, is_step=True)
    again = await code.one_round(shop, change, is_step=True)
    assert (again.status, again.edited) == ("edited", (ECHO,))
    following = change.model_copy(update={"round": 2})
    assert (await code.one_round(shop, following, is_step=True)).status == "no_edits"
