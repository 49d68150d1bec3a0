"""The built-in commands: which there are, who may use them, and who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from persais_core import audit, texts
from persais_core.agents.config import AgentConfigs
from persais_core.db.engine import Database
from persais_core.domain.chats import Language, Reply, Turn
from persais_core.mechanic import why
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator import commands, configuring, deciding, journal, set_aside, sharing, unknown
from persais_core.orchestrator.graph import Orchestrator
from persais_core.security.access import Access

LONGEST_NAME = 40  # characters of what may be an agent's


class BuiltIn:
    """Answers the commands that need no model and leave the lane's agent as it is.

    Args:
        facts: what /status tells, in a language.
    """

    def __init__(
        self,
        *,
        database: Database,
        access: Access,
        orchestrator: Orchestrator,
        ledger: Ledger,
        configs: AgentConfigs,
        facts: Callable[[Language], Awaitable[commands.Facts]],
    ) -> None:
        self._database, self._access, self._orchestrator = database, access, orchestrator
        self._ledger, self._configs, self._facts = ledger, configs, facts

    async def answer(self, turn: Turn, *, key: str | None = None) -> tuple[Reply, ...] | None:
        """The answer to a built-in command; None when it is none, as nothing is that a person did not write here.

        Args:
            key: of the answer in the outbox, for those that are acted on beside the lane; see `deciding`.
        """
        if not turn.is_own_words:
            return None
        registry, user = self._orchestrator.registry, turn.user
        word, rest = turn.message.command
        match word:
            case "/start":
                return (commands.start(user, await self._orchestrator.seen_by(user)),)
            case "/help":
                seen = await self._orchestrator.seen_by(user)
                return (commands.help_text(user, seen, is_claimable=await self._access.is_claimable()),)
            case "/agents":
                return (commands.agents(user, await self._orchestrator.seen_by(user)),)
            case "/visibility":
                return (await sharing.answer(self._orchestrator.roster, words=rest, user=user),)
            case "/status":
                seen = await self._orchestrator.seen_by(user)  # in a group it may be somebody else's private agent
                agent = seen.find(await self._orchestrator.agent_of(turn))
                changes = await self._ledger.open_changes() if user.is_admin else []
                return (commands.status(user, await self._facts(user.language), agent, changes),)
            case "/claim":
                return (Reply(text=texts.say(user.language, "claim-closed"), plain=True),)
            case "/stop":
                return (Reply(text=texts.say(user.language, "stop-nothing"), plain=True),)
            case "/why":
                return (await self._why(turn),)
            case "/abort" | "/deploy" | "/rollback" | "/audit" | "/config" | "/dead" as command if not user.is_admin:
                async with self._database.session() as session:
                    await audit.refuse(session, "command refused", actor=user.id, subject=command, cause="no admin")
                return (Reply(text=texts.say(user.language, "tap-not-admin"), plain=True),)
            case "/audit":
                return (await journal.answer(self._database, words=rest, language=user.language),)
            case "/dead":
                return (await set_aside.answer(self._database, words=rest, user=user),)
            case "/config":
                return (await configuring.answer(self._configs, registry, turn),)
            case "/abort":
                return (await deciding.abort(self._ledger, turn, key),)
            case "/deploy":
                return (await deciding.deploy(self._database, self._ledger, turn),)
            case "/rollback":
                return (await deciding.roll_back(self._database, self._ledger, turn, key),)
            case "/reset":
                await self._orchestrator.forget(turn)
                return (Reply(text=texts.say(user.language, "reset-done"), plain=True),)
        return None

    async def _why(self, turn: Turn) -> Reply:
        """Where the behaviour of an agent comes from: the one named, the one that said a message, or the lane's."""
        words, language = turn.message.command[1].strip(), turn.user.language
        seen = await self._orchestrator.roster.known_to(turn.user)
        if words:
            found = seen.called(words.removeprefix("/"))
            name = found.name if found else words.removeprefix("/").lower()[:LONGEST_NAME]
        else:
            replied = turn.message.reply_to
            said = await why.agent_of_message(self._database, turn.lane, replied) if replied is not None else None
            name = said or await self._orchestrator.agent_of(turn)
        hidden = self._orchestrator.registry.find(name) is not None and seen.find(name) is None
        # The same words as for one that is not there: nobody learns of another's private agent.
        if hidden or (seen.find(name) is None and not await why.is_known(self._ledger, name)):
            near = unknown.nearest_agent(name, seen) if words else None
            key = "why-unknown" if near is None else "why-near"
            return Reply(text=texts.say(language, key, agent=name, near=near), plain=True)
        return await why.answer(
            self._database, self._ledger, agent=name, language=language, is_admin=turn.user.is_admin
        )
