"""What `persais evolve` says of other changes before it begins one of its own."""

from __future__ import annotations

from persais_core.cli import evolve
from persais_core.domain.changes import Change, ChangeState


def change(number: int, state: ChangeState, request: str) -> Change:
    return Change(id=number, chat_id=1, user_id=1, language="en", request=request, state=state)


def test_changes_that_are_open_are_named_with_what_they_wait_for() -> None:
    assert evolve.also_open([]) == []
    first, second, advice = evolve.also_open(
        [change(3, ChangeState.AWAITING_APPROVAL, "Make\x1b[2J\nEcho"), change(4, ChangeState.CODING, "x" * 500)]
    )
    assert first.startswith("Open: change 3, waits for you: Make") and first.isprintable() and "Echo" in first
    assert second == f"Open: change 4, at work: {'x' * evolve.MAX_REQUEST_SHOWN}…"
    assert "a change of its own" in advice and "in the chat" in advice
