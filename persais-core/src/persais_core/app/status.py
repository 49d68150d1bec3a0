"""What /status tells of a release: its version, what it needs to answer, and what an owner should mend."""

from __future__ import annotations

from dataclasses import dataclass

import persais_core
from persais_core import texts
from persais_core.app.place import Place
from persais_core.breakers import Breakers
from persais_core.db.engine import Database
from persais_core.domain.chats import Language
from persais_core.llm.models import Models
from persais_core.orchestrator import commands
from persais_core.security.sandbox import Sandbox


@dataclass(frozen=True)
class Status:
    """Asks those parts of a release that know."""

    place: Place
    database: Database
    models: Models
    sandbox: Sandbox
    breakers: Breakers

    async def facts(self, language: Language) -> commands.Facts:
        """What /status tells of this release."""
        sandbox, warnings = commands.isolation(await self.sandbox.probe(), language)
        closed = await self.database.agents.problem()
        return commands.Facts(
            version=persais_core.__version__,
            commit=self.place.commit,
            database=texts.say(language, "database-ok" if await self.database.answers() else "database-down"),
            model=self.models.default,
            sandbox=sandbox,
            spent=await self.models.spent_today(),
            resting=self.breakers.resting,
            warnings=tuple(
                text
                for text in (
                    texts.say(language, "warning-safe-mode", cause=self.place.broken) if self.place.broken else "",
                    texts.say(language, "warning-records-closed", cause=closed) if closed else "",
                    *warnings,
                )
                if text
            ),
        )
