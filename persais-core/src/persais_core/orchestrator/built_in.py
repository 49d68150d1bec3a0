"""The built-in commands: who answers each. Which there are and whom they are for stands in `domain.names`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from persais_core import audit, texts
from persais_core.agents.config import AgentConfigs
from persais_core.db.engine import Database
from persais_core.domain import names
from persais_core.domain.chats import Language, Reply, Turn
from persais_core.mechanic import why
from persais_core.mechanic.ledger import Ledger
from persais_core.orchestrator import commands, configuring, deciding, journal, rights, set_aside, sharing, unknown
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
        """The answer to a built-in command; None if it is no command, or not the person's own words.

        Args:
            key: of the answer in the outbox, for those that are acted on beside the lane; see `deciding`.
        """
        if not turn.is_own_words:
            return None
        registry, user = self._orchestrator.registry, turn.user
        word, rest = turn.message.command
        command = rights.find(word)
        if command is None:
            return await self._being_made(turn, word)
        if rights.is_refused(command, user):
            async with self._database.session() as session:
                await audit.refuse(session, "command refused", actor=user.id, subject=word, cause="no admin")
            return (Reply(text=texts.say(user.language, "tap-not-admin"), plain=True),)
        match command.name:
            case "start":
                return (commands.start(user, await self._orchestrator.seen_by(user)),)
            case "help":
                return (await self._help(turn),)
            case "agents":
                return (commands.agents(user, await self._orchestrator.seen_by(user)),)
            case "visibility":
                return (await sharing.answer(self._orchestrator.roster, words=rest, user=user),)
            case "status":
                seen = await self._orchestrator.seen_by(user)  # in a group it may be somebody else's private agent
                agent = seen.find(await self._orchestrator.agent_of(turn))
                changes = await self._ledger.open_changes() if user.is_admin else []
                return (commands.status(user, await self._facts(user.language), agent, changes),)
            case "claim":
                return (Reply(text=texts.say(user.language, "claim-closed"), plain=True),)
            case "stop":
                return (Reply(text=texts.say(user.language, "stop-nothing"), plain=True),)
            case "why":
                return (await self._why(turn),)
            case "audit":
                return (await journal.answer(self._database, words=rest, language=user.language),)
            case "dead":
                return (await set_aside.answer(self._database, words=rest, user=user),)
            case "config":
                return (await configuring.answer(self._configs, registry, turn),)
            case "abort":
                return (await deciding.abort(self._ledger, turn, key),)
            case "deploy":
                return (await deciding.deploy(self._database, self._ledger, turn),)
            case "rollback":
                return (await deciding.roll_back(self._database, self._ledger, turn, key),)
            case "reset":
                await self._orchestrator.forget(turn)
                return (Reply(text=texts.say(user.language, "reset-done"), plain=True),)
        raise AssertionError(f"/{command.name} is a built-in command that nobody answers")

    async def _help(self, turn: Turn) -> Reply:
        """What somebody may do here, with the claiming of the bot while nobody owns it."""
        told = await rights.usable(self._database, turn)
        if await self._access.is_claimable():
            told += tuple(command for command in names.COMMANDS if command.who == "claimants")
        return commands.help_text(turn.user.language, await self._orchestrator.seen_by(turn.user), told)

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
        if not hidden:
            is_admin = turn.user.is_admin
            told = await why.answer(self._database, self._ledger, agent=name, language=language, is_admin=is_admin)
            if told is not None:
                return told
        if (coming := await self._being_made(turn, name)) is not None:
            return coming[0]
        if words and seen.find(name) is None and (near := unknown.nearest_agent(name, seen)) is not None:
            return Reply(text=texts.say(language, "why-near", agent=name, near=near), plain=True)
        made = [agent for change in await self._ledger.deployed() if change.plan for agent in change.plan.agents]
        other = next((agent for agent in made if seen.find(agent) is not None), None)
        key = "why-unknown" if other is None else "why-unknown-other"
        return Reply(text=texts.say(language, key, agent=name, other=other), plain=True)

    async def _being_made(self, turn: Turn, word: str) -> tuple[Reply, ...] | None:
        """That an open change makes the agent of a word; None where none does, or the person may not know of it."""
        if not turn.user.is_admin or not word.strip("/") or self._orchestrator.registry.called(word.removeprefix("/")):
            return None
        change = await self._ledger.making(word.removeprefix("/"))
        if change is None:
            return None
        language = turn.user.language
        state = texts.say(language, f"state-{change.standing}")
        told = texts.say(language, "being-made", agent=word.removeprefix("/"), change=change.id, state=state)
        return (Reply(text=told, plain=True),)
