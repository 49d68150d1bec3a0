"""What a channel must do, and the values that come in through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from persais_core import errors
from persais_core.domain.chats import Lane, Language, Message, Reply, User, Value


class FloodError(errors.ChannelError):
    """The chat has to wait.

    Attributes:
        seconds: how long.
        is_ours: our own budget asks for it, not the chat service.
    """

    def __init__(self, seconds: float, *, is_ours: bool = False) -> None:
        whose = "our own budget" if is_ours else "the chat service"
        super().__init__(f"{whose} asks to wait {seconds:g} s")
        self.seconds, self.is_ours = seconds, is_ours


class BlockedError(errors.ChannelError):
    """The user has blocked the bot or the chat is gone; nothing more can be sent there."""


class MovedError(errors.ChannelError):
    """The chat goes on under another id, as a group does that became a supergroup."""

    def __init__(self, chat_id: int) -> None:
        super().__init__(f"the chat has moved to {chat_id}")
        self.chat_id = chat_id


class RejectedError(errors.ChannelError):
    """The chat service will not take this message, however often it is sent."""


class UnsureError(errors.ChannelError):
    """The chat service did not answer, so the message may have arrived or not; sent again, it may stand twice."""


Noted = Callable[[list[int]], Awaitable[None]]
"""Told the ids of the messages of a reply after each of its pieces but the last."""


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
        album: names the messages that were sent together as one album.
        payload: the update as it came.
    """

    bot_id: int
    update_id: int
    kind: str
    album: str | None = None
    lane: Lane | None = None
    user: User | None = None
    message: Message | None = None
    press: Press | None = None
    payload: dict[str, Any]


class Sender(Protocol):
    """What the outbox needs of a chat service."""

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        """Send a reply, split where it is too long, and return the ids of the messages it became.

        Args:
            ids: messages that an earlier version became: they are edited, and what is too many of them is deleted.
            done: so many of the pieces are out already, under the first of the ids.
            noted: awaited after each piece, so that a kill between two of them repeats one at most.

        Raises:
            FloodError: wait and try again.
            BlockedError: the user does not want us.
            MovedError: send it to another chat.
            RejectedError: this message will never be taken.
            UnsureError: it may have been taken or not; try again.
            ChannelError: the service could not be reached; try again.
        """
        ...

    async def answers(self) -> bool:
        """Whether the service can be reached and answers this bot at all; never raises."""
        ...


class Channel(Sender, Protocol):
    """One bot at one chat service: what comes in there, and what goes out.

    What an update says is read apart, by a function (`queue.intake.Read`): stored updates are read again and again.
    """

    @property
    def bot_id(self) -> int:
        """The bot's own number there, once the channel is open."""
        ...

    @property
    def username(self) -> str:
        """Under which people address commands to the bot, without its @; once the channel is open."""
        ...

    async def receive(
        self, accept: Callable[[Any], Awaitable[None]], *, posted_to: str | None = None, secret: str | None = None
    ) -> None:
        """Have updates come in until cancelled.

        Args:
            accept: stores one raw update; where it raises, the update comes again.
            posted_to: an address of ours that the service posts them to instead, through `web`.
            secret: what the service shows at that address. While the service is away, or refuses the address, it is
                told again and again.
        """
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...

    async def typing(self, lane: Lane) -> None:
        """Show for about five seconds that an answer is being written; never raises."""
        ...

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        """End the waiting of a tapped button, with a short note or an alert; never raises."""
        ...

    async def set_menu(
        self, commands: Sequence[tuple[str, str]], language: Language | None, *, user_id: int | None = None
    ) -> None:
        """Show the commands (name, description) in the client's menu.

        Args:
            language: None: for every other language.
            user_id: whose menu it is, in their private chat; None: that of everybody who has none of their own.
        """
        ...
