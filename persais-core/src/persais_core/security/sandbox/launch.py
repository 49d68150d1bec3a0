"""Starts one program between the walls, and reads what it says and how it ended.

The walls themselves are put up by `launcher`, a process per run; this is the half that lives inside the bot. It hands
over one spec, keeps the launcher's input open as a leash, and gets one report.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import site
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from persais_core import errors, processes
from persais_core.security.sandbox import seccomp
from persais_core.security.sandbox.profiles import Identity, Limits

PACKAGE = Path(errors.__file__).resolve().parent  # persais_core, wherever it is installed
LAUNCHER = Path(__file__).with_name("launcher.py")
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/nix/store")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone")
GRACE = 10.0  # seconds after the deadline until a launcher that does not answer is ended itself
FIRST_UID = 62000  # a block that neither people nor packages nor systemd's dynamic users are given
UIDS = 2000


@dataclass(frozen=True)
class Outcome(processes.Outcome):
    """What became of a program in the sandbox.

    Args:
        why: why it was ended before its time, as the end of a sentence ("it used more than …"); None: it was not.
        peak_bytes: the most memory its processes were seen to use together.
    """

    why: errors.SandboxError | None = None
    peak_bytes: int = 0

    @property
    def stopped(self) -> str:
        """The same in English; empty where it was not."""
        return "" if self.why is None else str(self.why)

    def __bool__(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return super().__bool__() and self.why is None


@dataclass(frozen=True)
class Walls:
    """What stands around one run.

    Args:
        identity: who the program runs as; None: there are no walls, only limits.
        limits: what it may use.
        programs: places it may read and execute, instead of our own interpreter and packages; None: those.
        readable: places it may read.
    """

    identity: Identity | None
    limits: Limits
    programs: tuple[str, ...] | None = None
    readable: tuple[str, ...] = ()


class WallError(errors.SandboxError):
    """A wall could not be put up; nothing was run."""


async def launch(command: processes.Command, folder: Path, walls: Walls) -> Outcome:
    """Start the launcher with one spec and wait for its report.

    Raises:
        WallError: a wall could not be put up; nothing was run.
        SandboxError: what was run could not be ended.
    """
    folder, limits = folder.resolve(), walls.limits
    home, scratch = folder / ".home", folder / ".tmp"
    for made in (home, scratch):
        made.mkdir(exist_ok=True, mode=0o700)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    env = {
        "PATH": path,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "LOGNAME": "persais",
        # libc removes TMPDIR from programs whose real and effective uid differ, and Python then asks for the others.
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)),
        **command.env,
    }
    program = shutil.which(command.argv[0], path=path)
    if program is None:
        return Outcome(127, "", f"{command.argv[0]}: not found", 0.0)
    put_up = _walls(walls)
    reading, report = os.pipe()
    spec = {
        "argv": [program, *command.argv[1:]],
        "cwd": str(command.cwd),
        "env": env,
        "stdin": command.stdin.decode("latin-1"),
        "folder": str(folder),
        **_places(walls),
        **put_up,
        "uid": FIRST_UID + _next_uid(),
        "limits": asdict(limits),
        "wall_seconds": command.timeout_seconds,
        "keep": list(command.pass_fds),
        "report": report,
    }
    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(LAUNCHER)),
            cwd="/",
            env={},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=(report, *command.pass_fds),
        )
    except OSError as error:
        os.close(reading)
        raise WallError(f"{sys.executable}: {error.strerror}") from None
    finally:
        os.close(report)
    with os.fdopen(reading, "rb") as answer:
        try:
            stdout, stderr, is_cut = await _attend(process, spec, command, limits)
        finally:
            await _release(process)
        # The launcher has gone, and it was the last to hold the other end.
        raw = await asyncio.to_thread(answer.read)
    if not raw:
        raise WallError(f"the launcher ended without a report ({stderr.strip()[-300:] or process.returncode})")
    found: dict[str, Any] = json.loads(raw)
    if found.get("error") == "wall":
        raise WallError(found["text"])
    if found.get("error") == "exec":
        return Outcome(127, "", found["text"], time.monotonic() - started)
    if found["left"]:
        raise errors.SandboxError(
            "a program in the sandbox could not be ended; restart the machine or the container", key="sandbox-endless"
        )
    stopped = found["stopped"]
    return Outcome(
        found["exit"],
        stdout,
        stderr,
        found["seconds"],
        timed_out=stopped == "time",
        output_cut=is_cut,
        why=_why(stopped, limits, command),
        peak_bytes=found["rss"],
    )


def _next_uid() -> int:
    """The next offset into the block of uids, so that runs side by side do not share one."""
    global _runs
    _runs = (_runs + 1) % UIDS
    return _runs


_runs = os.getpid() % UIDS


def _why(stopped: str, limits: Limits, command: processes.Command) -> errors.SandboxError | None:
    """The launcher's word for why it ended a program, in whole words."""
    match stopped:
        case "":
            return None
        case "time":
            seconds = f"{command.timeout_seconds:g}"
            return errors.SandboxError(f"it did not end within {seconds} s", key="ended-time", seconds=seconds)
        case "memory":
            size = str(limits.memory_bytes >> 20)
            return errors.SandboxError(f"it used more than {size} MB of memory", key="ended-memory", size=size)
        case "processes":
            told, many = f"it started more than {limits.processes} processes", limits.processes
            return errors.SandboxError(told, key="ended-processes", count=many)
        case "files":
            return errors.SandboxError(f"it made more than {limits.files} files", key="ended-files", count=limits.files)
        case "disk":
            size = str(limits.disk_bytes >> 20)
            return errors.SandboxError(f"it wrote more than {size} MB", key="ended-disk", size=size)
        case "output":
            size = str(limits.output_bytes >> 10)
            return errors.SandboxError(f"it printed more than {size} kB", key="ended-output", size=size)
        case "cancelled":
            return errors.SandboxError("it was no longer wanted", key="ended-unwanted")
    return errors.SandboxError(stopped)


async def _attend(
    process: asyncio.subprocess.Process, spec: Mapping[str, Any], command: processes.Command, limits: Limits
) -> tuple[str, str, bool]:
    """Hand over the spec and read both streams to their end; a flood is told to the launcher."""
    assert process.stdin and process.stdout and process.stderr
    leash, total, is_cut = process.stdin, 0, False

    async def read(stream: asyncio.StreamReader) -> str:
        nonlocal total, is_cut
        kept = bytearray()
        while chunk := await stream.read(65536):
            room = command.max_output_bytes - len(kept)
            kept += chunk[: max(room, 0)]
            is_cut = is_cut or len(chunk) > room
            before, total = total, total + len(chunk)
            if before <= limits.output_bytes < total:
                with contextlib.suppress(ConnectionError):
                    leash.write(b"o")
        return kept.decode("utf-8", "replace")

    with contextlib.suppress(ConnectionError):
        leash.write(json.dumps(spec).encode() + b"\n")
        await leash.drain()
    work = asyncio.gather(read(process.stdout), read(process.stderr), process.wait())
    try:
        stdout, stderr, _ = await asyncio.wait_for(work, command.timeout_seconds + GRACE)
    except TimeoutError:
        raise WallError("the launcher did not answer in time") from None
    finally:
        if work.done() and not work.cancelled():
            work.exception()  # a gathering that was cancelled is reported as a bug when nobody asks
    return stdout, stderr, is_cut


async def _release(process: asyncio.subprocess.Process) -> None:
    """Let go of the leash: the launcher ends its tree and itself. Runs on cancellation too."""
    assert process.stdin
    process.stdin.close()
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait_for(asyncio.shield(waiting), GRACE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await waiting


def _walls(walls: Walls) -> dict[str, Any]:
    """The walls themselves, as this kernel can put them up.

    Raises:
        WallError: nobody has listed the system calls of this machine.
    """
    if walls.identity is None:
        return {"walls": False, "identity": "same"}
    machine = os.uname().machine
    if machine not in seccomp.MACHINES:
        raise WallError(f"no list of system calls for {machine}")
    abi = seccomp.landlock_abi()
    return {"walls": True, "identity": walls.identity, "abi": abi, "filter": seccomp.program(machine, abi=abi).hex()}


def _places(walls: Walls) -> dict[str, list[str]]:
    """What a program may see, by what it may do with it."""
    readable = [*SYSTEM_FILES, *walls.readable]
    if walls.programs is not None:
        return {"programs": [*SYSTEM, *walls.programs], "readable": readable, "listable": []}
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE)}
    places |= {str(Path(sys.executable).resolve().parent)} - {"/bin"}
    places |= {
        path for path in (*sys.path, *site.getsitepackages()) if path.endswith(("site-packages", "dist-packages"))
    }
    return {
        "programs": [*SYSTEM, *sorted(places - {"/"})],
        "readable": readable,
        # An editable install is found by listing the folder the package lies in.
        "listable": [str(PACKAGE.parent)],
    }
