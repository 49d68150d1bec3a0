"""`make bench`: everything that is measured, in one run of some five minutes, printed as one table.

`python -m bench chat stages` measures and prints only those parts; `PARTS` has their names. `plain` and `kept` are the
minimal bots of `bare_bot`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from bench import bots, chat, coding, evolution, figures, gates, replies, sizes, stand_ins, starts, table
from persais_core import errors
from persais_core.db import embedded
from persais_core.db.engine import sqlalchemy_url

START_ROUNDS = 5
EMPTY_ROUNDS = 3

START_AIM = 1.3  # ours / kept
REPLY_AIM = 1.5  # ours / kept
EVOLUTION_AIM = 15.0  # seconds without coding
GATES_AIM = 0.5  # seconds
WALLS_AIM = 0.2  # seconds more

Section = tuple[str, list[table.Row]]
PARTS = {
    "chat": f"Chat (webhook, instant model, no debounce, no limits; {chat.MESSAGES} messages, {chat.BURSTS} bursts)",
    "stages": "Where the time of one message goes (one at a time, medians)",
    "start": "Start (seconds after the process is made; all with a message waiting)",
    "reply": f"Reply while polling (one message at a time, {replies.MESSAGES} after {replies.WARM_UPS} warm-ups)",
    "memory": "Memory after all messages, without Postgres",
    "evolution": "Evolution (Echo, instant model)",
    "gates": "Gates",
    "coding": f"Coding (one edit, instant model, started for the job or {coding.AHEAD:g} s ahead)",
    "commands": "Command line",
    "size": "Size",
}


def tell(line: str) -> None:
    """What is going on, beside the table."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class Bench:
    """One run.

    Args:
        folder: for everything that is written.
        server: address of the Postgres that both bots use.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder, self._server = folder, server
        self._plain = folder / "plain"
        self._echo = folder / "echo"
        shutil.copytree(bots.CORE.parent / "persais-app" / "bot", self._plain / "bot")

    async def run(self, parts: Sequence[str]) -> list[Section]:
        """Measure these parts; what did not work at all says so in its place."""
        sections: dict[str, list[table.Row]] = {}
        held: list[table.Row] = []
        evolved: list[evolution.Evolved] = []

        async def evolve() -> list[table.Row]:
            evolved.append(await evolution.measure(self._folder / "dev", self._echo, tell))
            return _evolution_rows(evolved[0])

        async def speak() -> list[table.Row]:
            sides = await chat.measure(self._plain, self._folder, self._database)
            sections["stages"] = figures.of_stages(sides)
            held.extend(figures.of_memory(sides))
            return figures.of_messages(sides)

        async def in_thread(work: Callable[[], list[table.Row]]) -> list[table.Row]:
            return await asyncio.to_thread(work)

        # An agent is made first, for it is spoken to later on.
        works: dict[str, Callable[[], Awaitable[list[table.Row]]]] = {
            "evolution": evolve,
            "gates": self._guard,
            "coding": self._code,
            "start": self._starts,
            "chat": speak,
            "reply": self._talk,
            "commands": lambda: in_thread(lambda: sizes.commands(self._folder)),
            "size": lambda: in_thread(sizes.installed),
        }
        for name, work in works.items():
            if name in parts or (name == "chat" and not {"stages", "memory"}.isdisjoint(parts)):
                sections[name] = await _attempt(name, work())
        for one in evolved:
            held += table.memory("persais dev: supervisor", one.supervisor)
            held += table.memory("persais dev: release", one.release)
        sections["memory"] = held
        return [(PARTS[name], sections[name]) for name in PARTS if name in parts and sections.get(name)]

    async def _guard(self) -> list[table.Row]:
        found = await gates.measure(self._folder, tell)
        return [
            table.seconds(
                f"a change of {gates.FILES} files is read, median of {gates.ROUNDS}", found.static, most=GATES_AIM
            ),
            table.seconds(
                f"a program in the sandbox, more than beside it, median of {gates.RUNS}", found.overhead, most=WALLS_AIM
            ),
        ]

    async def _code(self) -> list[table.Row]:
        coded = await coding.measure(self._folder / "code", tell)
        what = f"median of {coding.ROUNDS}"
        return [
            table.seconds(f"cold: a process started for the job, {what}", coded.cold),
            table.seconds(f"warm: the process that waited, {what}", coded.warm),
        ]

    async def _starts(self) -> list[table.Row]:
        async with stand_ins.served() as one, stand_ins.served() as other:
            mine = bots.ours("serve", self._plain, self._database("start_ours"), one, self._folder)
            bare = bots.bare("bare", self._database("start_bare"), other, self._folder)
            for bot in (mine, bare):  # makes the tables and the bytecode
                await starts.measure(bot)
            warm = [(await starts.measure(mine), await starts.measure(bare)) for _ in range(START_ROUNDS)]
            empty = []
            for number in range(EMPTY_ROUNDS):
                mine = bots.ours("serve", self._plain, self._database(f"ours_{number}"), one, self._folder)
                bare = bots.bare("bare", self._database(f"bare_{number}"), other, self._folder)
                empty.append((await starts.measure(mine), await starts.measure(bare)))
        return [*_start_rows("tables there", warm), *_start_rows("empty database", empty)]

    async def _talk(self) -> list[table.Row]:
        async with contextlib.AsyncExitStack() as stack:
            speaking: dict[str, bots.Running[stand_ins.StandIns]] = {}

            async def begin(name: str, root: Path | None) -> None:
                around = await stack.enter_async_context(stand_ins.served())
                database = self._database(f"talk_{name}")
                if root is None:
                    bot = bots.bare(f"talk-{name}", database, around, self._folder)
                else:
                    bot = bots.ours(f"talk-{name}", root, database, around, self._folder)
                speaking[name] = await stack.enter_async_context(bots.started(bot))
                await speaking[name].healthy()
                await around.polled.wait()

            await begin("ours", self._plain)
            await begin("bare", None)
            expected = {"ours": stand_ins.ANSWER, "bare": stand_ins.ANSWER}
            if self._echo.exists():
                await begin("echo", self._echo)
                expected["echo"] = "Echo: {}"
                around = speaking["echo"].bot.stand_ins
                async with around.person() as person:
                    await person.send("/echo")
                    await around.sent()
            measured = await replies.measure(speaking, expected)
        rows = [
            table.compared(f"Master, p{share:.0%}".rstrip("%"), measured["ours"].at(share), measured["bare"].at(share),
                           unit="ms", most=REPLY_AIM)
            for share in (0.5, 0.95)
        ]  # fmt: skip
        if "echo" in measured:
            rows += [
                table.compared(
                    f"Echo (generated code, no model), p{share:.0%}".rstrip("%"),
                    measured["echo"].at(share), measured["bare"].at(share), unit="ms",
                )
                for share in (0.5, 0.95)
            ]  # fmt: skip
        return rows

    def _database(self, name: str) -> str:
        """The address of a fresh database; a name that was used before is emptied."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)'.encode())
            connection.execute(f'create database "{name}"'.encode())
        return (
            make_url(sqlalchemy_url(self._server))
            .set(drivername="postgresql", database=name)
            .render_as_string(hide_password=False)
        )


def _start_rows(where: str, rounds: Sequence[tuple[starts.Start, starts.Start]]) -> list[table.Row]:
    rows = []
    for what, moment in (("/health is ok", "healthy"), ("first getUpdates", "polling"), ("first reply", "answered")):
        mine = [getattr(one, moment) for one, _ in rounds]
        bare = [getattr(other, moment) for _, other in rounds]
        most = START_AIM if moment == "healthy" and where == "tables there" else None
        rows.append(table.compared(f"{where}: {what}, best of {len(rounds)}", min(mine), min(bare), unit="s"))
        median = f"{where}: {what}, median of {len(rounds)}"
        rows.append(table.compared(median, statistics.median(mine), statistics.median(bare), unit="s", most=most))
    return rows


async def _attempt(what: str, work: Awaitable[list[table.Row]]) -> list[table.Row]:
    """The rows of one part; what keeps it from working is told and leaves a row that says so."""
    tell(f"{what} ...")
    try:
        return await work
    except (bots.BotBrokenError, errors.PersaisError, TimeoutError) as error:
        tell(f"  DID NOT WORK: {error}")
        return [table.FAILED]


def _evolution_rows(evolved: evolution.Evolved) -> list[table.Row]:
    rows = [table.seconds("persais dev until it answers", evolved.ready)]
    for name in evolution.STAGES:
        label = {"coding": "coding (aider, with what is left of its start)"}.get(name, name)
        rows.append(table.seconds(label, evolved.stages.get(name, 0.0)))
        if name == "verifying":
            rows += [table.seconds(f"  check: {check}", value) for check, value in evolved.checks.items()]
    rows.append(table.seconds("from the request to the card", evolved.asked_to_card))
    rows.append(table.seconds("from the tap to serving", evolved.tap_to_serving))
    rows.append(table.seconds("everything except coding", evolved.but_coding, most=EVOLUTION_AIM))
    return rows


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server as people run it: durable, with its commits on the disk."""
    server = embedded.EmbeddedPostgres(folder / "pg")
    try:
        yield server.start()
    finally:
        server.stop()


def main() -> int:
    """Exit code 0 unless something did not work at all."""
    parts = sys.argv[1:] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        tell(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    began, load = time.perf_counter(), os.getloadavg()
    # It makes each start pay for compiling; whoever has it set would measure that.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="persais-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root Postgres runs as another user, who must be able to walk through
        try:
            with postgres(folder) as server:
                sections = asyncio.run(Bench(folder, server).run(parts))
        except errors.PersaisError as error:
            tell(f"DID NOT WORK: {error}")
            return 1
    print(table.render(sections))
    print(
        f"\n{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average {load[0]:.2f} before, {os.getloadavg()[0]:.2f} after; "
        f"the run took {time.perf_counter() - began:.0f} s"
    )
    return 1 if any(table.FAILED in rows for _, rows in sections) else 0


if __name__ == "__main__":
    sys.exit(main())
