"""Who may see which agent, and how each is set, as one turn finds it.

An agent belongs to whoever asked for the change that made it. Everybody who may speak to the bot sees it, until its
owner or an admin makes it private: then it is there for its owner alone, in lists, for commands and for the router.
Asked of the database at each turn, in one statement, so that what was decided is in force from the next message on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args

from persais_core import audit, errors
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.domain.chats import User
from persais_core.domain.configs import AgentConfig
from persais_core.domain.names import BUILT_IN_AGENTS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

Visibility = Literal["private", "shared"]
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)

_READ = (
    "select coalesce(a.name, c.agent) as name, a.owner, coalesce(a.visibility, 'shared') as visibility, "
    "c.model, c.temperature, c.max_tokens, coalesce(c.enabled, true) as enabled, c.keywords "
    "from persais.agents a full join persais.agent_config c on c.agent = a.name"
)


class Roster:
    """The agents of a running bot, as one person finds them.

    Args:
        registry: all that there are.
    """

    def __init__(self, registry: Registry, database: Database) -> None:
        self._registry, self._database = registry, database

    async def seen_by(self, user: User | None) -> Registry:
        """The agents that somebody may speak to, set as their owners want; None: what everybody may see."""
        hidden: set[str] = set()
        configs: dict[str, AgentConfig] = {}
        for row in await self._database.run(_READ, {}):
            name, owner, visibility = row.pop("name"), row.pop("owner"), row.pop("visibility")
            configs[name] = AgentConfig.model_validate(row)
            if visibility == "private" and (user is None or user.id != owner):
                hidden.add(name)
        return Registry(agent for agent in self._registry if agent.name not in hidden).configured(configs)

    async def known_to(self, user: User) -> Registry:
        """The agents that somebody may decide on, as far as their standing tells: all of them for an admin."""
        return self._registry if user.is_admin else await self.seen_by(user)

    async def set_visibility(self, name: str, visibility: Visibility, *, actor: User) -> None:
        """Make an agent private or shared; audited.

        Raises:
            AgentError: there is no such agent, nobody owns it, or the actor is neither its owner nor an admin.
        """
        from persais_core.db.tables.configs import AgentRow

        if name in BUILT_IN_AGENTS or self._registry.find(name) is None:
            raise errors.AgentError(f"there is no agent {name} that could be shared", key="share-unknown", agent=name)
        async with self._database.session() as session:
            row = await session.get(AgentRow, name, with_for_update=True)
            if row is None or row.owner is None:
                raise errors.AgentError(
                    f"nobody owns {name}, because no change of this bot made it; it stays shared",
                    key="share-unowned",
                    agent=name,
                )
            if actor.id != row.owner and not actor.is_admin:
                # The same words as for one that is not there: a stranger learns nothing of a private agent.
                raise errors.AgentError(
                    f"there is no agent {name} that could be shared", key="share-unknown", agent=name
                )
            row.visibility = visibility
            audit.record(session, "agent shared", actor=actor.id, subject=f"agent {name}", visibility=visibility)


async def give(session: AsyncSession, names: Iterable[str], *, owner: int) -> None:
    """Note whose new agents are; one that has an owner already keeps it."""
    from sqlalchemy.dialects.postgresql import insert

    from persais_core.db.tables.configs import AgentRow

    for name in names:
        await session.execute(insert(AgentRow).values(name=name, owner=owner).on_conflict_do_nothing())
