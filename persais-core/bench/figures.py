"""What was measured about the chat, as rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench import chat, table

ACKNOWLEDGE_AIM = 1.0  # ours / kept, the 99th of a hundred
MESSAGE_AIM = 1.3  # ours / kept, one at a time and all together
PROMPT_AIM = 3000  # bytes
MEMORY_AIM = 250.0  # MB


def of_messages(sides: Mapping[str, chat.Side]) -> list[table.Row]:
    """How long people wait, and what it costs."""

    def row(
        label: str, value: Callable[[chat.Side], float], *, unit: str = "ms", most: float | None = None
    ) -> table.Row:
        found = {name: value(side) for name, side in sides.items()}
        return table.compared(label, found["ours"], found["kept"], unit=unit, most=most, plain=found["plain"])

    def alone(part: float) -> Callable[[chat.Side], float]:
        return lambda side: chat.share(chat.acknowledged(side.singles), part)

    def burst(part: float) -> Callable[[chat.Side], float]:
        return lambda side: chat.share([s for one in side.bursts for s in chat.acknowledged(one)], part)

    def answer(part: float) -> Callable[[chat.Side], float]:
        return lambda side: chat.share(chat.answered(side.singles), part)

    ours = sides["ours"]
    calls = ours.model_calls / len(ours.singles)
    at_once = f"{chat.BURST} messages of {chat.CHATS} chats"
    return [
        row("one at a time: acknowledged, p50", alone(0.5)),
        row("one at a time: acknowledged, p99", alone(0.99), most=ACKNOWLEDGE_AIM),
        row("one at a time: answered, p50", answer(0.5), most=MESSAGE_AIM),
        row("one at a time: answered, p95", answer(0.95), most=MESSAGE_AIM),
        row(f"{at_once}: acknowledged, p50", burst(0.5)),
        row(f"{at_once}: acknowledged, p99", burst(0.99), most=ACKNOWLEDGE_AIM),
        row(f"{at_once}: all answered, median", chat.until_all, unit="s", most=MESSAGE_AIM),
        row("processor time of a message, one at a time", lambda side: side.cpu["alone"], most=MESSAGE_AIM),
        row("processor time of a message, many at once", lambda side: side.cpu["burst"], most=MESSAGE_AIM),
        row("the same in Postgres, one at a time", lambda side: side.server_cpu["alone"]),
        row("the same in Postgres, many at once", lambda side: side.server_cpu["burst"]),
        table.Row("model calls of a message", f"{calls:g}", aim="1", met=calls == 1),
        table.Row(
            f"longest prompt, of up to {2 * chat.TALK} remembered messages",
            f"{ours.around.prompt_bytes} B",
            f"{sides['kept'].around.prompt_bytes} B",
            aim=f"< {PROMPT_AIM} B",
            met=ours.around.prompt_bytes < PROMPT_AIM,
            plain=f"{sides['plain'].around.prompt_bytes} B",
        ),
    ]


def of_stages(sides: Mapping[str, chat.Side]) -> list[table.Row]:
    """Where the time of one message goes."""

    def cell(stage: chat.Stage, name: str) -> str:
        return table.shown(stage.seconds[name], "ms") if name in stage.seconds else ""

    return [
        table.Row(stage.name, cell(stage, "ours"), cell(stage, "kept"), plain=cell(stage, "plain"))
        for stage in chat.stages(sides)
    ]


def of_memory(sides: Mapping[str, chat.Side]) -> list[table.Row]:
    """What each process holds after all that."""
    held = {name: side.held for name, side in sides.items()}
    return table.memory("persais serve", held["ours"], held["kept"], most=MEMORY_AIM, plain=held["plain"])
