"""What a channel must do, and the values that come in through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from persais_core import errors
from persais_core.domain.chats import Lane, Language, Message, Reply, User, Value


class FloodError(errors.ChannelError):
    """The chat service asks us to wait.

    Attributes:
        sent: ids of the pieces of this message that are out already; they are not sent again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the chat service asks to wait {seconds:g} s")
        self.seconds = seconds
        self.sent: list[int] = []


class BlockedError(errors.ChannelError):
    """The user has blocked the bot or the chat is gone; nothing more can be sent there."""


class RejectedError(errors.ChannelError):
    """The chat service will not take this message, however often it is sent."""


class Press(Value):
    """A tap on a button.

    Args:
        id: to be answered, so that the button stops waiting.
        data: what the button carried; anything at all when forged.
    """

    id: str
    data: str
    message_id: int | None = None


class Incoming(Value):
    """One update of a chat service.

    Args:
        kind: the service's own word for it; `message` and `press` are worked on, the rest is kept.
        payload: the update as it came.
    """

    bot_id: int
    update_id: int
    kind: str
    lane: Lane | None = None
    user: User | None = None
    message: Message | None = None
    press: Press | None = None
    payload: dict[str, Any]


class Channel(Protocol):
    """Sends to one chat service."""

    async def send(self, lane: Lane, reply: Reply) -> list[int]:
        """Send a reply, split where it is too long, and return the ids of the messages it became.

        Raises:
            FloodError: wait and try again.
            BlockedError: the user does not want us.
            RejectedError: this message will never be taken.
            ChannelError: the service could not be reached; try again.
        """
        ...

    async def edit(self, lane: Lane, message_ids: Sequence[int], reply: Reply) -> list[int]:
        """Turn messages sent before into a new text and buttons; raises as `send` does."""
        ...

    async def typing(self, lane: Lane) -> None:
        """Show for about five seconds that an answer is being written; never raises."""
        ...

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        """End the waiting of a tapped button, with a short note or an alert; never raises."""
        ...

    async def set_menu(self, commands: Sequence[tuple[str, str]], language: Language | None) -> None:
        """Show the commands (name, description) in the client's menu; None: for every other language."""
        ...
