"""Where candidates cannot be kept in, that is said wherever it matters; and what the guards refuse is an alarm."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
import workshops

from persais_core import texts
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, User
from persais_core.mechanic import cards
from persais_core.orchestrator import commands
from persais_core.security.sandbox import Isolation, Sandbox
from persais_core.settings import Settings
from scripted_openai import ScriptedOpenAI, says

ANN = User(id=1000001, name="Ann", is_admin=True)
AGENT = workshops.PARROT
PLAN = {"understood": "Change the parrot", "slug": "parrot", "edit": [AGENT], "steps": ["Do it."]}
REASON = "no isolation here: the kernel has no Landlock"
REFUSED = Isolation("refused", ("rlimits", "watchdog"), REASON)
LIMITS_ONLY = Isolation("limits_only", ("rlimits", "watchdog"), REASON)
KEY = "sk-or-v1-" + "4c" * 32

Run = Callable[[Isolation, str], Awaitable[Change]]


def writes(text: str) -> workshops.Deed:
    """Write one text into the first file of the job."""

    def deed(job: CodeJob) -> CodeResult:
        (job.root / job.edit[0]).write_text(text)
        return CodeResult(status="edited", edited=(job.edit[0],))

    return deed


@pytest.fixture
async def run(database: Database, openai_server: ScriptedOpenAI, tmp_path: Path) -> Run:
    """Take a change through the loop as far as it goes, with a sandbox that was told what holds."""

    async def made(isolation: Isolation, text: str) -> Change:
        settings = Settings(_env_file=None, llm_base_url=openai_server.url, llm_api_key="k", persais_home=tmp_path)
        openai_server.script(says(json.dumps(PLAN)))
        home = workshops.at_home(database, tmp_path, {AGENT: "# the parrot\n"})
        coder, sandbox = workshops.Hand(writes(text)), Sandbox(verdict=isolation)
        shop = workshops.joined(settings, database, coder=coder, sandbox=sandbox, **home)
        change = await shop.ledger.open(lane=Lane(chat_id=ANN.id), user=ANN, request="Change it", turn_id=None)
        await workshops.evolution_of(shop).change(change.id)
        return await shop.ledger.get(change.id)

    return made


async def acts(sql: psycopg.AsyncConnection) -> list[tuple[str, str, str | None]]:
    query = "select action, outcome, alarm from persais.audit where alarm is not null order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def test_refused_means_no_tests_no_deploy_and_a_card_that_says_why(
    run: Run, sql: psycopg.AsyncConnection
) -> None:
    change = await run(REFUSED, "# harmless\n")
    assert change.state is ChangeState.FAILED and change.verdicts == ()
    shown = cards.progress(change)
    assert "Tests not run: the sandbox is unavailable" in shown.text and "no Landlock" in shown.text
    assert [button.text for row in shown.buttons for button in row] == ["Retry", "Abort"]
    assert await acts(sql) == [("sandbox refused", "refused", "sandbox")]


async def test_limits_only_goes_on_and_puts_a_red_line_on_the_card(run: Run, sql: psycopg.AsyncConnection) -> None:
    change = await run(LIMITS_ONLY, "import subprocess\n\n\ndef run() -> None:\n    subprocess.run([])\n")
    print(change.state, change.error, change.verdicts)
    assert change.unsandboxed
    assert await acts(sql) == [("gate refused", "refused", "gate")] * 2, change  # the same failure twice is the end
    for language in texts.LANGUAGES:
        waiting = change.model_copy(
            update={
                "state": ChangeState.AWAITING_APPROVAL,
                "language": language,
                "buttons": {"deploy": "c:1", "abort": "c:2"},
            }
        )
        red = f"🔴 {texts.say(language, 'warning-unsandboxed')}"
        assert red in cards.card(waiting).text
        assert red not in cards.card(waiting.model_copy(update={"unsandboxed": False})).text


async def test_a_key_in_the_code_is_an_alarm_of_its_own_and_stands_nowhere(
    run: Run, sql: psycopg.AsyncConnection
) -> None:
    change = await run(LIMITS_ONLY, f'TOKEN = "{KEY}"\n')
    assert change.state is ChangeState.FAILED
    assert ("secret found", "refused", "secret") in await acts(sql)
    for table in ("audit", "changes", "outbox"):
        rows = await (await sql.execute(f"select t::text from persais.{table} t".encode())).fetchall()
        assert rows and KEY not in str(rows)


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("state", ["enforced", "limits_only", "refused"])
def test_status_says_state_ways_and_reason(state: str, language: Language) -> None:
    ways, reason = ("landlock-7", "seccomp") if state == "enforced" else (), "" if state == "enforced" else REASON
    said, warnings = commands.isolation(Isolation(state, ways, reason), language)  # type: ignore[arg-type]
    user = ANN.model_copy(update={"language": language})
    facts = commands.Facts(version="1", commit="c" * 40, database="ok", model="m", sandbox=said, warnings=warnings)
    text = commands.status(user, facts, None, []).text
    assert all(way in text for way in ways) and reason in text.replace("\\", "")
    assert text.count("🔴") == (0 if state == "enforced" else 1)
