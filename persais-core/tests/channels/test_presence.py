"""The dots that say that an answer is being written."""

from __future__ import annotations

import asyncio

import pytest

from persais_core.channels import presence
from persais_core.channels.base import Noted
from persais_core.domain.chats import Lane, Language, Reply

LANE = Lane(chat_id=1)


class Dots:
    """A channel that only shows dots, or breaks over them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.shown, self._error = asyncio.Semaphore(0), error

    async def typing(self, lane: Lane) -> None:
        self.shown.release()
        if self._error:
            raise self._error

    async def answers(self) -> bool:
        raise NotImplementedError

    async def put(
        self, lane: Lane, reply: Reply, *, ids: object = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        raise NotImplementedError

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        raise NotImplementedError

    async def set_menu(self, commands: object, language: Language | None, *, user_id: int | None = None) -> None:
        raise NotImplementedError


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [None, RuntimeError("a bug of ours")])
async def test_the_dots_are_shown_again_and_again_and_whatever_happens_to_them_is_no_harm(
    error: Exception | None,
) -> None:
    dots, before = Dots(error), others()
    async with presence.typing(dots, LANE, after=0, every=0.001):
        for _ in range(3):
            await asyncio.wait_for(dots.shown.acquire(), 10)
    assert others() <= before


async def test_an_answer_that_is_there_at_once_shows_none() -> None:
    dots = Dots()
    async with presence.typing(dots, LANE, after=3600):
        await asyncio.sleep(0)
    assert dots.shown.locked()


async def test_the_dots_end_with_a_turn_that_raises_or_is_cancelled() -> None:
    dots, before = Dots(), others()
    with pytest.raises(ZeroDivisionError):
        async with presence.typing(dots, LANE, after=0):
            await dots.shown.acquire()
            raise ZeroDivisionError
    assert others() <= before

    async def turn() -> None:
        async with presence.typing(dots, LANE, after=0):
            await asyncio.Event().wait()

    task = asyncio.create_task(turn())
    await dots.shown.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert others() <= before
