"""An orchestrator on this test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from persais_core.agents.base import Agent
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.llm.models import Models
from persais_core.orchestrator.graph import Orchestrator
from persais_core.security.redact import Redactor
from persais_core.settings import Settings
from scripted_openai import KEY, ScriptedOpenAI
from talks import Begin, Talk


@pytest.fixture
async def begin(database: Database, openai_server: ScriptedOpenAI) -> AsyncIterator[Begin]:
    opened: list[Orchestrator] = []

    async def made(*agents: Agent, **changes: Any) -> Talk:
        given = {"llm_base_url": openai_server.url, "llm_api_key": KEY, "classifier_model": "small"}
        settings = Settings(_env_file=None, **{**given, **changes})
        registry = Registry([Master(), *agents])
        orchestrator = Orchestrator(registry, Models(settings, database), database, Redactor())
        await orchestrator.open()
        opened.append(orchestrator)
        return Talk(orchestrator)

    yield made
    for orchestrator in opened:
        await orchestrator.close()
