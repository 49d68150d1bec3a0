"""Who answers: one agent is one class in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from persais_core import errors
from persais_core.domain.chats import Language, Message, Reply
from persais_core.tools.base import Context, Tool

READ_ONCE = ("name", "title", "emoji", "keywords")
"""What an agent is reached by and listed as, taken from its class when the bot starts."""


class Agent:
    """Answers the messages of the chats it is active in.

    A subclass either writes `reply`, or sets `prompt` (and `tools`) and lets the language model answer. Its docstring
    tells the router, and people in /agents, what it is for. Name, title, emoji and keywords are written out in the
    class, and read once, when the bot starts.

    Attributes:
        name: the command that switches to it: `/name`; a-z, 0-9 and _, at most 40, and no command of the bot's own.
        title: how it is called, by language.
        emoji: shown before the title; one, or none.
        keywords: words in a message that switch to it.
        prompt: system prompt for the model; empty where `reply` is written.
        tools: functions the model may call.
    """

    name: ClassVar[str] = ""
    title: ClassVar[Mapping[Language, str]] = {}
    emoji: ClassVar[str] = "🤖"
    keywords: ClassVar[tuple[str, ...]] = ()
    prompt: ClassVar[str] = ""
    tools: ClassVar[tuple[Tool, ...]] = ()

    async def reply(self, message: Message, context: Context) -> str | Reply:
        """Answer one message.

        Returns:
            A str is shown exactly as it is; a `Reply` is Markdown and may have buttons; an empty str says nothing.

        Raises:
            AgentError: the agent has neither a `prompt` nor a `reply` of its own.
        """
        if not self.prompt:
            raise errors.AgentError(f"agent {self.name} has neither a prompt nor a reply method")
        return Reply(text=await context.ask(message.text, system=self.prompt, tools=self.tools))

    def __setattr__(self, name: str, value: Any) -> None:
        # An agent that called itself otherwise later, or answered to other words, would get what others are sent.
        if name in READ_ONCE:
            raise errors.AgentError(f"agent {self.name} sets its {name}; write it out in the class")
        super().__setattr__(name, value)

    @classmethod
    def called(cls, language: Language) -> str:
        """The agent's title in a language, or in any it has, or its name."""
        return cls.title.get(language) or next(iter(cls.title.values()), cls.name.replace("_", " ").title())

    @classmethod
    def purpose(cls) -> str:
        """First line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
