"""The candidate of a preview: what it is asked, what it says, and the model that it may ask meanwhile.

Nothing it says is trusted: it is shaped into a reply that chats can take, and marked as not being of the bot.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from pydantic import ValidationError

from persais_core import errors, texts
from persais_core.agents import config
from persais_core.domain.chats import Button, Language, Reply, Turn, storable
from persais_core.domain.configs import AgentConfig
from persais_core.llm.models import Booking, Said
from persais_core.mechanic.workshop import Workshop
from persais_core.security.sandbox.conversation import Conversation

LOADING = 30.0  # seconds to import the candidate's agents
THINKING = 10.0  # seconds for an answer, those of the model not counted
MAX_QUESTIONS = 8  # to the model, for one answer
MAX_LABEL = 60  # characters of what stands on a button
MOST_LABELS = 20
MAX_CAUSE = 1000  # characters of what a candidate raised
HISTORY = 20  # messages that the model sees again
HISTORY_CHARACTERS = 2000  # of each
MARKDOWN = re.compile(r"[\\`*_\[\]()<>#|~!]")


class PreviewError(errors.ChangeError):
    """The candidate could not be tried. Nothing of it is running; [Try] starts it again."""


class PreviewStuckError(errors.SandboxError):
    """The candidate would have gone on asking for ever, so it was ended."""


class Candidate:
    """One agent of a candidate, running in the sandbox.

    Args:
        conversation: with its program, which has loaded it.
        agent: its name.
        title: what it is called in the chat; see `load`.
        language: of whoever started the preview.
        change: the number of the change it belongs to, to which the model is booked.
        thinking: seconds for an answer, those of the model not counted.
    """

    def __init__(
        self,
        shop: Workshop,
        conversation: Conversation,
        *,
        agent: str,
        title: str,
        language: Language,
        change: int,
        thinking: float = THINKING,
    ) -> None:
        self._shop, self._conversation, self._thinking = shop, conversation, thinking
        self._change = change
        self.agent, self.title, self.language = agent, title, language
        self._history: list[Said] = []

    async def answer(self, turn: Turn) -> Reply:
        """One message and its answer, with the model asked in between as often as the candidate wants to.

        Raises:
            SandboxError: the candidate is gone.
        """
        said, language = turn.message, turn.user.language
        if said.attachment and not said.text:
            return self.marked(Reply(text=texts.say(language, "attachment-not-yet")))
        user = turn.user.model_dump(include={"id", "name", "language"})
        question: dict[str, Any] = {"agent": self.agent, "text": said.text, "user": user}
        if said.attachment:
            question["attachment"] = said.attachment
        for number in itertools.count():
            answer = await self._conversation.ask(question, timeout=self._thinking)
            if "ask" not in answer:
                break
            if number == 2 * MAX_QUESTIONS:
                await self._conversation.close()
                raise PreviewStuckError(
                    f"it asked the model more than {MAX_QUESTIONS} times", key="preview-stuck", count=MAX_QUESTIONS
                )
            question = await self._model(turn, answer["ask"], number)
        reply, words = _read(answer, language)
        if words:  # a failure is none of its own, and would be taken for that by its model
            self._history += [("user", said.text[:HISTORY_CHARACTERS]), ("assistant", words[:HISTORY_CHARACTERS])]
            del self._history[:-HISTORY]
        return self.marked(reply)

    async def _model(self, turn: Turn, asked: Any, number: int) -> dict[str, str]:
        """What the model says to a candidate's question, or why it was not asked."""
        if number >= MAX_QUESTIONS:
            return {"refused": f"the model may be asked {MAX_QUESTIONS} times for one answer, no more"}
        if not isinstance(asked, dict):
            return {"refused": "that is no question"}
        prompt, system = storable(str(asked.get("prompt", ""))), storable(str(asked.get("system", "")))
        messages: list[Said] = [("system", system)] if system else []
        messages += [*self._history, ("user", prompt)]
        booking = Booking(
            purpose="preview", user_id=turn.user.id, turn_id=turn.id, change_id=self._change, agent=self.agent
        )
        try:
            configs = await self._shop.configs.all()
            options = config.options(configs.get(self.agent, AgentConfig()))
            return {"said": await self._shop.models.ask(messages, booking, options=options)}
        except errors.ModelError as error:
            return {"refused": str(error)}

    def marked(self, reply: Reply) -> Reply:
        """A reply that nobody takes for one of the bot in production."""
        mark = texts.say(self.language, "preview-mark", title=self.title)
        between = "\n" if reply.plain else "\n\n"
        return reply.model_copy(update={"text": f"{mark}{between}{reply.text}"})


async def load(conversation: Conversation, agent: str, language: Language) -> str:
    """Have the candidate import its agents; returns the title of the one that is tried.

    Raises:
        PreviewError: it cannot be imported, or there is no such agent.
        SandboxError: it did not answer.
    """
    loaded = await conversation.ask({"load": True, "language": language}, timeout=LOADING)
    agents = loaded.get("agents")
    if not isinstance(agents, dict):
        cause = texts.untapped(storable(str(loaded.get("error")))[:MAX_CAUSE])
        raise PreviewError(f"it cannot be loaded: {cause}", key="preview-unloadable", cause=cause)
    if agent not in agents:
        raise PreviewError(f"there is no agent {agent} in it", key="preview-no-agent", agent=agent)
    title = MARKDOWN.sub("", storable(str(agents[agent])))
    return " ".join(title.split())[:60] or agent


def _read(answer: dict[str, Any], language: Language) -> tuple[Reply, str]:
    """A candidate's answer as a reply, and its own words of it; it may have said anything at all."""
    if isinstance(answer.get("error"), str):
        cause = texts.untapped(storable(answer["error"])[:MAX_CAUSE])
        return plain(texts.say(language, "preview-error", cause=cause)), ""
    if answer.get("reply") is None:
        return plain(texts.say(language, "preview-silent")), ""
    try:
        reply = Reply.model_validate(answer["reply"])
    except ValidationError as error:
        return plain(texts.say(language, "preview-error", cause=storable(str(error.errors()[0]["msg"])))), ""
    # A tap on one of its own would be said to the agent in production, which knows nothing of it.
    rows = (tuple(Button(text=b.text, url=b.url) for b in row if b.url) for row in reply.buttons)
    words = texts.untapped(storable(reply.text), markup=not reply.plain)
    shown = "\n\n".join([words, *_labels(reply, language)])
    return reply.model_copy(update={"text": shown, "buttons": tuple(row for row in rows if row)}), words


def _labels(reply: Reply, language: Language) -> list[str]:
    """What stands on the buttons that are not shown: a question may be nothing without them."""
    labels = [storable(button.text)[:MAX_LABEL] for row in reply.buttons for button in row if not button.url]
    inline = [texts.untapped(" ".join(label.split())) if reply.plain else texts.line(label) for label in labels]
    return [texts.say(language, "preview-buttons", buttons=" · ".join(inline[:MOST_LABELS]))] if inline else []


def cause_of(language: Language, error: errors.PersaisError) -> str:
    """Why something came of nothing, for a chat; a candidate's last words may stand in it."""
    return storable(texts.untapped(texts.explain(language, error)))


def plain(text: str) -> Reply:
    """A reply that is nothing but text."""
    return Reply(text=text, plain=True)
