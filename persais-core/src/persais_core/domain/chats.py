"""What passes through a chat: who speaks, what was said, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "ru"]


class Value(BaseModel):
    """Base of all domain values: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    """

    text: str
    attachment: str | None = None
    reply_to: int | None = None
    sent_at: datetime | None = None


class Turn(Value):
    """What one person said in one lane and gets one answer to."""

    id: int
    lane: Lane
    user: User
    message: Message


class Button(Value):
    """One button under a message: `data` comes back when tapped (64 bytes at most), or `url` opens."""

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
    """

    text: str
    plain: bool = False
    file: File | None = None
    buttons: tuple[tuple[Button, ...], ...] = Field(default=())
