"""What the queue's jobs do, by name, so that a name that nobody answers to is found before it runs."""

from __future__ import annotations

from typing import Literal

Task = Literal[
    "turn",
    "urgent",
    "deliver",
    "change",
    "decide",
    "preview",
    "stop_preview",
    "deployed",
    "confirmed",
    "diff",
    "rollback",
]
"""The handlers of the queue; `app.parts.Parts.worker` says who each of them is."""

Decision = Literal["deploy", "abort", "set", "retry"]
"""What may be decided about a change; the argument of the task `decide`."""
