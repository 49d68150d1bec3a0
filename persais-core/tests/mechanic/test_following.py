"""What breaks on a platform that deploys by itself is blamed on what brought it, and on nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pygit2
import pytest
import workshops

from persais_core.db.engine import Database
from persais_core.deployers.fly import FlyDeployer
from persais_core.domain.chats import Lane, User
from persais_core.mechanic.following import Following
from persais_core.mechanic.workshop import Workshop
from persais_core.settings import Settings
from repositories import ME

ANN = User(id=1000001, name="Ann", is_admin=True)


async def nothing_failed(commit: str) -> str | None:
    """What the platform says of every commit."""
    return None


@dataclass
class Platform:
    """A bot on a platform: its main, what was deployed of it, and which of its agents break.

    Attributes:
        broken: by agent, its first turns in the version that serves, and how many of them broke.
    """

    database: Database
    shop: Workshop
    project: Path
    broken: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.following = Following(workshops.getting(self.shop), self._counted)

    async def _counted(self) -> dict[str, tuple[int, int]]:
        return self.broken

    async def ship(self, **agents: str | None) -> str:
        """Put a merge with these agents on main and have it serve; None takes one away. Returns the commit."""
        repo, folder = pygit2.Repository(str(self.project)), self.project / "bot" / "agents"
        for name, text in agents.items():
            (folder / f"{name}.py").unlink() if text is None else (folder / f"{name}.py").write_text(text)
        repo.index.add_all()
        main, tree = repo.head.target, repo.index.write_tree()
        side = repo.create_commit(None, ME, ME, "Do it", tree, [main])
        merged = str(repo.create_commit("refs/heads/main", ME, ME, "Merge it", tree, [main, side]))
        repo.index.write()
        await self.shop.repository.push("main")
        await self.database.run(
            "insert into persais.active_release (id, commit) values (1, %(commit)s) "
            "on conflict (id) do update set commit = excluded.commit, since = now()",
            {"commit": merged},
        )
        self.broken = {}
        return merged

    async def deployed(self, commit: str, *, of: int | None = None) -> int:
        """Note that a commit was deployed just now, for a new change or for the rollback of one; returns its number."""
        ledger = self.shop.ledger
        if of is None:
            opened = await ledger.open(lane=Lane(chat_id=ANN.id), user=ANN, request="Do it", turn_id=None)
            of = opened.id
            await ledger.update(of, merge_commit=commit)
        await self.database.run(
            "insert into persais.deployments (change_id, commit, state, finished_at) "
            "values (%(change)s, %(commit)s, 'serving', now())",
            {"change": of, "commit": commit},
        )
        return of

    async def states(self) -> list[tuple[str, str | None]]:
        """(state, cause) of all deployments, after one more look at them."""
        await self.following.look()
        rows = await self.database.run("select state, cause from persais.deployments order by id", {})
        return [(row["state"], row["cause"]) for row in rows]


@pytest.fixture
async def platform(database: Database, tmp_path: Path) -> AsyncIterator[Platform]:
    home = workshops.at_home(database, tmp_path, {"bot/agents/old.py": "# old\n"})
    settings, deployer = Settings(_env_file=None, persais_home=tmp_path), FlyDeployer(None, nothing_failed)
    shop = workshops.joined(settings, database, repository=home["repository"], deployer=deployer)
    yield Platform(database, shop, tmp_path / "project")


SERVING, ECHO_BROKE = ("serving", None), ("failed", "echo broke in 2 of its first 3 answers")


async def test_an_agent_that_breaks_is_blamed_on_the_newest_deployment_if_that_brought_it(platform: Platform) -> None:
    await platform.deployed(await platform.ship(echo="1", shout="1"))
    await platform.deployed(await platform.ship(echo="2", more="1"))
    platform.broken = {"shout": (5, 2), "old": (5, 5), "more": (5, 1)}
    assert await platform.states() == [SERVING, SERVING]
    platform.broken["echo"] = (3, 2)
    for _ in range(2):  # what it breaks until it is replaced says nothing about the one before
        assert await platform.states() == [SERVING, ECHO_BROKE]


async def test_after_one_was_taken_back_the_one_before_is_watched_again(platform: Platform) -> None:
    await platform.deployed(await platform.ship(echo="1"))
    await platform.deployed(await platform.ship(echo="2"))
    platform.broken = {"echo": (3, 2)}
    assert await platform.states() == [SERVING, ECHO_BROKE]
    await platform.ship(echo="1")
    assert await platform.states() == [SERVING, ECHO_BROKE]
    platform.broken = {"echo": (3, 2)}
    assert await platform.states() == [ECHO_BROKE, ECHO_BROKE]


async def test_a_rollback_is_not_taken_back_and_nothing_beneath_it(platform: Platform) -> None:
    await platform.deployed(await platform.ship(echo="1"))
    change = await platform.deployed(await platform.ship(echo="2"))
    await platform.deployed(await platform.ship(echo="1"), of=change)
    platform.broken = {"echo": (3, 2)}
    assert await platform.states() == [SERVING, SERVING, SERVING]
