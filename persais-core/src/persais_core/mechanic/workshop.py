"""All that the steps of a change work with; built in `app/parts.py`, handed to each step by the graph."""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from persais_core.agents.config import AgentConfigs
from persais_core.coders.base import Coder
from persais_core.db.engine import Database
from persais_core.deployers.base import Deployer
from persais_core.forges.base import Forge
from persais_core.git.repository import Repository
from persais_core.llm.models import Models
from persais_core.mechanic.ledger import Ledger
from persais_core.security.redact import Redactor
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings

DRAFT = "draft/change-"
"""Start of what stands for the branch of a draft: a tree that no git knows, for trials before there is a plan."""


@dataclass(frozen=True)
class Workshop:
    """The parts of one running bot that make changes to it.

    Args:
        merging: held by whoever moves main, one for all jobs, so that what is checked on top of it is what comes of it.
    """

    settings: Settings
    database: Database
    ledger: Ledger
    models: Models
    repository: Repository
    coder: Coder
    sandbox: Sandbox
    forge: Forge
    deployer: Deployer
    redactor: Redactor
    configs: AgentConfigs
    merging: asyncio.Lock = field(default_factory=asyncio.Lock)

    def worktree(self, branch: str) -> Path:
        """Where the worktree of a branch lies; a draft's is thrown away with the rest of its change's scratch."""
        if branch.startswith(DRAFT):
            return self.scratch(int(branch.removeprefix(DRAFT))) / "draft"
        return self.settings.persais_home / "worktrees" / branch.replace("/", "-")

    def scratch(self, change_id: int) -> Path:
        """A folder for what is thrown away when the change is over."""
        folder = self.settings.persais_home / "scratch" / f"change-{change_id}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def render(name: str, **values: Any) -> str:
    """A prompt of this room, by its file's name without ending, with its values filled in."""
    source = (resources.files("persais_core.mechanic") / f"{name}.md").read_text("utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["quoted"] = functools.partial(json.dumps, ensure_ascii=False)
    return environment.from_string(source).render(**values)
