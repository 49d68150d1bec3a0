"""Where code that nobody has approved is run: without network, secrets, or the rest of the disk.

The walls are put up by `launcher`, one process per run. Whether they hold is decided by behaviour, not by version
numbers: before the first run a canary (`canary`) goes inside and tries to get out in some thirty ways. If it comes out,
or if a wall could not be put up, the answer depends on what there is to lose: with no secret set, programs run with
resource limits only and everybody is told; with any secret set they do not run at all.

The folder of a run is always a copy (`copy_tree`). Nothing else can be written, and the bot reads nothing back from it
but reports, and those with `read_report`, which cannot be led out of the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import site
import socket
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from persais_core import commands, errors
from persais_core.security.sandbox.conversation import DOOR, MAX_LINE, Conversation

PACKAGE = Path(errors.__file__).resolve().parent  # persais_core, wherever it is installed
LAUNCHER = Path(__file__).with_name("launcher.py")
CANARY = Path(__file__).with_name("canary.py")
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/nix/store")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone")
GRACE = 10.0  # seconds after the deadline until a launcher that does not answer is ended itself
SKIPPED = {".git", ".venv", "venv", ".env", ".persais", "__pycache__", "node_modules", ".pytest_cache", ".ruff_cache"}
FIRST_UID = 62000  # a block that neither people nor packages nor systemd's dynamic users are given
UIDS = 2000

Identity = Literal["own", "real", "same"]
State = Literal["enforced", "limits_only", "refused"]

_STOPPED = {
    "time": "it did not end within {wall_seconds:g} s",
    "memory": "it used more than {memory} MB of memory",
    "processes": "it started more than {processes} processes",
    "files": "it made more than {files} files",
    "disk": "it wrote more than {disk} MB",
    "output": "it printed more than {output} kB",
    "cancelled": "it was no longer wanted",
}


class Profile(StrEnum):
    """How much of a network a program gets."""

    CHECK = "check"
    """None: no socket can be made."""
    PREVIEW = "preview"
    """None either. It is for programs that stay and are spoken with, by `Sandbox.converse`."""
    CODER = "coder"
    """TCP connections to one port only, given with the run. Landlock names the port, not the host: pass a port that was
    opened for this run, not a well-known one."""


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Args:
        memory_bytes: resident memory of all its processes together.
        address_bytes: address space of each process; far above the memory, as programs with threads reserve a lot.
        cpu_seconds: of each process.
        disk_bytes: size of the folder, what was there before included.
        file_bytes: size of one file.
        files: entries in the folder.
        processes: processes and threads.
        open_files: descriptors of each process.
        output_bytes: on stdout and stderr together, until the run is ended.
    """

    memory_bytes: int = 1 << 30
    address_bytes: int = 16 << 30
    cpu_seconds: int = 60
    disk_bytes: int = 64 << 20
    file_bytes: int = 16 << 20
    files: int = 10_000
    processes: int = 64
    open_files: int = 256
    output_bytes: int = 1 << 20


PREVIEW_LIMITS = Limits(memory_bytes=512 << 20, cpu_seconds=300, processes=32, output_bytes=4 << 20)
"""For a program that lives as long as somebody speaks with it, beside a bot that has its own work to do."""


@dataclass(frozen=True)
class Isolation:
    """Whether the walls hold on this machine.

    Args:
        state: `enforced`; `limits_only`: programs run, with limits on time and memory only; `refused`: they do not run.
        ways: what holds, such as `landlock-7`, `seccomp`, `own-uid`.
        reason: one sentence when they do not hold, else empty.
    """

    state: State
    ways: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Outcome(commands.Outcome):
    """What became of a program in the sandbox.

    Args:
        stopped: why it was ended before its time, as the end of a sentence ("it used more than …"), or empty.
        peak_bytes: the most memory its processes were seen to use together.
    """

    stopped: str = ""
    peak_bytes: int = 0

    def __bool__(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return super().__bool__() and not self.stopped


class _WallError(errors.SandboxError):
    """A wall could not be put up; nothing was run."""


class Sandbox:
    """Runs programs between walls.

    Args:
        readable: folders a program may read besides the interpreter, its packages and the system's libraries.
        secrets_present: whether anything is set that must not get out.
        allow_unsandboxed: the owner's word that programs may run without walls all the same.
    """

    def __init__(
        self, *, readable: Sequence[Path] = (), secrets_present: bool = True, allow_unsandboxed: bool = False
    ) -> None:
        self._readable = tuple(str(path.resolve()) for path in readable)
        self._may_go_without = allow_unsandboxed or not secrets_present
        self._asking = asyncio.Lock()
        self._verdict: Isolation | None = None
        self._proven: dict[Identity, str] = {}

    async def probe(self) -> Isolation:
        """Send the canary in and say what holds; the answer is kept for the life of this object."""
        async with self._asking:
            if self._verdict is None:
                self._verdict = await self._ask()
            return self._verdict

    async def run(
        self,
        command: commands.Command,
        *,
        folder: Path,
        profile: Profile = Profile.CHECK,
        port: int | None = None,
        limits: Limits | None = None,
        readable: Sequence[Path] = (),
    ) -> Outcome:
        """Run one program that may write nowhere but in `folder`.

        Args:
            command: what to run; `env` is added to PATH, HOME, TMPDIR, LANG and TZ, and nothing else is there.
            folder: a copy made for this; `command.cwd` lies in it. HOME and TMPDIR are made inside.
            profile: which network it gets.
            port: with `Profile.CODER`, the TCP port it may connect to.
            limits: what it may use; `command.timeout_seconds` is the wall clock.
            readable: further folders to read for this run.

        Returns:
            The outcome, once every process that the program started has gone.

        Raises:
            SandboxError: the walls do not hold here, so nothing was run; the message says what to do.
        """
        if (profile is Profile.CODER) != (port is not None):
            raise ValueError("a port goes with the coder's profile, and only with it")
        places = (*self._readable, *map(str, readable))
        verdict = await self.probe()
        if verdict.state == "refused":
            raise errors.SandboxError(f"{verdict.reason}; use a Linux with Landlock, or set ALLOW_UNSANDBOXED=1")
        identity: Identity | None = None
        if verdict.state == "enforced":
            identity = "own" if "own" in self._proven and _is_open(folder, places) else await self._shared()
            if identity is None:
                raise errors.SandboxError(f"{folder} cannot be reached by the sandbox's user; move it to another place")
        try:
            return await _launch(command, folder, identity, port, limits or Limits(), places)
        except _WallError as error:
            raise errors.SandboxError(f"the sandbox could not be set up: {error}") from None

    @contextlib.asynccontextmanager
    async def converse(
        self,
        command: commands.Command,
        *,
        folder: Path,
        limits: Limits = PREVIEW_LIMITS,
        readable: Sequence[Path] = (),
    ) -> AsyncIterator[Conversation]:
        """Run one program for as long as the block lasts, and speak with it; at the end its whole tree is ended.

        The program reads questions and writes answers, one line of JSON each, on the descriptor whose number it finds
        in `PERSAIS_DOOR`. Its profile is `Profile.PREVIEW`.

        Args:
            command: what to run, as for `run`; `timeout_seconds` is how long it may stay.
            folder: a copy made for this.
            limits: what it may use in all that time.
            readable: further folders to read.

        Raises:
            SandboxError: the walls do not hold here, so nothing was run.
        """
        ours, theirs = socket.socketpair()
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        env = {**command.env, DOOR: str(theirs.fileno())}
        command = replace(command, env=env, pass_fds=(*command.pass_fds, theirs.fileno()))

        async def live() -> str:
            # Their end is closed here as well once the program has gone, which is how the reader hears of it.
            with theirs:
                return _farewell(
                    await self.run(command, folder=folder, profile=Profile.PREVIEW, limits=limits, readable=readable)
                )

        conversation = Conversation(asyncio.create_task(live(), name="conversation"), reader, writer)
        try:
            yield conversation
        finally:
            await conversation.close()

    async def _ask(self) -> Isolation:
        """Try the identities from the strongest to the weakest until the canary stays in."""
        reasons: list[str] = []
        if sys.platform == "linux":
            choices: tuple[Identity, ...] = ("own", "real", "same") if os.geteuid() == 0 else ("same",)
            for identity in choices:
                if reason := await self._try(identity):
                    reasons.append(reason)
                    continue
                ways = (f"landlock-{_landlock_abi()}", "seccomp", *_NAMES[identity])
                return Isolation("enforced", ways)
        else:
            reasons.append(f"{sys.platform} has no walls that Persais can put up")
        return self.judge(reasons)

    def judge(self, reasons: Sequence[str]) -> Isolation:
        """What follows when no way of putting up walls works.

        Args:
            reasons: why, one for each way that was tried; the last was the simplest one.
        """
        state: State = "limits_only" if self._may_go_without else "refused"
        return Isolation(state, ("rlimits", "watchdog"), f"no isolation here: {reasons[-1]}")

    async def _try(self, identity: Identity) -> str:
        """Send the canary in under one identity; returns why it does not hold, or an empty string."""
        try:
            leaks = await _send_canary(identity, self._readable)
        except _WallError as error:
            return str(error)
        if leaks:
            return f"a trial program got out ({', '.join(leaks)})"
        self._proven[identity] = ""
        return ""

    async def _shared(self) -> Identity | None:
        """The strongest identity that holds and can read what only we can."""
        choices: tuple[Identity, ...] = ("real", "same")
        async with self._asking:
            for identity in choices:
                if identity in self._proven or not await self._try(identity):
                    return identity
        return None


_NAMES: Mapping[Identity, tuple[str, ...]] = {
    "own": ("own-uid", "caps-dropped"),
    "real": ("own-real-uid", "caps-dropped"),
    "same": ("caps-dropped",),
}


def copy_tree(source: Path, target: Path, *, max_bytes: int = 32 << 20, max_files: int = 5000) -> None:
    """Copy a project for a run: no `.git`, no environment, no settings with secrets, no caches.

    Args:
        source: the project or worktree.
        target: folder to make; must not exist.
        max_bytes: refuse more than this in all.
        max_files: refuse more files than this.

    Raises:
        SandboxError: something in it is neither a file nor a folder, or it is too large.
    """
    target.mkdir(parents=True, mode=0o700)
    files = size = 0
    queue = [source]
    while queue:
        folder = queue.pop()
        for entry in sorted(folder.iterdir()):
            if entry.name in SKIPPED or (entry.name.startswith(".env.") and entry.name != ".env.example"):
                continue
            name = entry.relative_to(source)
            found = entry.lstat()
            if stat.S_ISDIR(found.st_mode):
                (target / name).mkdir(mode=0o700)
                queue.append(entry)
                continue
            if not stat.S_ISREG(found.st_mode):
                raise errors.SandboxError(f"{name} is neither a file nor a folder; remove it from the project")
            files, size = files + 1, size + found.st_size
            if files > max_files or size > max_bytes:
                raise errors.SandboxError(
                    f"the project has more than {max_files} files or {max_bytes >> 20} MB; move data out of it"
                )
            shutil.copyfile(entry, target / name, follow_symlinks=False)


async def remove_tree(folder: Path) -> None:
    """Remove a folder that a program has worked in, however deep it is now; one that is not there is no matter.

    Raises:
        SandboxError: it could not be removed.
    """
    # Python's own rmtree recurses, and a tree deeper than its stack is made in a moment.
    command = commands.Command(argv=("rm", "-rf", "--", str(folder)), cwd=Path("/"), env={"PATH": "/usr/bin:/bin"})
    outcome = await commands.run(command)
    if not outcome:
        raise errors.SandboxError(f"{folder} could not be removed; remove it by hand ({outcome.stderr.strip()[-200:]})")


def read_report(folder: Path, name: str, *, max_bytes: int = 4 << 20) -> bytes | None:
    """Read a file that a program left in its folder, trusting nothing about it.

    Args:
        folder: of the run.
        name: of a file directly in it.
        max_bytes: a larger file counts as none.

    Returns:
        Its bytes; None when there is no plain file of that name.
    """
    try:
        place = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(place, "rb") as file:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > max_bytes:
            return None
        return file.read(max_bytes)


def _landlock_abi() -> int:
    import ctypes  # not on the way of a bot that never evolves

    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def _is_open(folder: Path, readable: Sequence[str]) -> bool:
    """Whether a stranger's uid can get to a folder (not into it: it will be given the folder) and read the others."""
    others = [Path(path).resolve() for path in readable]
    ways = {parent for path in (folder.resolve(), *others) for parent in path.parents}
    return all(way.stat().st_mode & 0o001 for way in ways) and all(
        path.stat().st_mode & 0o005 == 0o005 for path in others
    )


def _readable_places(extra: Sequence[str]) -> dict[str, list[str]]:
    """What every program may see, by what it may do with it."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE)}
    places |= {str(Path(sys.executable).resolve().parent)} - {"/bin"}
    places |= {
        path for path in (*sys.path, *site.getsitepackages()) if path.endswith(("site-packages", "dist-packages"))
    }
    return {
        "programs": [*SYSTEM, *sorted(places - {"/"})],
        "readable": [*SYSTEM_FILES, *extra],
        # An editable install is found by listing the folder the package lies in.
        "listable": [str(PACKAGE.parent)],
    }


async def _launch(
    command: commands.Command,
    folder: Path,
    identity: Identity | None,
    port: int | None,
    limits: Limits,
    readable: Sequence[str],
) -> Outcome:
    """Start the launcher with one spec and wait for its report."""
    folder = folder.resolve()
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
    reading, report = os.pipe()
    spec = {
        "argv": [program, *command.argv[1:]],
        "cwd": str(command.cwd),
        "env": env,
        "stdin": command.stdin.decode("latin-1"),
        "folder": str(folder),
        **_readable_places(readable),
        "walls": identity is not None,
        "identity": identity or "same",
        "uid": FIRST_UID + report_uid(),
        "port": port,
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
        raise _WallError(f"{sys.executable}: {error.strerror}") from None
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
        raise _WallError(f"the launcher ended without a report ({stderr.strip()[-300:] or process.returncode})")
    found: dict[str, Any] = json.loads(raw)
    if found.get("error") == "wall":
        raise _WallError(found["text"])
    if found.get("error") == "exec":
        return Outcome(127, "", found["text"], time.monotonic() - started)
    if found["left"]:
        raise errors.SandboxError("a program in the sandbox could not be ended; restart the machine or the container")
    stopped = found["stopped"]
    return Outcome(
        found["exit"],
        stdout,
        stderr,
        found["seconds"],
        timed_out=stopped == "time",
        output_cut=is_cut,
        stopped=_explain(stopped, limits, command),
        peak_bytes=found["rss"],
    )


def report_uid() -> int:
    """The next offset into the block of uids, so that runs side by side do not share one."""
    global _runs
    _runs = (_runs + 1) % UIDS
    return _runs


_runs = os.getpid() % UIDS


def _farewell(outcome: Outcome) -> str:
    """Why a program that was spoken with has ended, as the end of a sentence."""
    if outcome.stopped:
        return outcome.stopped
    last = outcome.stderr.strip().splitlines()[-1:]
    return f"it ended with exit code {outcome.exit_code}" + (f" ({last[0][:200]})" if last else "")


def _explain(stopped: str, limits: Limits, command: commands.Command) -> str:
    """The reason in words."""
    return _STOPPED.get(stopped, stopped).format(
        wall_seconds=command.timeout_seconds,
        memory=limits.memory_bytes >> 20,
        processes=limits.processes,
        files=limits.files,
        disk=limits.disk_bytes >> 20,
        output=limits.output_bytes >> 10,
    )


async def _attend(
    process: asyncio.subprocess.Process, spec: Mapping[str, Any], command: commands.Command, limits: Limits
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
        raise _WallError("the launcher did not answer in time") from None
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


async def _send_canary(identity: Identity, readable: Sequence[str]) -> list[str]:
    """Run the trial program; returns the names of the ways by which it got out."""
    with tempfile.TemporaryDirectory(prefix="persais-canary-") as outside, contextlib.ExitStack() as stack:
        # The folder is open to strangers so that a uid of its own is given the chance to leak through file modes.
        base = Path(outside).resolve()
        base.chmod(0o755)
        secret = base / "secret"
        secret.write_text("canary")
        secret.chmod(0o644)
        (base / "drop").mkdir()
        (base / "drop").chmod(0o777)
        folder = base / "work"
        folder.mkdir(mode=0o700)
        tcp, udp = stack.enter_context(socket.socket()), stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        for door in (tcp, udp):
            door.bind(("127.0.0.1", 0))
        unix.bind(str(base / "drop" / "door"))
        (base / "drop" / "door").chmod(0o777)
        tcp.listen()
        unix.listen()
        task = {
            "secret": str(secret),
            "drop": str(base / "drop"),
            "bot": os.getpid(),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
        }
        command = commands.Command(
            argv=(sys.executable, "-I", "-S", str(CANARY), json.dumps(task)), cwd=folder, timeout_seconds=20
        )
        outcome = await _launch(command, folder, identity, None, Limits(), (str(CANARY), *readable))
        raw = read_report(folder, "report.json")
        if not outcome or raw is None:
            last = (outcome.stderr.strip().splitlines() or [outcome.stopped or f"exit code {outcome.exit_code}"])[-1]
            raise _WallError(f"the trial program could not run: {last[:200]}")
        return [str(name) for name in json.loads(raw)]
