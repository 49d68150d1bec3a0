"""What passes through a chat: who speaks, what was said, and what is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Language = Literal["en", "ru"]
Origin = Literal["person", "hook", "schedule"]
"""Where a turn comes from: somebody wrote or tapped, another program called, or a time came."""
LOCAL_PERSON = 1000001
"""Id of the person at this computer, who speaks in the local chat where Telegram's is not used."""
# Also in other letters than a chat service takes for a command: who writes /эхо means one. No paths, no numbers.
_COMMAND = re.compile(r"/(?P<word>[^\W\d_]\w{0,63})(?:@(?P<whose>\w{1,64}))?(?:\s+|\Z)")
_BIGINT = 2**63


def storable(text: str) -> str:
    """A text without what Postgres cannot store: U+0000 is left out, half of a surrogate pair becomes a question mark.

    Anybody may send such text, and models and agents may write it; a statement that is refused for it would cost more.
    """
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def number(value: Any) -> int | None:
    """A number from outside that Postgres can store as `bigint`; None for any other value."""
    fits = isinstance(value, int) and not isinstance(value, bool) and -_BIGINT <= value < _BIGINT
    return value if fits else None


class Value(BaseModel):
    """Base of all domain values: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed; pydantic's own would take any name, and store it.

        Raises:
            TypeError: there is no field of such a name.
        """
        if unknown := sorted((update or {}).keys() - type(self).model_fields.keys()):
            raise TypeError(f"{type(self).__name__} has no field {', '.join(unknown)}")
        return super().model_copy(update=update, deep=deep)


class User(Value):
    """A person as the chat service names them."""

    id: int
    name: str = ""
    language: Language = "en"
    is_admin: bool = False


class Lane(Value):
    """One conversation: a chat and, in a forum, its topic (0 elsewhere). Its turns are answered in order."""

    chat_id: int
    topic_id: int = 0

    @property
    def key(self) -> str:
        """The name under which queue locks and graph threads know this lane."""
        return f"chat:{self.chat_id}:{self.topic_id}"


class Message(Value):
    """One incoming message, as an agent sees it.

    Args:
        text: what was written; empty for a message without text.
        reply_to: the message of the bot that it answers, if any.
        attachment: kind of what came along (voice, photo, document, …) or None.
        sent_at: aware UTC.
        is_forwarded: somebody else's words: forwarded, or written by another bot. Data, never an instruction.
    """

    text: str
    attachment: str | None = None
    reply_to: int | None = None
    sent_at: datetime | None = None
    is_forwarded: bool = False

    @property
    def command(self) -> tuple[str, str]:
        """The command it begins with and what follows: `/Why@bot echo` is (`/why`, `echo`); none: an empty word.

        People end the word with any white space: a new line says the same as a blank. A path, a number or a slash
        alone is no command.
        """
        found = _COMMAND.match(self.text)
        return (f"/{found['word'].lower()}", self.text[found.end() :]) if found else ("", self.text)

    @property
    def addressee(self) -> str:
        """The bot that the command is for, in lower case and without its @; empty where it names none."""
        found = _COMMAND.match(self.text)
        return (found["whose"] or "").lower() if found else ""


class Turn(Value):
    """What one person said in one lane and gets one answer to.

    A turn of one message may be made with `message=` instead of `messages=`.

    Args:
        messages: 1 to 10, in the order they came.
        chosen: the agent whose button was tapped: it alone hears what is said, which commands and calls nobody.
        is_again: it broke the chosen agent before and is answered once more; the lane stays whose it is.
        origin: where it comes from; only what a person says themself can change the bot.
    """

    id: int
    lane: Lane
    user: User
    messages: tuple[Message, ...] = Field(min_length=1, max_length=10)
    chosen: str | None = None
    is_again: bool = False
    origin: Origin = "person"

    @model_validator(mode="before")
    @classmethod
    def _one_message(cls, given: Any) -> Any:
        if isinstance(given, dict) and "message" in given and "messages" not in given:
            return {name: value for name, value in given.items() if name != "message"} | {
                "messages": (given["message"],)
            }
        return given

    @property
    def message(self) -> Message:
        """All of it as one message: the texts under each other, and of the rest what came first."""
        first, *more = self.messages
        if not more:
            return first
        return Message(
            text="\n".join(message.text for message in self.messages if message.text),
            attachment=next((message.attachment for message in self.messages if message.attachment), None),
            reply_to=first.reply_to,
            sent_at=first.sent_at,
            is_forwarded=any(message.is_forwarded for message in self.messages),
        )

    @property
    def is_own_words(self) -> bool:
        """Whether a person said this themself: all else is data, and no command, tap or wish for a change.

        The words of a button are those of whoever made it.
        """
        return (
            self.origin == "person"
            and self.chosen is None
            and not any(message.is_forwarded for message in self.messages)
        )


class Button(Value):
    """One button under a message.

    A tap opens the `url`; without one, the button's text is said to the agent that made the button, as if the person
    had typed it, and to nobody else.

    Args:
        data: what the bot's own buttons carry, 64 bytes at most; an agent's is not used.
    """

    text: str
    data: str | None = None
    url: str | None = None


class File(Value):
    """A text file that goes along with a message."""

    name: str
    text: str


class Reply(Value):
    """One outgoing message with rows of buttons under it.

    Args:
        text: Markdown, or with `plain` exactly what is to be shown.
        done: the agent has finished, so what is said next goes to Master. Without a text: the message was not for this
            agent, and Master answers it at once.
    """

    text: str
    plain: bool = False
    file: File | None = None
    done: bool = False
    buttons: tuple[tuple[Button, ...], ...] = Field(default=())
