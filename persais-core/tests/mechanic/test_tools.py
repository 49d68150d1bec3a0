"""The Mechanic's tools: each does its work alone when a model calls it, and none lets a model past a gate."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import workshops

import minds
from persais_core.agents.base import Agent
from persais_core.cli import new
from persais_core.coders.aider import AiderCoder
from persais_core.db import app_schema
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, User
from persais_core.domain.plans import Part, Plan
from persais_core.forges.local import LocalForge
from persais_core.git.bare import BareRepository
from persais_core.git.remote import REMOTE_MAIN
from persais_core.git.repository import Repository
from persais_core.mechanic import plan
from persais_core.mechanic.tools import CATALOGUE, Toolbox
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings
from persais_core.templates import engine, projects

ROOT = Path(__file__).parents[3]
ANN = User(id=7, name="Ann", is_admin=True)
SECRET = "correct-horse-battery"
ANSWER = json.dumps({"understood": "A question", "answer": "Done."})
LOUDER = minds.search_replace(
    "bot/agents/parrot.py", "        return message.text\n", "        return message.text.upper()\n"
) + minds.search_replace(
    "tests/agents/test_parrot.py", '    assert reply == "Hello World"\n', '    assert reply == "HELLO WORLD"\n'
)


class Parrot(Agent):
    """Repeats."""

    name = "parrot"


@pytest.fixture(scope="module")
async def mind() -> AsyncIterator[minds.Mind]:
    async with minds.serving() as made:
        yield made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an agent, its own repository and a remote."""
    folder = tmp_path_factory.mktemp("tools") / "bot"
    with projects.prepared(folder) as fresh:
        projects.render(fresh, name="my-bot")
        engine.scaffold(fresh, [Part(kind="agent", name="parrot", title="Parrot")])
        new.commit_all(fresh, "Start")
    BareRepository(folder.parent / "bot.git").create_from(folder)
    return folder


@pytest.fixture
async def shop(project: Path, tmp_path: Path, own_database: Database, mind: minds.Mind) -> AsyncIterator[Workshop]:
    mind.forget()
    given = os.environ.get("PERSAIS_AIDER_VENV")
    coder = AiderCoder(Path(given) if given else ROOT / ".persais" / "aider-venv")
    settings = Settings(
        persais_home=tmp_path / "home", llm_base_url=mind.url, default_model="test-model", fallback_models=()
    )
    yield workshops.joined(
        settings,
        own_database,
        Parrot(),
        repository=Repository(project),
        coder=coder,
        sandbox=Sandbox(secrets_present=False, allow_unsandboxed=True),
        forge=LocalForge(own_database, BareRepository(project.parent / "bot.git"), "http://127.0.0.1:1"),
        redactor=Redactor([SECRET]),
    )
    await coder.close()


async def asked(shop: Workshop, request: str) -> Change:
    """A change that waits for its plan."""
    return await shop.ledger.open(lane=Lane(chat_id=7), user=ANN, request=request, turn_id=None)


async def planned(shop: Workshop, mind: minds.Mind, *answers: minds.Answer) -> tuple[Plan, list[dict[str, Any]]]:
    """Plan with a model that says these things.

    Returns:
        The plan, and what each tool that was called answered.
    """
    mind.planner[:] = [*answers, ANSWER]
    made, _ = await plan.make(shop, await asked(shop, "Tell me about yourself"))
    said = [message for message in mind.calls[-1][1] if message["role"] == "tool"]
    return made, [json.loads(text[text.index("{") : text.rindex("}") + 1]) for text in (m["content"] for m in said)]


def noted(url: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(tool, outcome, detail) of the calls in the audit log."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select detail ->> 'tool', outcome, detail from persais.audit where action = 'tool called' order by id"
        ).fetchall()


def trees(project: Path, home: Path) -> tuple[list[str], list[str]]:
    """What a tool could leave behind: references of both repositories, and folders."""
    refs = sorted(str(p.relative_to(top)) for top in (project / ".git", project.parent / "bot.git")
                  for p in (top / "refs").rglob("*") if p.is_file())  # fmt: skip
    return refs, sorted(p.name for name in ("worktrees", "scratch") for p in (home / name).glob("*"))


async def test_each_tool_does_its_work_alone_and_leaves_only_a_note(
    shop: Workshop, mind: minds.Mind, project: Path, own_url: str
) -> None:
    before = trees(project, shop.settings.persais_home)
    made, results = await planned(
        shop, mind,
        minds.tool_call("manage_git", action="show", path="bot/agents/parrot.py"),
        minds.tool_call("system_check", of="main", part="parrot", checks=["secrets", "lint"]),
        minds.tool_call("scaffold_feature", kind="feature", name="notes", fields=["text:str"]),
        minds.tool_call("apply_migration", action="rollback"),
    )  # fmt: skip
    assert made.answer == "Done."
    shown, checked, scaffolded, tables = results
    assert "class Parrot(Agent)" in shown["text"]
    assert checked["passed"] is True, checked
    assert [verdict["check"] for verdict in checked["verdicts"]] == ["secrets", "lint"]
    assert "bot/schemas/notes.py" in scaffolded["files"]
    assert "create table" in tables["up"].lower()
    assert "up, down and up again" in tables["tried"]
    assert [(tool, outcome) for tool, outcome, _ in noted(own_url)] == [
        ("manage_git", "ok"), ("system_check", "ok"), ("scaffold_feature", "ok"), ("apply_migration", "ok"),
    ]  # fmt: skip
    assert trees(project, shop.settings.persais_home) == before
    with psycopg.connect(own_url) as connection:
        assert app_schema.observe(connection).table("agent_notes") is None
        assert connection.execute("select count(*) from persais.app_migrations").fetchone() == (0,)


async def test_a_task_is_tried_in_the_draft_by_the_real_coder_and_can_be_looked_at(
    shop: Workshop, mind: minds.Mind, project: Path
) -> None:
    before = trees(project, shop.settings.persais_home)
    mind.coder[:] = [LOUDER]
    _, (coded, shown, checked) = await planned(
        shop, mind,
        minds.tool_call("run_coder_task", task="Answer in capitals.", edit=["bot/agents/parrot.py"]),
        minds.tool_call("manage_git", action="diff", ref="draft"),
        minds.tool_call("system_check", of="draft", checks=["paths", "lint"]),
    )  # fmt: skip
    assert coded["status"] == "edited"
    assert set(coded["edited"]) == {"bot/agents/parrot.py", "tests/agents/test_parrot.py"}
    assert "+        return message.text.upper()" in shown["text"]
    assert checked["passed"] is True, checked
    assert trees(project, shop.settings.persais_home) == before


@pytest.fixture
async def toolbox(shop: Workshop) -> AsyncIterator[Toolbox]:
    change = await asked(shop, "Tell me about yourself")
    draft = Draft(shop, change, await shop.repository.main())
    yield Toolbox(shop, draft)
    await draft.close()


ATTACKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("manage_git", {"action": "push", "ref": "main"}),
    ("manage_git", {"action": "merge", "ref": "feat/x-v1"}),
    ("manage_git", {"action": "log", "ref": "main --upload-pack=touch /tmp/x"}),
    ("manage_git", {"action": "show", "path": "../../etc/passwd"}),
    ("manage_git", {"action": "show", "path": "/etc/passwd"}),
    ("manage_git", {"action": "show", "ref": "draft", "path": "bot/../../../../etc/passwd"}),
    ("manage_git", {"action": "log", "force": True}),
    ("system_check", {"of": "change", "change": 999}),
    ("system_check", {"of": "main", "part": "../main"}),
    ("system_check", {"of": "main", "checks": ["deploy"]}),
    ("scaffold_feature", {"kind": "agent", "name": "../../evil"}),
    ("scaffold_feature", {"kind": "agent", "name": "parrot"}),
    ("scaffold_feature", {"kind": "check", "name": "x"}),
    ("run_coder_task", {"task": "x", "edit": ["bot/main.py"]}),
    ("run_coder_task", {"task": "x", "edit": ["../../../.env"]}),
    ("run_coder_task", {"task": "x", "edit": [".github/workflows/ci.yml"]}),
    ("run_coder_task", {"task": "x", "edit": ["tests/agents/test_parrot.py"]}),
    ("run_coder_task", {"task": "x", "edit": ["bot/agents/nobody.py"]}),
    ("run_coder_task", {"task": "x", "edit": []}),
    ("apply_migration", {"action": "apply", "database": "production"}),
    ("apply_migration", {"action": "drop"}),
)


async def test_what_a_model_may_not_do_is_refused_with_the_reason_and_noted(
    toolbox: Toolbox, mind: minds.Mind, own_url: str
) -> None:
    for name, given in ATTACKS:
        assert "refused" in json.loads(await toolbox.call(name, given)), (name, given)
        toolbox._calls.clear()
    assert [(tool, outcome) for tool, outcome, _ in noted(own_url)] == [(name, "refused") for name, _ in ATTACKS]
    assert mind.calls == []  # nothing was asked of the coder


async def test_there_is_no_tool_that_decides(shop: Workshop, toolbox: Toolbox, mind: minds.Mind) -> None:
    assert [tool.name for tool in toolbox.bound()] == list(CATALOGUE)
    mind.planner[:] = [minds.tool_call("deploy", change=1), ANSWER]
    await plan.make(shop, await asked(shop, "Deploy everything"))
    assert "there is no tool deploy" in mind.calls[-1][1][-1]["content"]


async def test_calls_are_counted_and_secrets_never_reach_the_model_or_the_log(toolbox: Toolbox, own_url: str) -> None:
    for _ in range(CATALOGUE["apply_migration"].calls):
        json.loads(await toolbox.call("apply_migration", {"action": SECRET}))
    assert (
        "which is all there is" in json.loads(await toolbox.call("apply_migration", {"action": "preview"}))["refused"]
    )
    assert SECRET not in str(noted(own_url))
    assert SECRET not in await toolbox.call("manage_git", {"action": "log", "ref": SECRET})


async def test_an_open_change_is_checked_as_it_lies_in_its_worktree(shop: Workshop, toolbox: Toolbox) -> None:
    other = await asked(shop, "Parrot in capitals")
    base, name = await shop.repository.main(), "feat/capitals-v1"
    await shop.repository.add_worktree(name, base, shop.worktree(name))
    made = Plan(understood="Capitals", edit=("bot/agents/parrot.py",))
    await shop.ledger.update(other.id, branch=name, base=base, plan=made)
    (shop.worktree(name) / "bot" / "main.py").write_text("pwned = True\n")
    given = {"of": "change", "change": other.id, "checks": ["paths"]}
    result = json.loads(await toolbox.call("system_check", given))
    assert "bot/main.py" in str(result["verdicts"][0]["findings"])
    await shop.repository.remove_worktree(name, shop.worktree(name))
    state = json.loads(await toolbox.call("system_check", {}))["state"]
    assert [change["change"] for change in state["open_changes"]] == [1, other.id]


async def test_a_draft_that_changes_no_table_says_so(toolbox: Toolbox) -> None:
    told = json.loads(await toolbox.call("apply_migration", {"action": "preview"}))
    assert told["steps"] == ["nothing changes: the tables are as the schemas want them"]


async def test_a_link_in_a_draft_leads_nowhere(shop: Workshop, toolbox: Toolbox) -> None:
    await toolbox.call("scaffold_feature", {"kind": "tool", "name": "shout"})
    draft = shop.scratch(1) / "draft"
    (draft / "bot" / "tools" / "shout.py").unlink()
    (draft / "bot" / "tools" / "shout.py").symlink_to("/etc/passwd")
    answer = json.loads(
        await toolbox.call("manage_git", {"action": "show", "ref": "draft", "path": "bot/tools/shout.py"})
    )
    assert answer == {"refused": "the draft has no file bot/tools/shout.py"}


def point_main(folder: Path, commit: str) -> None:
    """Let main be a commit, as it is known from the remote."""
    subprocess.run(["git", "update-ref", REMOTE_MAIN, commit], cwd=folder, check=True)


async def test_what_a_commit_of_main_changed_and_which_files_it_has_can_be_seen(
    shop: Workshop, toolbox: Toolbox
) -> None:
    main = await shop.repository.main()
    first = (await shop.repository.log(main))[-1][0]
    folder = shop.worktree("feat/gone-v1")
    await shop.repository.add_worktree("feat/gone-v1", main, folder)
    (folder / "bot" / "agents" / "parrot.py").write_text("pass\n")
    path = "bot/agents/parrot.py"
    made = await shop.repository.commit("feat/gone-v1", main, folder, (path,), "Gone\n\nPersais-Change: 7\n")
    await shop.repository.remove_worktree("feat/gone-v1", folder, keep_branch=True)

    async def told(**given: Any) -> str:
        return str(json.loads(await toolbox.call("manage_git", given)).get("text", ""))

    assert (await told(action="diff", ref=made)).startswith("diff --git")  # of a branch: against main
    assert "first commit" in await told(action="diff", ref=first)
    assert path in (await told(action="show", ref=made)).splitlines()
    assert "nothing differs from main" in await told(action="diff", ref="main")
    assert (await told(action="log", ref=made)).startswith(f"{made[:12]} Gone (change 7)\n")
    assert f"feat/gone-v1 {made[:12]} Gone (change 7)" in await told(action="branches")
    point_main(shop.repository.path, made)
    try:
        diff = await told(action="diff", ref=made[:12])
    finally:
        point_main(shop.repository.path, main)
        await shop.repository.remove_worktree("feat/gone-v1", folder)
    assert diff.startswith(f"{made[:12]} is in main; against its first parent {main[:12]}:\ndiff --git")


async def test_the_question_tells_what_parts_are_and_what_failed_before(shop: Workshop) -> None:
    first = await asked(shop, "Parrot in capitals")
    await shop.ledger.update(
        first.id, plan=Plan(understood="Capitals", edit=("bot/agents/parrot.py",)), error="no luck"
    )
    second = await shop.ledger.open(
        lane=Lane(chat_id=7), user=ANN, request="No, in small letters", turn_id=None,
        corrects=await shop.ledger.get(first.id),
    )  # fmt: skip
    told = await plan.question(shop, second, await shop.repository.main())
    [parrot] = [agent for agent in told["project"]["agents"] if agent["name"] == "parrot"]
    assert (parrot["title"], parrot["prompt"], parrot["keywords"]) == ("Parrot", False, ["parrot"])
    assert parrot["description"]
    assert told["earlier"]["plan"]["understood"] == "Capitals"
    assert told["earlier"]["failure"]["cause"] == "no luck"


async def test_the_planner_is_told_what_agents_raised_lately_and_not_what_a_later_version_mended(
    shop: Workshop, mind: minds.Mind
) -> None:
    failed = (
        "insert into persais.turns (chat_id, user_id, state, agent, error, finished_at) "
        "select 7, 7, 'failed', 'parrot', format('ValueError: %%s %%s', %(said)s::text, n), now() + %(ago)s::interval "
        "from generate_series(1, %(many)s) n"
    )
    await shop.database.run(failed, {"said": "old", "ago": "-2 days", "many": 2})
    mended = await asked(shop, "Mend the parrot")
    await shop.ledger.update(mended.id, state=ChangeState.DEPLOYED, files=("bot/agents/parrot.py",))
    served = (
        "insert into persais.deployments (change_id, commit, state, finished_at) "
        "values (%(change)s, 'c', 'confirmed', now() - interval '1 day')"
    )
    await shop.database.run(served, {"change": mended.id})
    await shop.database.run(failed, {"said": SECRET, "ago": "0", "many": 5})
    await planned(shop, mind)
    told = json.loads(mind.calls[-1][1][1]["content"])["raised_lately"]
    assert [text.partition("Value")[2] for text in told.pop("parrot")] == [f"Error: [hidden] {n}" for n in (5, 4, 3)]
    assert told == {}


@pytest.mark.parametrize(("language", "said"), [("en", "number from 0 to 2"), ("ru", "число от 0 до 2")])
async def test_a_setting_beyond_its_range_is_declined_and_not_mended_by_the_model(
    shop: Workshop, mind: minds.Mind, language: Language, said: str
) -> None:
    person = ANN.model_copy(update={"language": language})
    change = await shop.ledger.open(lane=Lane(chat_id=7), user=person, request="Temperature 9", turn_id=None)
    mind.planner[:] = [json.dumps({"understood": "x", "configure": {"agent": "parrot", "temperature": 9}})]
    made, _ = await plan.make(shop, change)
    assert made.decline is not None and said in made.decline
    assert [kind for kind, _ in mind.calls] == ["plan"]


def test_what_a_model_gets_wrong_about_a_setting_is_told_in_plain_words() -> None:
    wrong = {"understood": "x", "configure": {"agent": "parrot", "temperature": "low"}}
    with pytest.raises(ValueError, match="a number from 0 to 2"):
        plan.read(json.dumps(wrong), set())
