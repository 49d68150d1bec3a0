"""Lanes of people who talk to an orchestrator, with a scripted model behind it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from persais_core.agents.base import Agent
from persais_core.domain.chats import Lane, Language, Message, Reply, Turn, User
from persais_core.orchestrator.graph import Orchestrator
from persais_core.orchestrator.state import Answer
from persais_core.tools.base import Context
from scripted_openai import Answer as Said
from scripted_openai import says

ANN = User(id=1000001, name="Ann")


class Echo(Agent):
    """Repeats what is said."""

    name = "echo"
    title = {"en": "Echo", "ru": "Эхо"}  # noqa: RUF012
    emoji = "🔁"
    keywords = ("parrot", "попугай")

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def reply(self, message: Message, context: Context) -> str:
        self.heard.append(message.text)
        return f"you said: {message.text}"


class Poet(Agent):
    """Answers in verse."""

    name = "poet"
    title = {"en": "Poet"}  # noqa: RUF012
    keywords = ("verse", "parrot verse")
    prompt = "You are a poet."


class Talk:
    """One lane of one person, and the orchestrator that answers it."""

    def __init__(self, orchestrator: Orchestrator, lane: Lane = Lane(chat_id=1000001)) -> None:  # noqa: B008
        self.orchestrator, self.lane, self.number, self.last = orchestrator, lane, 0, Answer(agent="")

    async def say(
        self, text: str, *, number: int | None = None, language: Language = "en", **message: str
    ) -> list[str]:
        """The texts of the replies."""
        return [reply.text for reply in await self.replies(text, number=number, language=language, **message)]

    async def replies(
        self, text: str, *, number: int | None = None, language: Language = "en", **message: str
    ) -> tuple[Reply, ...]:
        self.number = self.number + 1 if number is None else number
        user = ANN.model_copy(update={"language": language})
        turn = Turn(id=self.number, lane=self.lane, user=user, messages=(Message(text=text, **message),))  # type: ignore[arg-type]
        self.last = await self.orchestrator.answer(turn)
        return self.last.replies

    async def agent(self) -> str:
        return await self.orchestrator.agent_of(Turn(id=0, lane=self.lane, user=ANN, messages=(Message(text=""),)))


Begin = Callable[..., Awaitable[Talk]]
"""Start an orchestrator with some agents on this test's database."""


def routes(agent: str | None) -> Said:
    return says(json.dumps({"decision": "switch", "agent": agent} if agent else {"decision": "uncertain"}))
