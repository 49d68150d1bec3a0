"""How a change ends when something is away at the wrong moment: what is told is true, and it does end."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pygit2
import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from pydantic import SecretStr

from github_standin import TOKEN, GitHubStandIn
from persais_core import errors, texts
from persais_core.agents.config import AgentConfigs
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.deployers.local import LocalDeployer
from persais_core.domain.changes import Change, ChangeState, Plan
from persais_core.domain.chats import Lane, User
from persais_core.forges.github import GitHubForge
from persais_core.git.remote import Remote
from persais_core.git.repository import Repository
from persais_core.llm.models import Models
from persais_core.mechanic import graph, retry
from persais_core.mechanic.deliver import new_buttons
from persais_core.mechanic.evolution import Evolution
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.workshop import Workshop
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Isolation, Sandbox
from persais_core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

ANN = User(id=1000001, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN.id)
AGENT = "bot/agents/parrot.py"


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

    async def approved(self, slug: str = "parrot") -> Change:
        """A change with a card, whose graph comes to its deployment next."""
        ledger, repository = self.shop.ledger, self.shop.repository
        opened = await ledger.open(lane=LANE, user=ANN, request="Change the parrot", turn_id=None)
        branch, base = f"feat/{slug}-v1", await repository.main()
        folder = self.shop.worktree(branch)
        await repository.add_worktree(branch, base, folder)
        (folder / AGENT).write_text(f"# the parrot says {slug}\n")
        commit = await repository.commit(branch, base, folder, (AGENT,), "Change it")
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
                        "plan": Plan(understood="Change it", edit=(AGENT,)),
                        "branch": branch,
                        "base": base,
                        "files": (AGENT,),
                        "pull_request": link.number,
                        "buttons": new_buttons(session, made, ("deploy", "abort")),
                    }
                ),
            )

    async def merged(self) -> tuple[Change, int]:
        """A change that is on main, and the number of its deployment."""
        change = await self.approved()
        await self.deploy(change)
        [(number, _)] = await self.deployments()
        return await self.now(change), number

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

    async def said(self) -> str:
        """All that stands in messages now."""
        rows = await self.database.run("select body ->> 'text' as text from persais.outbox order by id", {})
        return "\n".join(row["text"] for row in rows)


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        project = tmp_path / "project"
        repo = pygit2.init_repository(str(project), initial_head="main")
        (project / AGENT).parent.mkdir(parents=True)
        (project / AGENT).write_text("# the parrot\n")
        repo.index.add_all()
        me = pygit2.Signature("Ann", "ann@localhost", 1, 0)
        repo.create_commit("refs/heads/main", me, me, "First", repo.index.write_tree(), [])
        repo.remotes.create("persais", hub.git_url)
        far = Remote(hub.git_url, SecretStr(TOKEN))
        repository, deployer = Repository(project, far), Deployer()
        await repository.push("main")
        settings = Settings(_env_file=None, persais_home=tmp_path)
        ledger, models = Ledger(database), Models(settings, database)
        unused: Any = None
        shop = Workshop(
            settings=settings,
            database=database,
            ledger=ledger,
            models=models,
            configs=AgentConfigs(database, models, Registry([])),
            repository=repository,
            coder=unused,
            sandbox=Sandbox(verdict=Isolation("refused", (), "no Landlock")),
            forge=GitHubForge(far, repository, hub.url, retry=at_once),
            deployer=deployer,
            redactor=Redactor(()),
        )

        async def get_shop() -> Workshop:
            return shop

        yield House(hub, database, shop, Evolution(ledger, Redactor(()), get_shop, leaving=leaving), deployer)


async def test_a_change_that_may_be_merged_is_neither_failed_nor_merged_until_that_is_known(house: House) -> None:
    change = await house.approved()
    house.hub.lost = [500] * 9
    with pytest.raises(errors.ForgeUnavailableError):
        await house.deploy(change)
    waiting = await house.now(change)
    assert waiting.state is ChangeState.DEPLOYING and "I keep trying" in str(waiting.error)
    assert await house.deployments() == []
    house.hub.failures.clear()
    for _ in range(2):  # the second is what a kill just after the first leads to
        await house.deploy(change)
    done = await house.now(change)
    assert (done.state, done.merge_commit, done.error) == (ChangeState.DEPLOYING, house.hub.main, None)
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


@pytest.mark.parametrize("decision", ["retry", "abort"])
async def test_tables_that_a_failed_change_left_are_taken_back_before_anything_else(
    house: House, decision: str
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
