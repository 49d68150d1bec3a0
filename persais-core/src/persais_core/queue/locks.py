"""The locks of the queue's jobs: those with the same one run one at a time, in the order in which they came.

A turn and the start of a preview have their lane's (`domain.chats.Lane.key`). A change's steps and what is decided
about it have the change's; what is told of its deployment has the deployment's, and a rollback the one that all
rollbacks share. So these three may run beside each other for one change: whoever writes it holds its row
(`Ledger.changing`) and looks at its state again. Without a lock goes what must not wait: urgent updates, the end of a
preview, and the first page of a diff, which only reads.
"""

from __future__ import annotations

ROLLBACK = "rollback"
"""Of every rollback: two at once would each revert a main that the other changes."""


def of_change(number: int) -> str:
    """The lock of what goes on with a change."""
    return f"change:{number}"


def of_deployment(number: int) -> str:
    """The lock of what is told of a deployment."""
    return f"deployment:{number}"


def of_sending(chat: int) -> str:
    """The lock of what is sent to a chat."""
    return f"out:{chat}"


def of_pages(chat: int) -> str:
    """The lock of the turning of pages in a chat."""
    return f"diff:{chat}"
