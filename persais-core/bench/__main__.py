"""`make bench`: everything that is measured, in one run of about two minutes, printed as one table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from bench import bots, coding, evolution, memory, replies, stand_ins, starts, table
from persais_core import errors
from persais_core.db import embedded
from persais_core.db.engine import sqlalchemy_url

START_ROUNDS = 5
EMPTY_ROUNDS = 3
HELP_ROUNDS = 7

START_AIM = 1.3  # ours / bare
REPLY_AIM = 1.5  # ours / bare
MEMORY_AIM = 250.0  # MB
EVOLUTION_AIM = 15.0  # seconds without coding
HELP_AIM = 0.4  # seconds

Section = tuple[str, list[table.Row]]


def tell(line: str) -> None:
    """What is going on, beside the table."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def command_line() -> Section:
    """How long one waits for `persais --help`."""
    tell("persais --help ...")
    program = str(Path(sys.executable).parent / "persais")
    taken = []
    for _ in range(HELP_ROUNDS):
        began = time.perf_counter()
        subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    row = table.seconds(f"persais --help, median of {HELP_ROUNDS}", median, most=HELP_AIM)
    return "Command line", [row]


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

    async def run(self) -> list[Section]:
        """Measure everything; what did not work at all says so in its place."""
        evolved: list[evolution.Evolved] = []
        sizes: list[table.Row] = []

        async def evolve() -> list[table.Row]:
            evolved.append(await evolution.measure(self._folder / "dev", self._echo, tell))
            return _evolution_rows(evolved[0])

        # First, for the agent it makes is spoken to later on.
        made = await _attempt("one evolution under persais dev", evolve())
        coded = await _attempt("the same edit, cold and warm", self._code())
        began = await _attempt("starts", self._starts())
        answered = await _attempt("replies", self._talk(sizes))
        for one in evolved:
            sizes += table.memory("persais dev: supervisor", one.supervisor)
            sizes += table.memory("persais dev: release", one.release)
        return [
            ("Start (seconds after the process is made; both with a message waiting)", began),
            (f"Reply (one message at a time, {replies.MESSAGES} after {replies.WARM_UPS} warm-ups)", answered),
            (f"Memory after those {replies.MESSAGES + replies.WARM_UPS} messages, without Postgres", sizes),
            ("Evolution (Echo, instant model)", made),
            (f"Coding (one edit, instant model, started for the job or {coding.AHEAD:g} s ahead)", coded),
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

    async def _talk(self, sizes: list[table.Row]) -> list[table.Row]:
        async with contextlib.AsyncExitStack() as stack:
            speaking: dict[str, bots.Running] = {}

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
            for name, calls in {"ours": replies.MESSAGES, "bare": replies.MESSAGES, "echo": 0}.items():
                if name in measured and measured[name].model_calls != calls:
                    raise speaking[name].broken(f"asked the model {measured[name].model_calls} times, not {calls}")
            held = {name: memory.of(running.process.pid) for name, running in speaking.items()}
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
        sizes += table.memory("persais serve", held["ours"], held["bare"], most=MEMORY_AIM)
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
    began, load = time.perf_counter(), os.getloadavg()
    # It makes each start pay for compiling; whoever has it set would measure that.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="persais-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root Postgres runs as another user, who must be able to walk through
        help_time = command_line()
        try:
            with postgres(folder) as server:
                sections = asyncio.run(Bench(folder, server).run())
        except errors.PersaisError as error:
            tell(f"DID NOT WORK: {error}")
            return 1
    print(table.render([*sections, help_time]))
    print(
        f"\n{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average {load[0]:.2f} before, {os.getloadavg()[0]:.2f} after; "
        f"the run took {time.perf_counter() - began:.0f} s"
    )
    return 1 if any(table.FAILED in rows for _, rows in sections) else 0


if __name__ == "__main__":
    sys.exit(main())
