"""The program that stays with a trial in the sandbox and is the only one to say how it went.

A trial runs code that somebody else chose, and that code can write any file and end its process at any moment, with
whatever exit code. So there are two processes. The outer one is this script and loads nothing of the project; it alone
holds the descriptor on which the report leaves the sandbox. The inner one runs the trial (the tests, or a program of
ours that leaves a file) and says each result as it comes, on a pipe.

What is said is signed. The inner process reads the key from its standard input, once, before anything of the project
is imported, and keeps it as the state of a hash only; each signature covers all that was said before, so that nothing
can be left out or put in between. The last word is the exit code, and the process must really end with it. A process
that ends before its last word has said nothing.

Code that takes the inner process over and finds the hash can still forge: there is no secret from someone in the same
memory. That takes calls which the `imports` check refuses.

It is run by its path, as `python -I -S trial.py REPORT tests ARGUMENTS…` or `… REPORT program MODULE FILE`, and holds
itself to the standard library: the package is loaded by the inner process only.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_SAID = 4 << 20  # bytes that the inner process may say
MAX_TEXT = 20_000  # characters of one failure
TICK = 0.05  # seconds between two looks whether the inner process has ended
KEY_BYTES = 32
SIGNATURE_BYTES = 16

Say = Callable[[Mapping[str, Any]], None]


# --- outside: nothing of the project is in this process ---


def outside(report: int, arguments: list[str]) -> int:
    """Run the inner process and write what it said to the report; returns its exit code.

    Args:
        report: descriptor that leads out of the sandbox; the inner process does not get it.
        arguments: of the inner process.
    """
    os.set_inheritable(report, False)
    task = os.read(0, 1 << 20)
    while chunk := os.read(0, 1 << 20):
        task += chunk
    key = os.urandom(KEY_BYTES)
    reading, writing = os.pipe()
    inner = subprocess.Popen(
        [sys.executable, "-I", __file__, str(writing), "inside", *arguments],
        stdin=subprocess.PIPE,
        pass_fds=(writing,),
    )
    os.close(writing)
    assert inner.stdin
    with contextlib.suppress(BrokenPipeError), inner.stdin:
        inner.stdin.write(key + task)
    heard = _hear(reading, inner)
    code = inner.wait()
    said = list(_believed(heard, key))
    is_over = bool(said) and said[-1] == {"exit": code}
    answer = {"exit": code, "said": said[:-1] if is_over else None}
    with contextlib.suppress(BrokenPipeError), os.fdopen(report, "wb") as file:
        file.write(json.dumps(answer).encode())
    return code if code >= 0 else 1


def _hear(reading: int, inner: subprocess.Popen[bytes]) -> bytes:
    """All that the inner process says until it ends; who else still holds the pipe is not waited for."""
    heard = bytearray()
    while len(heard) <= MAX_SAID:
        has_ended = inner.poll() is not None
        ready, _, _ = select.select([reading], [], [], 0 if has_ended else TICK)
        chunk = os.read(reading, 65536) if ready else b""
        heard += chunk
        if not chunk and (ready or has_ended):
            break
    os.close(reading)  # whoever says more than that is ended by it
    return bytes(heard)


def _believed(heard: bytes, key: bytes) -> Iterator[dict[str, Any]]:
    """What was said, up to the first line that is not signed as agreed."""
    hash_ = hashlib.blake2b(key=key, digest_size=SIGNATURE_BYTES)
    for line in heard.split(b"\n"):
        signature, _, text = line.partition(b" ")
        hash_.update(text)
        if signature != hash_.hexdigest().encode():
            return
        yield json.loads(text)


# --- inside: the project is loaded and may do what it likes ---


def inside(writing: int, kind: str, arguments: list[str]) -> int:
    """Run the trial and say how it went."""
    say = _voice(writing)
    code = _tests(say, arguments) if kind == "tests" else _program(say, *arguments)
    say({"exit": code})
    return code


def _voice(writing: int) -> Say:
    """What says one thing on the pipe. The key leaves the standard input and is nowhere else afterwards."""
    os.set_inheritable(writing, False)
    hash_ = hashlib.blake2b(key=os.read(0, KEY_BYTES), digest_size=SIGNATURE_BYTES)

    def say(what: Mapping[str, Any]) -> None:
        text = json.dumps(what).encode()
        hash_.update(text)
        line = hash_.hexdigest().encode() + b" " + text + b"\n"
        while line:
            line = line[os.write(writing, line) :]

    return say


def _program(say: Say, module: str, file: str) -> int:
    """Run a program of ours that leaves a file, and say what is in it."""
    importlib.import_module(module).main()
    say({"left": Path(file).read_text("utf-8")})
    return 0


def _tests(say: Say, arguments: list[str]) -> int:
    """Run pytest, and say how each test went."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    import pytest

    return int(pytest.main(arguments, plugins=[Witness(say)]))


class Witness:
    """A pytest plugin that says how each test went: where it stands, and what was wrong with it."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Told by pytest after each part of a test."""
        if report.when == "call" or not report.passed:
            self._tell(report, "failure" if report.when == "call" else "error")

    def pytest_collectreport(self, report: Any) -> None:
        """Told by pytest of each file that was looked through."""
        if not report.passed:
            self._tell(report, "error")

    def _tell(self, report: Any, trouble: str) -> None:
        where, name = _place(report.nodeid)
        said = {"where": where, "name": name, "trouble": "" if report.passed else trouble, "message": "", "text": ""}
        if report.skipped:
            said["trouble"] = "skipped"
            # With `xfail` the reason is apart, and may be empty; else it is the last of place, line and reason.
            why = report.wasxfail if hasattr(report, "wasxfail") else report.longrepr[-1]
            said["message"] = str(why)[:MAX_TEXT]
        elif not report.passed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said["message"] = (crash.message if crash else "")[:MAX_TEXT]
            said["text"] = report.longreprtext[-MAX_TEXT:]
        self._say(said)


def _place(nodeid: str) -> tuple[str, str]:
    """Module and class with dots between them, and the name of the test: `tests.test_x.TestY` and `test_z[1]`."""
    address, bracket, parameters = nodeid.partition("[")
    path, *names = address.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    *classes, name = names or [""]
    return ".".join([module, *classes]), name + bracket + parameters


def main() -> None:
    """Be the outer process, or with `inside` the inner one."""
    descriptor, kind, *arguments = sys.argv[1:]
    if kind == "inside":
        kind, *arguments = arguments
        sys.exit(inside(int(descriptor), kind, arguments))
    sys.exit(outside(int(descriptor), [kind, *arguments]))


if __name__ == "__main__":
    main()
