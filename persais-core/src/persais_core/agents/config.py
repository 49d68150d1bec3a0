"""The settings of agents that are kept in the database: changed in the chat, in force from the next turn on.

A setting is no code: it needs no branch, no checks and no deployment, and "default" takes it back. What is set for a
model is tried with one small question before it is stored, so that a name nobody knows never mutes an agent.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from persais_core import audit, errors, texts
from persais_core.agents.registry import MASTER, Registry, flat
from persais_core.db.engine import Database
from persais_core.domain.chats import Language
from persais_core.domain.configs import SETTINGS, AgentConfig, ConfigChange
from persais_core.llm.models import Booking, Models
from persais_core.llm.options import ModelOptions

log = structlog.get_logger(__name__)

TRIAL = "Answer with the one word: ok"
MECHANIC = "mechanic"
_READ = "select agent, model, temperature, max_tokens, enabled, keywords from persais.agent_config"


def options(config: AgentConfig) -> ModelOptions | None:
    """How a model is asked for an agent with these settings; None where nothing differs from the usual."""
    made = ModelOptions(model=config.model, temperature=config.temperature, max_tokens=config.max_tokens)
    return None if made == ModelOptions() else made


class AgentConfigs:
    """Reads and writes the settings of agents.

    Args:
        registry: the agents there are.
        models: on which settings are tried.
    """

    def __init__(self, database: Database, models: Models, registry: Registry) -> None:
        self._database, self._models, self._registry = database, models, registry

    async def all(self) -> Mapping[str, AgentConfig]:
        """The settings by the agent's name, of those agents that have some."""
        rows = await self._database.run(_READ, {})
        return {row.pop("agent"): AgentConfig.model_validate(row) for row in rows}

    async def update(self, change: ConfigChange, *, actor: int, language: Language = "en") -> AgentConfig:
        """Set something for an agent, once the model has answered with it. Doing it twice changes nothing.

        Args:
            actor: the admin who asked for it.
            language: in which the cause of a refusal is told.

        Returns:
            All that is set for the agent now.

        Raises:
            AgentError: there is no such agent, it cannot be set, or the model does not answer so; nothing was changed.
        """
        self.check(change)
        after = change.applied((await self.all()).get(change.agent, AgentConfig()))
        asked = options(after)
        if asked is not None and change.asks_otherwise():
            await self._try(asked, actor, language)
        after = await self._store(change, actor)
        log.info("agent configured", agent=change.agent, actor=actor)
        return after

    def find(self, agent: str) -> None:
        """Look whether something can be set for an agent.

        Raises:
            AgentError: there is no such agent, or it is the Mechanic.
        """
        if agent == MECHANIC:
            raise errors.AgentError(
                "the Mechanic's model is CODER_MODEL in the settings; it cannot be set here", key="config-mechanic"
            )
        names = [known.name for known in self._registry if known.name != MECHANIC]
        if agent in names:
            return
        listed = ", ".join(names)
        # People also say the title, and misspell that.
        meant = {flat(word): a.name for a in self._registry for word in (*a.title.values(), a.name) if a.name in names}
        for near in [meant[word] for word in difflib.get_close_matches(flat(agent), meant, n=1)]:
            raise errors.AgentError(
                f"there is no agent {agent}, did you mean {near}? Those there are: {listed}",
                key="config-no-agent-near",
                agent=agent,
                near=near,
                agents=listed,
            )
        raise errors.AgentError(
            f"there is no agent {agent}, only: {listed}", key="config-no-agent", agent=agent, agents=listed
        )

    def check(self, change: ConfigChange) -> None:
        """Look whether something could be set at all, before any model is asked.

        Raises:
            AgentError: there is no such agent, or that cannot be set for it.
        """
        self.find(change.agent)
        if change.agent == MASTER and change.enabled is False:
            raise errors.AgentError(
                "Master cannot be switched off: it answers when no other agent does", key="config-master"
            )

    async def _try(self, asked: ModelOptions, actor: int, language: Language) -> None:
        booking = Booking(purpose="try a setting", user_id=actor, agent="mechanic")
        try:
            await self._models.ask([("user", TRIAL)], booking, options=asked, falls_back=False)
        except (errors.ModelUnavailableError, errors.BudgetError) as error:
            name = asked.model or self._models.default
            raise errors.AgentError(
                f"the model {name} does not answer with these settings ({error}); nothing was changed",
                key="config-model",
                model=name,
                cause=texts.explain(language, error),
            ) from error
        except errors.ModelError as error:
            # It is there, and takes the settings; that it says nothing to so small a question does no harm.
            log.info("a model answered a trial with nothing", cause=str(error))

    async def _store(self, change: ConfigChange, actor: int) -> AgentConfig:
        """Apply a change to what is set now: somebody else may have set another thing while the model was tried."""
        from sqlalchemy.dialects.postgresql import insert

        from persais_core.db.tables.configs import AgentConfigRow

        async with self._database.session() as session:
            await session.execute(insert(AgentConfigRow).values(agent=change.agent).on_conflict_do_nothing())
            row = await session.get_one(AgentConfigRow, change.agent, with_for_update=True)
            config = change.applied(AgentConfig.model_validate({name: getattr(row, name) for name in SETTINGS}))
            if config.is_default:
                await session.delete(row)
            else:
                values = config.model_dump() | {"keywords": list(config.keywords) if config.keywords else None}
                for name, value in values.items():
                    setattr(row, name, value)
                row.updated_by, row.updated_at = actor, datetime.now(UTC)
            detail = config.model_dump(mode="json", exclude_defaults=True)
            audit.record(session, "agent configured", actor=actor, subject=f"agent {change.agent}", **detail)
        return config
