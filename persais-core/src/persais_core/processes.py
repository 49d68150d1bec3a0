"""Running a program is a value in and a value out.

A `Command` says everything about a child process before it starts, an `Outcome` everything after it ended. The child
gets its own session, an environment built from nothing, and its whole process group is killed at the deadline, so that
no grandchild outlives the question that was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KILL_AFTER = 3.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Command:
    """One child process to be.

    Args:
        argv: program and arguments; never a shell line.
        cwd: absolute working directory.
        env: the whole environment of the child; nothing is inherited.
        stdin: bytes given on standard input, then end of file.
        timeout_seconds: wall clock until the process group is ended.
        max_output_bytes: of stdout and of stderr each; the rest is read and dropped.
        pass_fds: descriptors the child keeps.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    timeout_seconds: float = 60.0
    max_output_bytes: int = 1_000_000
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a `Command`; true when it exited 0 within its time."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False
    output_cut: bool = False

    def __bool__(self) -> bool:
        """Whether the command succeeded."""
        return self.exit_code == 0 and not self.timed_out


async def run(command: Command, *, on_line: Callable[[str], None] | None = None) -> Outcome:
    """Run a command to its end or its deadline.

    Args:
        command: what to run.
        on_line: called with each line of stderr as it arrives, for progress.

    Returns:
        The outcome; a program that could not be found gives exit code 127 and says so on stderr.
    """
    started = time.monotonic()
    try:
        child = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=command.pass_fds,
        )
    except OSError as error:
        missing = command.argv[0] if command.cwd.is_dir() else command.cwd
        return Outcome(127, "", f"{missing}: {error.strerror}", time.monotonic() - started)
    process = _Process(child, max_output_bytes=command.max_output_bytes, on_line=on_line)
    return await process.finish(command.stdin, command.timeout_seconds, started)


class _Process:
    """A command that was started and waits for its input."""

    def __init__(
        self, child: asyncio.subprocess.Process, *, max_output_bytes: int, on_line: Callable[[str], None] | None
    ) -> None:
        assert child.stdin and child.stdout and child.stderr
        self._child, self._stdin, self._most = child, child.stdin, max_output_bytes
        self._cut = False
        # Read from the first moment: a pipe that nobody empties would stop the child.
        self._work = asyncio.gather(self._read(child.stdout, None), self._read(child.stderr, on_line), child.wait())

    async def finish(self, stdin: bytes, timeout_seconds: float, started: float) -> Outcome:
        """Give it its input and wait for its end or the deadline."""
        work = asyncio.gather(self._work, self._feed(stdin))
        timed_out = False
        try:
            await asyncio.wait_for(asyncio.shield(work), timeout_seconds)
        except TimeoutError:
            timed_out = True
        except asyncio.CancelledError:
            # Whoever cancels us wants the child gone, and nothing of it left pending.
            _signal_group(self._child.pid, signal.SIGKILL)
            await asyncio.wait([work])
            raise
        await _end_group(self._child.pid, asyncio.shield(work), gently=timed_out)
        (stdout, stderr, exit_code), _ = await work
        return Outcome(exit_code, stdout, stderr, time.monotonic() - started, timed_out, self._cut)

    async def _read(self, stream: asyncio.StreamReader, tell: Callable[[str], None] | None) -> str:
        kept, line = bytearray(), bytearray()
        while chunk := await stream.read(65536):
            room = self._most - len(kept)
            self._cut = self._cut or len(chunk) > room
            kept += chunk[: max(room, 0)]
            if tell:
                line += chunk
                *whole, rest = bytes(line).split(b"\n")
                line = bytearray(rest[-4096:])
                for item in whole:
                    tell(item.decode("utf-8", "replace"))
        if tell and line:
            tell(line.decode("utf-8", "replace"))
        return kept.decode("utf-8", "replace")

    async def _feed(self, stdin: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._stdin.write(stdin)
            await self._stdin.drain()
        with contextlib.suppress(ConnectionError):
            self._stdin.close()


async def _end_group(pid: int, work: asyncio.Future[object], *, gently: bool) -> None:
    """End whatever is left of the child's process group."""
    if gently:
        _signal_group(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work, KILL_AFTER)
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
