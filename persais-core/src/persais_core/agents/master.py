"""Master: the one who answers when no other agent does."""

from __future__ import annotations

from importlib import resources
from typing import ClassVar

from persais_core.agents.base import Agent
from persais_core.domain.chats import Language, Message, Reply
from persais_core.tools.base import Context


class Master(Agent):
    """Talks about anything, and knows what the bot can do."""

    name = "master"
    title: ClassVar[dict[Language, str]] = {"en": "Master", "ru": "Мастер"}
    emoji = "🧭"

    def __init__(self) -> None:
        self._prompt = (resources.files(__package__) / "master.md").read_text("utf-8")

    async def reply(self, message: Message, context: Context) -> str | Reply:
        """Answer with the model, the recent conversation in sight; the orchestrator adds who else there is."""
        return Reply(text=await context.ask(message.text, system=self._prompt))
