"""What is told of steps that take long."""

from __future__ import annotations

import asyncio

from persais_core.supervisor import patience


async def test_a_step_is_told_once_it_takes_long_and_only_then() -> None:
    lines, steps_lines, heard = list[str](), list[str](), asyncio.Event()

    def hear(line: str) -> None:
        lines.append(line)
        heard.set()

    steps = patience.Steps(steps_lines.append)
    async with patience.told(lines.append, "quick"):
        pass
    async with patience.told(hear, "long"):
        while not heard.is_set() or not steps_lines:
            steps.look("the same")
            await asyncio.sleep(0.02)
    for line in ("another", "the same", "the same"):
        steps.look(line)
    assert (lines, steps_lines) == (["long"], ["the same"])
