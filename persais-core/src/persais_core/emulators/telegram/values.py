"""What the chat page, the terminal chat and the tests see of a chat.

The Bot API speaks in its own large objects; everyone on the human side of the chat gets these small ones instead. The
server writes them, `client.ChatClient` and the page's scripts read them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from persais_core.domain.chats import Button, Value

EventKind = Literal["reset", "message", "edit", "delete", "typing", "commands", "answer", "presence"]


class Entity(Value):
    """One stretch of formatted text; `offset` and `length` count UTF-16 units, as Telegram does."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None


class Attachment(Value):
    """A file that came with a message.

    Args:
        kind: document, photo or voice.
        size: in bytes.
        file_id: what `GET /chat/api/file?id=` wants.
    """

    kind: str
    name: str
    size: int
    mime: str
    file_id: str


class ChatMessage(Value):
    """One message as it stands now.

    Args:
        id: grows with every message of the emulator, never used twice.
        text: the text, or the caption of an attachment.
        buttons: rows of the inline keyboard.
        edited: whether the bot changed it after sending.
        date: when it was sent, aware UTC.
        revision: grows with every change to any message, so that "what changed since" can be asked.
    """

    id: int
    text: str
    entities: tuple[Entity, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    from_bot: bool
    edited: bool = False
    date: datetime
    revision: int = 0
    attachment: Attachment | None = None


class MenuCommand(Value):
    """One line of the command menu, without the slash."""

    command: str
    description: str


class PressAnswer(Value):
    """What the bot answered to a tap: a short notice, or an alert to be closed."""

    callback_id: str
    text: str = ""
    alert: bool = False
    url: str | None = None


class ChatEvent(Value):
    """One thing that happened in a chat; which fields are filled follows from `kind`.

    A stream begins with `reset`, which carries the chat as it stands (newest messages, commands, whether a bot
    listens), so a reader that was away needs nothing else to catch up.

    Args:
        message: of `message` and `edit`.
        message_id: of `delete`.
        messages: of `reset`, oldest first.
        has_earlier: of `reset`: whether the history goes further back.
        commands: of `reset` and `commands`.
        language: of `reset` and of a `commands` that a change of it brings: the person's, an IETF tag; empty where
            none is known.
        answers: of `reset`: to the latest taps.
        answer: of `answer`.
        bot: of `reset`: the bot's name.
        online: of `reset` and `presence`: whether a bot is fetching updates.
    """

    kind: EventKind
    message: ChatMessage | None = None
    message_id: int | None = None
    messages: tuple[ChatMessage, ...] = ()
    has_earlier: bool = False
    commands: tuple[MenuCommand, ...] = ()
    language: str = ""
    answers: tuple[PressAnswer, ...] = ()
    answer: PressAnswer | None = None
    bot: str = ""
    online: bool = False


class History(Value):
    """Messages of one chat, oldest first."""

    messages: tuple[ChatMessage, ...] = ()
    has_earlier: bool = False
