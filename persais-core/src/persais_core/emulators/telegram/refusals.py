"""How the Bot API says no.

A refusal is an answer like any other: a status, a description that bots match on, and sometimes the time to wait.
"""

from __future__ import annotations

from persais_core import errors


class RefusedError(errors.ChannelError):
    """The emulator refuses a Bot API call with the words of the real service; nothing was changed."""

    def __init__(
        self,
        description: str,
        *,
        error_code: int = 400,
        retry_after: int | None = None,
        migrate_to: int | None = None,
    ) -> None:
        super().__init__(description)
        self.description, self.error_code = description, error_code
        self.retry_after, self.migrate_to = retry_after, migrate_to


class ClosedError(errors.ChannelError):
    """The emulator has been closed; nothing is taken any more."""

    def __init__(self) -> None:
        super().__init__("the local chat is shutting down; try again when it is back")


class ChatStateError(errors.ChannelError):
    """The file that keeps the local chat cannot be read. It was left as it is."""
