"""How a change ends when something is away at the wrong moment: what is told is true, and it does end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import pygit2
import pytest
import workshops
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from pydantic import SecretStr

import repositories
from github_standin import TOKEN, GitHubStandIn
from persais_core import errors, texts
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.db.tables.people import Person
from persais_core.deployers.local import LocalDeployer
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, User
from persais_core.domain.plans import Part, Plan, PlannedExample
from persais_core.forges.github import GitHubForge
from persais_core.git.remote import Remote
from persais_core.git.repository import Repository
from persais_core.mechanic import approvals, cards, code, graph, production, retry
from persais_core.mechanic import plan as planning
from persais_core.mechanic.evolution import Evolution
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import jobs
from persais_core.security.redact import Redactor
from persais_core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

ANN = User(id=1000001, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN.id)
AGENT, OWL = workshops.PARROT, "bot/agents/owl.py"


class Deployer(LocalDeployer):
    """One whose database can go away for a moment."""

    is_away = False

    async def request(self, session: AsyncSession, *, commit: str, change_id: int | None) -> None:
        if self.is_away:
            raise psycopg.OperationalError("the connection is lost")
        await super().request(session, commit=commit, change_id=change_id)


@contextlib.asynccontextmanager
async def leaving(lane: Lane) -> AsyncIterator[str | None]:
    """Nobody has to leave."""
    yield None


def at_once(error: Exception, tries: int) -> object:
    from githubkit.exception import RequestFailed
    from githubkit.typing import RetryOption

    passing = isinstance(error, RequestFailed) and error.response.status_code >= 500
    return RetryOption(passing and tries < 3, timedelta(milliseconds=1))


@dataclass
class House:
    """A Mechanic whose repository is at GitHub."""

    hub: GitHubStandIn
    database: Database
    shop: Workshop
    evolution: Evolution
    deployer: Deployer

    async def approved(self, slug: str = "parrot", file: str = AGENT) -> Change:
        """A change with a card, whose graph comes to its deployment next."""
        ledger, repository = self.shop.ledger, self.shop.repository
        opened = await ledger.open(lane=LANE, user=ANN, request="Change the parrot", turn_id=None)
        branch, base = f"feat/{slug}-v1", await repository.main()
        folder = self.shop.worktree(branch)
        await repository.add_worktree(branch, base, folder)
        (folder / file).write_text(f"# the parrot says {slug}\n")
        commit = await repository.commit(branch, base, folder, (file,), "Change it")
        await repository.push(branch)
        link = await self.shop.forge.open(branch=branch, head=commit, base=base, title="Change it", body="")
        found = graph.builder().compile(checkpointer=AsyncPostgresSaver(await self.database.graph_pool()))
        config: Any = {"configurable": {"thread_id": f"change:{opened.id}:0"}}
        await found.aupdate_state(config, {"change": opened.id, "user": ANN.id}, as_node="approve")
        async with ledger.changing(opened.id) as (session, change):
            made = change.model_copy(update={"commit": commit})
            return await ledger.write(
                session,
                made.model_copy(
                    update={
                        "state": ChangeState.AWAITING_APPROVAL,
                        "plan": Plan(understood="Change it", edit=(file,)),
                        "branch": branch,
                        "base": base,
                        "files": (file,),
                        "pull_request": link.number,
                        "buttons": approvals.issue(session, made, ("deploy", "abort")),
                    }
                ),
            )

    async def merged(self) -> tuple[Change, int]:
        """A change that is on main, and the number of its deployment."""
        change = await self.approved()
        await self.deploy(change)
        [(number, _)] = await self.deployments()
        return await self.now(change), number

    async def on_top(self) -> Change:
        """A change of another file, with a card, that was checked together with what main is now."""
        change = await self.approved("owl", OWL)
        return await self.shop.ledger.update(change.id, checked_on=self.hub.main)

    async def deploy(self, change: Change) -> None:
        await self.evolution.decide(change.id, "deploy", ANN.id)

    async def now(self, change: Change) -> Change:
        return await self.shop.ledger.get(change.id)

    async def deployments(self) -> list[tuple[int, str]]:
        rows = await self.database.run("select id, commit from persais.deployments order by id", {})
        return [(row["id"], row["commit"]) for row in rows]

    async def ended(self, number: int, state: str) -> None:
        """A deployment has come to its end, which is told now."""
        query = (
            "update persais.deployments set state = %(state)s, cause = 'it broke', finished_at = now() "
            "where id = %(number)s"
        )
        await self.database.run(query, {"state": state, "number": number})
        await self.evolution.deployed(number)

    async def broke(self, agent: str, error: str, many: int = 1) -> None:
        """Somebody wrote to an agent, whose code raised."""
        query = (
            "insert into persais.turns (chat_id, user_id, state, agent, error, finished_at) "
            "select 1, 1, 'failed', %(agent)s, %(error)s, now() from generate_series(1, %(many)s)"
        )
        await self.database.run(query, {"agent": agent, "error": error, "many": many})

    async def shown(self, change: Change) -> list[tuple[str, str, bool]]:
        """What the messages of a change say, by the time of their coming, and whether they have buttons."""
        query = (
            "select key, body ->> 'text' as text, body ? 'buttons' as taps from persais.outbox "
            "where key ~ %(mine)s order by id"
        )
        rows = await self.database.run(query, {"mine": f"^change:{change.id}:.*(card|progress)$"})
        return [(row["key"], row["text"], row["taps"]) for row in rows]

    def push(self, path: str, text: str | None) -> None:
        """Somebody else writes a file on main, or removes it."""
        repo = pygit2.Repository(str(self.hub.path))
        index, head = pygit2.Index(), pygit2.Oid(hex=self.hub.main)
        index.read_tree(repo[head].peel(pygit2.Tree))
        if text is None:
            index.remove(path)
        else:
            index.add(pygit2.IndexEntry(path, repo.create_blob(text.encode()), pygit2.enums.FileMode.BLOB))
        me = pygit2.Signature("Bob", "bob@localhost", 1, 0)
        repo.create_commit("refs/heads/main", me, me, "By hand", index.write_tree(repo), [head])

    async def said(self) -> str:
        """All that stands in messages now."""
        rows = await self.database.run("select body ->> 'text' as text from persais.outbox order by id", {})
        return "\n".join(row["text"] for row in rows)


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        project = tmp_path / "project"
        repositories.commit_all(project, {AGENT: "# the parrot\n"})
        pygit2.Repository(str(project)).remotes.create("persais", hub.git_url)
        far = Remote(hub.git_url, SecretStr(TOKEN))
        repository, deployer = Repository(project, far), Deployer()
        await repository.push("main")
        settings = Settings(_env_file=None, persais_home=tmp_path)
        forge = GitHubForge(far, repository, hub.url, retry=at_once)
        shop = workshops.joined(settings, database, repository=repository, forge=forge, deployer=deployer)
        yield House(hub, database, shop, workshops.evolution_of(shop, leaving), deployer)


async def test_a_change_that_may_be_merged_is_neither_failed_nor_merged_until_that_is_known(house: House) -> None:
    change = await house.approved()
    house.hub.lost = [500] * 9
    with pytest.raises(errors.ForgeUnavailableError):
        await house.deploy(change)
    waiting = await house.now(change)
    assert waiting.state is ChangeState.DEPLOYING and "I keep trying" in str(waiting.note)
    assert await house.deployments() == []
    house.hub.failures.clear()
    for _ in range(2):  # the second is what a kill just after the first leads to
        await house.deploy(change)
    done = await house.now(change)
    assert (done.state, done.merge_commit, done.note) == (ChangeState.DEPLOYING, house.hub.main, None)
    assert [commit for _, commit in await house.deployments()] == [house.hub.main]


async def test_a_database_that_is_away_after_the_merge_does_not_make_it_a_failure(house: House) -> None:
    change = await house.approved()
    house.deployer.is_away = True
    with pytest.raises(psycopg.OperationalError):
        await house.deploy(change)
    assert (await house.now(change)).state is ChangeState.DEPLOYING
    house.deployer.is_away = False
    await house.deploy(change)
    assert [commit for _, commit in await house.deployments()] == [house.hub.main]


async def test_what_is_merged_on_top_of_one_that_was_cut_off_is_deployed_after_it(house: House) -> None:
    first = await house.approved()
    house.deployer.is_away = True
    with pytest.raises(psycopg.OperationalError):
        await house.deploy(first)
    house.deployer.is_away = False
    merged = house.hub.main
    second = await house.on_top()
    await house.deploy(second)
    assert [commit for _, commit in await house.deployments()] == [merged, house.hub.main]
    await house.deploy(first)  # what was left behind comes to it as well
    assert (await house.now(first)).merge_commit == merged
    assert [commit for _, commit in await house.deployments()] == [merged, house.hub.main]


async def test_a_database_that_is_away_in_the_middle_of_a_step_does_not_make_it_a_failure(house: House) -> None:
    opened = await house.shop.ledger.open(lane=LANE, user=ANN, request="Change the parrot", turn_id=None)

    class Cut(workshops.Hand):
        """One who is at work when the connection is lost."""

        async def warm(self) -> None:
            raise psycopg.OperationalError("the connection is lost")

    evolution = workshops.evolution_of(dataclasses.replace(house.shop, coder=Cut()), leaving)
    with pytest.raises(psycopg.OperationalError):
        await evolution.change(opened.id)
    assert (await house.now(opened)).state is ChangeState.PLANNING


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no room left"), (errno.EROFS, "may not write")])
async def test_a_disk_that_takes_nothing_is_told_as_what_it_is(house: House, number: int, words: str) -> None:
    opened = await house.shop.ledger.open(lane=LANE, user=ANN, request="Change the parrot", turn_id=None)

    class Full(workshops.Hand):
        """One who finds no room."""

        async def warm(self) -> None:
            raise OSError(number, "the system's words", "/home/ann/scratch/change-1")

    evolution = workshops.evolution_of(dataclasses.replace(house.shop, coder=Full()), leaving)
    await evolution.change(opened.id)
    failed = await house.now(opened)
    assert failed.state is ChangeState.FAILED
    assert words in str(failed.error) and "/home/ann/scratch/change-1" in str(failed.error)


async def test_whoever_was_cut_off_while_coding_does_not_fail_what_another_process_has_finished(house: House) -> None:
    ready = await house.approved()
    ledger, began, may_go_on = house.shop.ledger, asyncio.Event(), asyncio.Event()
    change = await ledger.update(ready.id, state=ChangeState.CODING, attempt=1)
    found = graph.builder().compile(checkpointer=AsyncPostgresSaver(await house.database.graph_pool()))
    config: Any = {"configurable": {"thread_id": f"change:{change.id}:1"}}
    await found.aupdate_state(config, {"change": change.id, "user": ANN.id}, as_node="scaffold")

    class Late(workshops.Hand):
        """A coder whose answer comes when it does not matter any more."""

        async def run(self, job: CodeJob) -> CodeResult:
            began.set()
            await may_go_on.wait()
            return await super().run(job)

    cut_off = workshops.evolution_of(dataclasses.replace(house.shop, coder=Late()), leaving)

    async def go_on(change: int) -> None:
        if not began.is_set():
            await cut_off.change(change)
        else:
            await ledger.update(change, state=ChangeState.AWAITING_APPROVAL)

    async def deliver(chat: int) -> None:
        """Nobody reads it."""

    workers = []
    for _ in range(2):
        worker = jobs.Worker(house.database, {"change": go_on, "deliver": deliver})
        workers.append(asyncio.create_task(worker.run(alone=True)))
        await asyncio.wait_for(began.wait(), 30)
    async with asyncio.timeout(60):
        while (await house.now(change)).state is not ChangeState.AWAITING_APPROVAL:
            await asyncio.sleep(0.05)
    may_go_on.set()
    for worker in workers:
        worker.cancel()
        await asyncio.wait([worker])
    done = await house.now(change)
    assert (done.state, done.error) == (ChangeState.AWAITING_APPROVAL, None)


async def test_what_was_merged_by_hand_is_not_aborted_and_retry_has_it_deployed(house: House) -> None:
    change = await house.approved()
    house.hub.protect()
    await house.deploy(change)
    assert (await house.now(change)).state is ChangeState.FAILED
    house.hub.is_protected = False
    (house.hub.path / "hooks" / "update").unlink()
    assert change.pull_request is not None and change.commit is not None
    merged = await house.shop.forge.merge(change.pull_request, head=change.commit)
    before = (await house.now(change)).buttons
    await house.evolution.decide(change.id, "abort", ANN.id)
    kept = await house.now(change)
    assert kept.state is ChangeState.FAILED and set(kept.buttons) == set(before) and kept.buttons != before
    assert "could not be aborted: main has it already" in await house.said()
    await house.evolution.decide(change.id, "retry", ANN.id)
    shipped = await house.now(change)
    assert (shipped.state, shipped.merge_commit, shipped.attempt) == (ChangeState.DEPLOYING, merged, 0)
    assert [commit for _, commit in await house.deployments()] == [merged]


async def test_what_main_becomes_because_somebody_was_faster_is_taken_out_again_where_it_does_not_pass(
    house: House,
) -> None:
    change = await house.approved()
    repo = pygit2.Repository(str(house.hub.path))

    def push() -> None:
        builder = repo.TreeBuilder(repo[house.hub.main].peel(pygit2.Tree))
        builder.insert("NOTES.md", repo.create_blob(b"faster"), pygit2.enums.FileMode.BLOB)
        me = pygit2.Signature("Bob", "bob@localhost", 1, 0)
        repo.create_commit("refs/heads/main", me, me, "Notes", builder.write(), [pygit2.Oid(hex=house.hub.main)])

    house.hub.before_merging = push
    await house.deploy(change)  # the checks that then run cannot: this machine has no sandbox
    failed = await house.now(change)
    assert failed.state is ChangeState.FAILED and "Main has changed while this was merged" in str(failed.error)
    assert (failed.left_on_main, await house.deployments()) == (False, [])
    main = repo[house.hub.main].peel(pygit2.Tree)
    assert main["NOTES.md"].data == b"faster" and (main / AGENT).data == b"# the parrot\n"


async def test_a_pull_request_that_goes_to_another_branch_now_is_not_merged(house: House) -> None:
    change = await house.approved()
    assert change.pull_request is not None
    house.hub.pulls[change.pull_request]["base"]["ref"] = "wip"
    main = house.hub.main
    await house.deploy(change)
    assert "does not go to main any more" in str((await house.now(change)).error)
    assert (house.hub.main, house.hub.pulls[change.pull_request]["state"]) == (main, "open")


async def test_what_a_version_raised_before_it_was_taken_back_is_told_to_whoever_mends_it(house: House) -> None:
    change, number = await house.merged()
    await house.broke("parrot", "ZeroDivisionError: division by zero\nbot/agents/parrot.py, line 9, in reply", 2)
    await house.broke("owl", "ValueError: of another agent")
    await house.ended(number, "failed")
    lately = await production.lately(house.shop)
    assert list(lately) == ["parrot"]
    [told] = lately["parrot"]
    assert " 2 times: ZeroDivisionError: division by zero" in told
    assert told.endswith("\nin a version that was taken back; it is on feat/parrot-v1")
    again = await retry.prepare(house.shop, await house.now(change))
    assert again.state is ChangeState.SCAFFOLDING and again.plan == change.plan
    findings = code.failures(again, house.shop)
    assert findings.startswith("[production] it passed all checks and was deployed, and then taken back: it broke\n")
    assert "2 times: ZeroDivisionError" in findings and "owl" not in findings and "another" not in findings


async def test_a_retry_is_told_below_and_leaves_no_button_on_the_card_that_failed(house: House) -> None:
    change, number = await house.merged()
    await house.ended(number, "failed")
    assert [taps for *_, taps in await house.shown(change)] == [False, True]
    again = await retry.prepare(house.shop, await house.now(change))
    *_, (_, card, has_buttons), (newest, text, _) = await house.shown(change)
    assert card.startswith("🔁 Not deployed; it is tried again below\n") and not has_buttons
    assert newest == f"change:{change.id}:1:progress" and "Working" in text
    failed = await house.shop.ledger.update(again.id, state=ChangeState.FAILED, error="no luck", commit="c" * 40)
    assert (await house.shown(change))[-1][0] == f"change:{change.id}:1:card"
    await retry.prepare(house.shop, await house.shop.ledger.update(failed.id, commit=None))
    shown = {key: text for key, text, _ in await house.shown(change)}
    assert shown[f"change:{change.id}:1:progress"].endswith("🔁 It did not work, so it is tried again below. No luck")
    assert list(shown)[-1] == f"change:{change.id}:2:progress"


@pytest.mark.parametrize(
    ("plan", "path", "text", "why"),
    [
        ({"edit": (AGENT,)}, AGENT, None, f"main has no {AGENT} any more"),
        (
            {"create": (Part(kind="agent", name="owl"),)},
            "tests/agents/test_owl.py",
            "# by hand\n",
            "main has tests/agents/test_owl.py already",
        ),
    ],
    ids=["gone", "there"],
)
async def test_a_plan_that_main_has_outgrown_is_made_anew(
    house: House, plan: dict[str, Any], path: str, text: str | None, why: str
) -> None:
    change = await house.approved()
    made = Plan(understood="Do it", **plan)
    failed = await house.shop.ledger.update(change.id, state=ChangeState.FAILED, error="x", plan=made)
    house.push(path, text)
    again = await retry.prepare(house.shop, failed)
    assert (again.state, again.unable, again.base) == (ChangeState.PLANNING, why, None)
    question = await planning.question(house.shop, again, await house.shop.repository.main())
    assert question["earlier"]["failure"] == {"cause": why, "findings": []}
    assert (await house.shown(change))[-1][1] == texts.say("en", "mechanic-planning")


async def test_a_retry_knows_which_examples_main_keeps_by_now(house: House) -> None:
    change = await house.approved()
    said = [PlannedExample(agent="parrot", say=say, expect="Polly") for say in ("Who?", "Name?", "You?")]
    made = Plan(understood="Do it", edit=(AGENT,), examples=tuple(said))
    failed = await house.shop.ledger.update(change.id, state=ChangeState.FAILED, error="x", plan=made)
    kept = "agent: parrot\nexamples:\n  - say: Who?\n    expect: Polly\n  - say: Name?\n    expect: Ann\n"
    house.push("tests/examples/parrot.yaml", kept)
    again = await retry.prepare(house.shop, failed)
    assert again.plan is not None
    told = [(example.is_kept, example.instead_of) for example in again.plan.examples]
    assert told == [(True, None), (False, "Ann"), (False, None)]


async def test_that_a_change_is_deployed_says_which_where_another_one_waits_or_went_before(house: House) -> None:
    other = await house.approved("other")
    change, number = await house.merged()
    await house.ended(number, "serving")
    assert f"🚀 Deployed!\n\nChange {change.id}: Change it" in await house.said()
    assert (await house.now(other)).state is ChangeState.AWAITING_APPROVAL
    last = await house.approved("owl", OWL)
    await house.shop.ledger.update(other.id, state=ChangeState.ABORTED)
    await house.deploy(last)
    await house.ended((await house.deployments())[-1][0], "serving")
    assert f"🚀 Deployed!\n\nChange {last.id}: Change it" in await house.said()


async def test_a_new_attempt_takes_along_nothing_of_the_failed_one_but_what_it_is_about(house: House) -> None:
    change = await house.approved()
    left = {"losses": ("The table is dropped.",), "verified": "d", "unsandboxed": True, "platform": "fly", "round": 2}
    await house.shop.ledger.update(change.id, state=ChangeState.FAILED, error="x", checked_on="c" * 40, **left)
    again = await retry.prepare(house.shop, await house.now(change))
    fresh = Change(id=0, chat_id=0, user_id=0, language="en", request="")
    carried = {name for name in Change.model_fields if getattr(again, name) != getattr(fresh, name)}
    assert carried <= {*retry.KEPT, "attempt", "state", "plan", "base", "verdicts"}
    assert (again.attempt, again.plan, again.request) == (1, change.plan, change.request)


@pytest.mark.parametrize("decision", ["retry", "abort"])
async def test_tables_that_a_failed_change_left_are_taken_back_before_anything_else(
    house: House, decision: Literal["retry", "abort"]
) -> None:
    change = await house.approved()
    await house.shop.ledger.update(change.id, state=ChangeState.FAILED, error="x")
    await house.database.run(
        "insert into persais.app_migrations (change_id, is_lossy, state, tag, steps, up_sql, down_sql, again_sql) "
        "values (%(change)s, false, 'applied', 'x', '[]', 'select 1', 'select 1', 'select 1')",
        {"change": change.id},
    )
    if decision == "abort":
        await house.evolution.decide(change.id, decision, ANN.id)
    else:
        await retry.prepare(house.shop, await house.now(change))
    [row] = await house.database.run("select state from persais.app_migrations", {})
    assert row["state"] == "reverted"


async def test_a_failed_version_is_taken_out_of_main_as_soon_as_that_can_be_done(house: House) -> None:
    change, number = await house.merged()
    merged = house.hub.main
    house.hub.is_away = True
    for _ in range(2):
        with pytest.raises(errors.ForgeUnavailableError):
            await house.ended(number, "failed")
    left = await house.now(change)
    assert (left.state, left.left_on_main, house.hub.main) == (ChangeState.FAILED, True, merged)
    said = await house.said()
    assert said.count("did not start") == 2 and said.count("could not be taken out of main") == 1  # told, and the card
    house.hub.is_away = False
    for _ in range(2):
        await house.ended(number, "failed")
    assert not (await house.now(change)).left_on_main
    assert (await house.said()).count(f"Change {change.id} is out of main now") == 1
    assert await house.shop.repository.read(await house.shop.repository.main(), AGENT) == "# the parrot\n"


async def test_nothing_is_merged_on_top_of_a_version_that_failed(house: House) -> None:
    change, number = await house.merged()
    other = await house.approved("other")
    house.hub.protect()
    with pytest.raises(errors.ForgeError, match="does not take the push"):
        await house.ended(number, "failed")
    main = house.hub.main
    await house.deploy(other)
    failed = await house.now(other)
    assert failed.state is ChangeState.FAILED and "does not take the push" in str(failed.error)
    assert house.hub.main == main and (await house.now(change)).left_on_main


async def test_what_was_merged_on_top_of_a_version_that_fails_does_not_go_on_serving_it(house: House) -> None:
    _, number = await house.merged()
    other = await house.on_top()
    await house.deploy(other)
    for _ in range(2):
        await house.ended(number, "failed")
    main = house.hub.main
    assert await house.shop.repository.read(main, AGENT) == "# the parrot\n"
    assert await house.shop.repository.read(main, OWL) == "# the parrot says owl\n"
    [(mending, commit)] = (await house.deployments())[2:]
    assert commit == main
    assert (await house.now(other)).state is ChangeState.DEPLOYING
    bob = "insert into persais.people (id, name, language, is_owner, is_admin) values (77, 'Bob', 'en', true, false)"
    await house.database.run(bob, {})
    for _ in range(2):
        await house.ended(mending, "failed")
    told = "select body ->> 'text' as text from persais.outbox where chat_id = 77"
    [row] = await house.database.run(told, {})
    assert "The version without what had not held does not start (it broke)" in row["text"]


async def test_what_has_failed_leaves_main_before_anything_else_is_merged_although_that_is_not_told_yet(
    house: House,
) -> None:
    change, number = await house.merged()
    other = await house.on_top()
    await house.database.run("update persais.deployments set state = 'failed', cause = 'it broke'", {})
    await house.deploy(other)  # main is not what it was checked with any more, and nothing can be checked here
    assert await house.shop.repository.read(house.hub.main, AGENT) == "# the parrot\n"
    assert ((await house.now(other)).state, len(await house.deployments())) == (ChangeState.FAILED, 1)
    await house.evolution.deployed(number)
    assert (await house.now(change)).state is ChangeState.FAILED


async def test_what_serves_since_it_was_asked_for_again_is_not_mistaken_for_what_has_failed(house: House) -> None:
    _, number = await house.merged()
    again = (
        "insert into persais.deployments (change_id, commit, state, requested_at) "
        "select change_id, commit, 'serving', now() from persais.deployments"
    )
    await house.database.run(again, {})
    await house.database.run("update persais.deployments set state = 'failed' where id = %(id)s", {"id": number})
    other = await house.on_top()
    await house.deploy(other)
    assert await house.shop.repository.read(house.hub.main, AGENT) == "# the parrot says parrot\n"
    assert (await house.now(other)).state is ChangeState.DEPLOYING


async def test_a_rollback_is_not_mistaken_for_the_failure_that_it_came_together_with(house: House) -> None:
    change, first = await house.merged()
    await house.ended(first, "serving")
    await house.evolution.rollback(str(change.id), ANN.id, LANE.chat_id, 0)
    await house.ended(first, "failed")  # the version before was being brought back while somebody typed /rollback
    assert (await house.now(change)).state is ChangeState.ROLLED_BACK
    [_, (second, commit)] = await house.deployments()
    assert commit == house.hub.main
    await house.ended(second, "serving")
    said = await house.said()
    assert texts.say("en", "rollback-done", change=change.id) in said and "keeps serving" not in said


async def test_the_end_of_a_rollback_is_told_to_whoever_asked_for_it_where_they_did_and_in_their_language(
    house: House,
) -> None:
    change, first = await house.merged()
    await house.ended(first, "serving")
    async with house.database.session() as session:
        session.add(Person(id=7, name="Боб", language="ru"))
    await house.evolution.rollback(str(change.id), 7, -100, 5, "update:1:0")
    [_, (second, _)] = await house.deployments()
    await house.ended(second, "serving")
    told = texts.say("ru", "rollback-done", change=change.id)
    query = "select chat_id, topic_id from persais.outbox where body ->> 'text' = %(told)s"
    assert await house.database.run(query, {"told": told}) == [{"chat_id": -100, "topic_id": 5}]
    assert texts.say("en", "rollback-done", change=change.id) not in await house.said()


async def test_a_change_that_serves_keeps_the_buttons_that_show_it_and_says_which_agent_is_switched_off(
    house: House,
) -> None:
    change = await house.approved()
    await house.shop.ledger.update(change.id, buttons=change.buttons | {"diff": "c:d", "view": "c:v"})
    await house.database.run("insert into persais.agent_config (agent, enabled) values ('parrot', false)", {})
    await house.deploy(change)
    [(number, _)] = await house.deployments()
    await house.ended(number, "serving")
    card = cards.card(await house.now(change))
    assert [button.data for row in card.buttons for button in row] == ["c:v", "c:d"]
    assert "🚀 Deployed!\n\nparrot is switched off. /config parrot default takes that back." in await house.said()


async def test_a_rollback_whose_version_did_not_start_is_over_once_a_version_that_holds_it_serves(house: House) -> None:
    change, number = await house.merged()
    await house.ended(number, "serving")
    await house.evolution.rollback(str(change.id), ANN.id, LANE.chat_id, 0)
    await house.ended((await house.deployments())[-1][0], "failed")
    assert (await house.now(change)).state is ChangeState.DEPLOYED
    await house.deploy(await house.on_top())
    last, _ = (await house.deployments())[-1]
    await house.ended(last, "serving")  # while it is watched, the version before may come back
    assert "is not in the bot any more" not in await house.said()
    for _ in range(2):  # told once
        await house.evolution.confirmed(last)
    assert (await house.now(change)).state is ChangeState.ROLLED_BACK
    assert (await house.said()).count(f"Rolled back: change {change.id} is not in the bot any more") == 1


async def test_an_attempt_that_failed_before_the_one_that_serves_is_not_mistaken_for_its_rollback(house: House) -> None:
    change = await house.approved()
    failed = "insert into persais.deployments (commit, change_id, state) values (%(commit)s, %(change)s, 'failed')"
    await house.database.run(failed, {"commit": house.hub.main, "change": change.id})
    await house.deploy(change)
    last, _ = (await house.deployments())[-1]
    await house.ended(last, "serving")
    await house.evolution.confirmed(last)
    assert (await house.now(change)).state is ChangeState.DEPLOYED
    assert "is not in the bot any more" not in await house.said()


async def test_a_rollback_that_comes_after_the_return_says_so(house: House) -> None:
    change, number = await house.merged()
    await house.ended(number, "serving")

    class Slow(GitHubForge):
        """One that is overtaken by the return while it reverts."""

        async def revert(self, merge_commit: str, *, reason: str) -> str:
            reverted = await super().revert(merge_commit, reason=reason)
            await house.shop.ledger.update(change.id, state=ChangeState.FAILED)
            return reverted

    far = Remote(house.hub.git_url, SecretStr(TOKEN))
    slow = dataclasses.replace(house.shop, forge=Slow(far, house.shop.repository, house.hub.url))

    async def get_shop() -> Workshop:
        return slow

    evolution = Evolution(slow.ledger, Redactor(()), get_shop, leaving=leaving)
    await evolution.rollback(str(change.id), ANN.id, LANE.chat_id, 0)
    assert (await house.now(change)).state is ChangeState.FAILED
    assert "taken back by itself meanwhile" in await house.said()
    assert len(await house.deployments()) == 1


async def test_a_deployed_change_is_cleared_away_also_when_that_failed_at_first(house: House) -> None:
    change, number = await house.merged()
    assert change.branch is not None
    house.hub.is_away = True
    with pytest.raises(errors.GitUnavailableError):
        await house.ended(number, "serving")
    assert (await house.now(change)).state is ChangeState.DEPLOYED
    house.hub.is_away = False
    await house.ended(number, "serving")
    assert house.hub.branches == ["main"] and not house.shop.worktree(change.branch).exists()
    assert (await house.said()).count("🚀 Deployed!") == 1


async def test_broken_turns_are_answered_again_also_by_the_second_try_to_tell_of_the_failure(house: House) -> None:
    _, number = await house.merged()
    await house.ended(number, "failed")
    await house.database.run(
        "insert into persais.turns (chat_id, topic_id, user_id, state, finished_at) values (1, 0, 1, 'failed', now())",
        {},
    )
    await house.evolution.deployed(number)
    rows = await house.database.run("select state from persais.turns order by id", {})
    assert [row["state"] for row in rows] == ["repeated", "waiting"]


async def test_what_was_called_off_is_not_merged_although_its_deployment_was_under_way(house: House) -> None:
    change = await house.approved()
    main = house.hub.main
    assert await house.shop.ledger.stop(change.id, actor=ANN.id)
    await house.deploy(change)  # it was taken up just before, and the cancelling has not reached it
    assert house.hub.main == main and (await house.now(change)).state is ChangeState.AWAITING_APPROVAL
    await house.evolution.decide(change.id, "abort", ANN.id)
    assert (await house.now(change)).state is ChangeState.ABORTED
    assert house.hub.branches == ["main"]
