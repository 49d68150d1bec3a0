"""Where code that nobody has approved is run: without network, secrets, or the rest of the disk.

The walls are put up by `launcher`, one process per run. Whether they hold is decided by behaviour, not by version
numbers: before the first run a canary (`canary`) goes inside and tries to get out in some thirty ways. If it comes out,
or if a wall could not be put up, the answer depends on what there is to lose: with no secret set, programs run with
resource limits only and everybody is told; with any secret set they do not run at all.

The folder of a run is always a copy (`copies`). Nothing else can be written, and the bot reads nothing back from it
but plain files that it asks for by name, which cannot lead it out of the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from persais_core import errors, processes
from persais_core.security.sandbox import seccomp, trial
from persais_core.security.sandbox.conversation import DOOR, MAX_LINE, Conversation
from persais_core.security.sandbox.copies import SKIPPED, copy_tree, read_report, remove_tree
from persais_core.security.sandbox.launch import PACKAGE, Outcome, WallError, Walls, launch
from persais_core.security.sandbox.profiles import PREVIEW_LIMITS, USUAL, Identity, Limits, Profile

__all__ = [
    "PACKAGE",
    "PREVIEW_LIMITS",
    "SKIPPED",
    "Isolation",
    "Limits",
    "Outcome",
    "Profile",
    "Sandbox",
    "copy_tree",
    "read_report",
    "remove_tree",
]

State = Literal["enforced", "limits_only", "refused"]


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


class Sandbox:
    """Runs programs between walls.

    Args:
        readable: folders a program may read besides the interpreter, its packages and the system's libraries.
        secrets_present: whether anything is set that must not get out.
        allow_unsandboxed: the owner's word that programs may run without walls all the same.
        verdict: what holds here, where that is known already; else the canary is asked before the first run.
    """

    def __init__(
        self,
        *,
        readable: Sequence[Path] = (),
        secrets_present: bool = True,
        allow_unsandboxed: bool = False,
        verdict: Isolation | None = None,
    ) -> None:
        self._readable = tuple(str(path.resolve()) for path in readable)
        self._may_go_without = allow_unsandboxed or not secrets_present
        self._asking = asyncio.Lock()
        self._verdict = verdict
        self._known: dict[Identity, str] = {}

    async def probe(self) -> Isolation:
        """Send the canary in and say what holds; the answer is kept for the life of this object."""
        async with self._asking:
            if self._verdict is None:
                self._verdict = await self._ask()
            return self._verdict

    async def run(
        self,
        command: processes.Command,
        *,
        folder: Path,
        profile: Profile = Profile.CHECK,
        limits: Limits | None = None,
        readable: Sequence[Path] = (),
        programs: Sequence[Path] | None = None,
    ) -> Outcome:
        """Run one program that may write nowhere but in `folder`.

        Args:
            command: what to run; `env` is added to PATH, HOME, TMPDIR, LANG and TZ, and nothing else is there.
            folder: a copy made for this; `command.cwd` lies in it. HOME and TMPDIR are made inside.
            profile: what kind of program it is.
            limits: what it may use, where that is not as usual; `command.timeout_seconds` is the wall clock.
            readable: further folders to read for this run.
            programs: what it may read and execute besides the system's libraries, for a program that needs neither our
                interpreter nor our packages; None: those.

        Returns:
            The outcome, once every process that the program started has gone.

        Raises:
            SandboxError: the walls do not hold here, so nothing was run; the message says what to do.
        """
        walls = Walls(
            None,
            limits or USUAL[profile],
            programs=None if programs is None else tuple(map(str, programs)),
            readable=(*(self._readable if programs is None else ()), *map(str, readable)),
        )
        verdict = await self.probe()
        if verdict.state == "refused":
            raise errors.SandboxError(
                f"{verdict.reason}; use a Linux with Landlock, or set ALLOW_UNSANDBOXED=1",
                key="sandbox-refused",
                cause=verdict.reason,
            )
        if verdict.state == "enforced":
            walls = replace(walls, identity=await self._choose(folder, walls))
        try:
            return await launch(command, folder, walls)
        except WallError as error:
            told = f"the sandbox could not be set up: {error}"
            raise errors.SandboxError(told, key="sandbox-broken", cause=str(error)) from None

    @contextlib.asynccontextmanager
    async def converse(
        self,
        command: processes.Command,
        *,
        folder: Path,
        profile: Profile = Profile.PREVIEW,
        limits: Limits | None = None,
        readable: Sequence[Path] = (),
        programs: Sequence[Path] | None = None,
    ) -> AsyncIterator[Conversation]:
        """Run one program for as long as the block lasts, and speak with it; at the end its whole tree is ended.

        The program reads questions and writes answers, one line of JSON each, on the descriptor whose number it finds
        in `PERSAIS_DOOR`.

        Args:
            command: what to run, as for `run`; `timeout_seconds` is how long it may stay.
            folder: a copy made for this.
            profile: what kind of program it is.
            limits: what it may use in all that time, where that is not as usual.
            readable: further folders to read.
            programs: as for `run`.

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

        async def live() -> errors.SandboxError:
            # Their end is closed here as well once the program has gone, which is how the reader hears of it.
            with theirs:
                outcome = await self.run(
                    command,
                    folder=folder,
                    profile=profile,
                    limits=limits,
                    readable=readable,
                    programs=programs,
                )
                return _farewell(outcome)

        conversation = Conversation(asyncio.create_task(live(), name="conversation"), reader, writer)
        try:
            yield conversation
        finally:
            await conversation.close()

    async def _ask(self) -> Isolation:
        """Try the identities from the strongest to the weakest until the canary stays in."""
        reasons: list[str] = []
        if sys.platform == "linux":
            for identity in _identities():
                if reason := await self._complaint(identity):
                    reasons.append(reason)
                    continue
                ways = (f"landlock-{seccomp.landlock_abi()}", "seccomp", *_NAMES[identity])
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

    async def _choose(self, folder: Path, walls: Walls) -> Identity:
        """The strongest identity that holds and can read what it must.

        Raises:
            SandboxError: there is none.
        """
        places = [*walls.readable, *(walls.programs or ())]
        async with self._asking:
            for identity in _identities():
                if identity == "own" and not _is_open(folder, places):
                    continue
                if not await self._complaint(identity):
                    return identity
        raise errors.SandboxError(
            f"{folder} cannot be reached by the sandbox's user; move it to another place",
            key="sandbox-unreachable",
            folder=str(folder),
        )

    async def _complaint(self, identity: Identity) -> str:
        """Why the walls do not hold under an identity, or an empty string; the canary is sent in once for each."""
        if identity not in self._known:
            try:
                leaks = await trial.send(identity, self._readable)
                self._known[identity] = f"a trial program got out ({', '.join(leaks)})" if leaks else ""
            except WallError as error:
                self._known[identity] = str(error)
        return self._known[identity]


_NAMES: Mapping[Identity, tuple[str, ...]] = {
    "own": ("own-uid", "caps-dropped"),
    "real": ("own-real-uid", "caps-dropped"),
    "same": ("caps-dropped",),
}


def _identities() -> tuple[Identity, ...]:
    """Whom a program may run as, the strongest first."""
    return ("own", "real", "same") if os.geteuid() == 0 else ("same",)


def _is_open(folder: Path, readable: Sequence[str]) -> bool:
    """Whether a stranger's uid can get to a folder (not into it: it will be given the folder) and read the others."""
    others = [Path(path).resolve() for path in readable]
    ways = {parent for path in (folder.resolve(), *others) for parent in path.parents}
    return all(way.stat().st_mode & 0o001 for way in ways) and all(
        path.stat().st_mode & 0o005 == 0o005 for path in others
    )


def _farewell(outcome: Outcome) -> errors.SandboxError:
    """Why a program that was spoken with has ended, as the end of a sentence."""
    if outcome.why is not None:
        return outcome.why
    last = f" ({line[0][:200]})" if (line := outcome.stderr.strip().splitlines()[-1:]) else ""
    code = str(outcome.exit_code)
    return errors.SandboxError(f"it ended with exit code {code}{last}", key="ended-itself", code=code, last=last)
