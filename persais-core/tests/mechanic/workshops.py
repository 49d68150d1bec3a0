"""A workshop as the app joins it, a project with a remote for it to change, and a coder that does what a test wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import repositories
from persais_core.agents.base import Agent
from persais_core.agents.config import AgentConfigs
from persais_core.agents.registry import Registry
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.db.engine import Database
from persais_core.deployers.local import LocalDeployer
from persais_core.forges.local import LocalForge
from persais_core.git.bare import BareRepository
from persais_core.git.repository import Repository
from persais_core.llm.models import Models
from persais_core.mechanic.evolution import Evolution
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.workshop import Workshop
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Isolation, Sandbox
from persais_core.settings import Settings

NO_WALLS = Isolation("refused", (), "no Landlock")
PARROT = "bot/agents/parrot.py"
Deed = Callable[[CodeJob], CodeResult]


class Hand:
    """A coder that does to the tree what a test wants.

    Attributes:
        deed: what it does; nothing at first.
        jobs: what it was given to do.
    """

    name = "hand"

    def __init__(self, deed: Deed = lambda job: CodeResult(status="no_edits")) -> None:
        self.deed, self.jobs = deed, list[CodeJob]()

    async def prepare(self, tell: Callable[[str], None]) -> None:
        """Nothing to be made ready."""

    async def warm(self) -> None:
        """Nothing to be warmed."""

    async def close(self) -> None:
        """Nothing to be closed."""

    async def run(self, job: CodeJob) -> CodeResult:
        self.jobs.append(job)
        return self.deed(job)


def joined(settings: Settings, database: Database, *agents: Agent, **others: Any) -> Workshop:
    """A workshop on a database, without walls.

    Args:
        agents: those that can be set.
        others: parts in the place of the usual ones; repository, forge and coder are not there unless they are given.
    """
    models = Models(settings, database)
    usual: dict[str, Any] = {
        "ledger": Ledger(database, Redactor()),
        "models": models,
        "configs": AgentConfigs(database, models, Registry(list(agents))),
        "repository": None,
        "coder": None,
        "sandbox": Sandbox(verdict=NO_WALLS),
        "forge": None,
        "deployer": LocalDeployer(),
        "redactor": Redactor(()),
    }
    return Workshop(settings=settings, database=database, **(usual | others))


def at_home(database: Database, folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """The parts of a bot that is hosted at home: `project` with some files on main, and `remote.git` beside it."""
    project, remote = folder / "project", BareRepository(folder / "remote.git")
    repositories.commit_all(project, files)
    remote.create_from(project)
    return {"repository": Repository(project), "forge": LocalForge(database, remote, "http://127.0.0.1")}


def evolution_of(shop: Workshop, leaving: Any = None) -> Evolution:
    """What carries out the jobs of changes in a workshop."""
    return Evolution(shop.ledger, shop.redactor, getting(shop), leaving=leaving)


def getting(shop: Workshop) -> Callable[[], Awaitable[Workshop]]:
    """A workshop as those get it who need it only now and then."""

    async def get_shop() -> Workshop:
        return shop

    return get_shop
