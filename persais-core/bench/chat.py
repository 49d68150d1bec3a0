"""What a message costs: ours beside the least that answers, on the same instant model, by webhook.

Three bots run side by side, each with a database and surroundings of its own, and take turns, so that whatever else
the machine does falls on all of them alike: ours; a graph of one node behind python-telegram-bot (plain); the same with
its conversations in Postgres and a lock per chat (kept). Nothing limits them: no debounce, no sending budgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench import bots, memory, processes
from bench.instant import ANSWER, Passage, Surroundings

NAMES = ("ours", "plain", "kept")
WARM_UPS = 8
MESSAGES = 60  # one at a time
BURSTS = 3
BURST = 200  # messages
CHATS = 50
FIRST_CHAT = 5001
TALK = 10  # messages in one chat, one at a time: as many as a model is shown without their being summed up
SETTLED = 0.05  # seconds after an answer until the next bot's turn, so that what comes after it falls on nobody


@dataclass
class Side:
    """One bot, and what it needed.

    Attributes:
        singles: one message at a time.
        bursts: many at once, a list for each time.
        cpu: seconds of processor time per message, by what is measured: `alone` or `burst`.
        server_cpu: the same, of the Postgres processes that serve it.
        held: its memory at the end.
    """

    running: bots.Running[Surroundings]
    database: str
    singles: list[Passage] = field(default_factory=list)
    bursts: list[list[Passage]] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    server_cpu: dict[str, float] = field(default_factory=dict)
    held: memory.Memory = field(default_factory=lambda: memory.Memory(0.0, None))
    model_calls: int = 0
    started: float = 0.0

    @property
    def around(self) -> Surroundings:
        """What it talks to."""
        return self.running.bot.stand_ins

    async def speak(self, chats: range, messages: int) -> list[Passage]:
        """Post messages and wait for their answers.

        Raises:
            BotBrokenError: not all were answered, or otherwise than the model did.
        """
        try:
            passages = await self.around.burst(self.running.port, chats, messages)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise self.running.broken(f"did not answer everything ({type(error).__name__} {error})") from None
        said = [text for texts in self.around.said.values() for text in texts]
        if said != [ANSWER] * messages:
            raise self.running.broken(f"said {len(said)} things, not {messages}, {said[-1]!r} among them")
        return passages

    @contextlib.contextmanager
    def counted(self, what: str, messages: int) -> Iterator[None]:
        """Add the processor time of the block to what was counted."""
        pid, name = self.running.process.pid, self.database.rpartition("/")[2].partition("?")[0]
        before, server_before = processes.seconds(pid), processes.of_database(name)
        yield
        self.cpu[what] = self.cpu.get(what, 0.0) + (processes.seconds(pid) - before) / messages
        server = processes.of_database(name) - server_before
        self.server_cpu[what] = self.server_cpu.get(what, 0.0) + server / messages


@dataclass(frozen=True)
class Stage:
    """A part of the way of one message, and its seconds: the median of all that were sent one at a time."""

    name: str
    seconds: Mapping[str, float]


async def measure(root: Path, folder: Path, database: Callable[[str], str]) -> dict[str, Side]:
    """Speak to all three.

    Args:
        root: folder that holds `bot/`.
        folder: for logs.
        database: makes one of this name, and says its address.

    Raises:
        BotBrokenError: one of them did not answer as it should.
    """
    async with contextlib.AsyncExitStack() as stack:
        sides: dict[str, Side] = {}
        for name in NAMES:
            around = await stack.enter_async_context(Surroundings().served())
            address = database(f"chat_{name}")
            bot = _bot(name, root, folder, address, around)
            running = await stack.enter_async_context(bots.started(bot))
            sides[name] = Side(running, address)
            await running.healthy(active=True)
        await _alone(sides)
        await _together(sides)
        for side in sides.values():
            side.held = memory.of(side.running.process.pid)
    return sides


def _bot(name: str, root: Path, folder: Path, address: str, around: Surroundings) -> bots.Bot[Surroundings]:
    more = {"TELEGRAM_WEBHOOK_SECRET": around.secret}
    if name != "ours":
        return bots.bare(f"chat-{name}", address, around, folder, more | {"BARE": name})
    people = ",".join(map(str, (*range(1, 2 + MESSAGES), *range(FIRST_CHAT, FIRST_CHAT + (BURSTS + 1) * CHATS))))
    more |= {"APP_BASE_URL": "https://bench.test", "ALLOWED_USER_IDS": people}
    return bots.ours("chat-ours", root, address, around, folder, more)


async def _alone(sides: Mapping[str, Side]) -> None:
    """One message at a time, to each in turn."""
    for number in range(-WARM_UPS, MESSAGES):
        # Chat 1 is for those that do not count.
        chat = 1 if number < 0 else 2 + number // TALK
        for side in sides.values():
            before = side.around.model_calls
            with side.counted("alone", MESSAGES):
                passages = await side.speak(range(chat, chat + 1), 1)
                await asyncio.sleep(SETTLED)
            if number < 0:
                side.cpu.clear()
                side.server_cpu.clear()
            else:
                side.singles += passages
                side.model_calls += side.around.model_calls - before


async def _together(sides: Mapping[str, Side]) -> None:
    """Many at once, to each in turn, and each time in other chats."""
    for number in range(BURSTS + 1):
        for side in sides.values():
            if number == 0:  # opens connections, and is not counted
                await side.speak(_chats(number), CHATS)
                await asyncio.sleep(5 * SETTLED)
                continue
            with side.counted("burst", BURST * BURSTS):
                side.bursts.append(await side.speak(_chats(number), BURST))
                await asyncio.sleep(5 * SETTLED)


def _chats(number: int) -> range:
    """The chats of one burst."""
    return range(FIRST_CHAT + number * CHATS, FIRST_CHAT + (number + 1) * CHATS)


def share(values: list[float], part: float) -> float:
    """The value within which this part of them lies."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def acknowledged(passages: list[Passage]) -> list[float]:
    """Seconds until the bot said that it has each."""
    return [one.acknowledged - one.posted for one in passages]


def answered(passages: list[Passage]) -> list[float]:
    """Seconds until each was answered."""
    return [one.arrived - one.posted for one in passages]


def until_all(side: Side) -> float:
    """Seconds until a burst was answered: the median of all bursts."""
    return statistics.median(
        max(one.arrived for one in burst) - min(one.posted for one in burst) for burst in side.bursts
    )


def stages(sides: Mapping[str, Side]) -> list[Stage]:
    """Where the time of one message goes: what is seen from outside for all, and what our tables tell besides."""
    found = [
        Stage("until the model is asked", _median(sides, lambda one: one.asked - one.posted)),
        Stage("the model, as it sees it", _median(sides, lambda one: one.told - one.asked)),
        Stage("from its answer until the chat has it", _median(sides, lambda one: one.arrived - one.told)),
    ]
    side = sides["ours"]
    with psycopg.connect(side.database) as connection:
        rows = connection.execute(
            "select extract(epoch from t.created_at)::float8, extract(epoch from t.finished_at)::float8, "
            "extract(epoch from o.sent_at)::float8 from persais.turns t "
            "join persais.outbox o on o.key = format('turn:%%s:0', t.id) order by t.id offset %s limit %s",
            (WARM_UPS, MESSAGES),
        ).fetchall()
    seen = list(zip(side.singles, rows, strict=True))

    def part(name: str, values: list[float]) -> Stage:
        return Stage(f"  {name}", {"ours": statistics.median(values)})

    return [
        part("the door: until its statement begins", [row[0] - one.posted for one, row in seen]),
        part("stored: turn and job committed, 200 sent", [one.acknowledged - row[0] for one, row in seen]),
        part("picked up, gathered, routed", [one.asked - one.acknowledged for one, _ in seen]),
        *found[:2],
        part("answer read, call booked, state kept", [row[1] - one.told for one, row in seen]),
        part("outbox: put, picked up, sent", [one.arrived - row[1] for one, row in seen]),
        found[2],
        part("afterwards: until it is noted as sent", [row[2] - one.arrived for one, row in seen]),
    ]


def _median(sides: Mapping[str, Side], of: Callable[[Passage], float]) -> dict[str, float]:
    return {name: statistics.median([of(one) for one in side.singles]) for name, side in sides.items()}
