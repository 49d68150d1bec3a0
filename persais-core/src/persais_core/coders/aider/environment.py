"""Aider's own environment: made on first use, from a pinned list with hashes.

Aider holds back some forty of our packages, so it lives in a virtual environment of its own and is never imported
here. The environment is made where it will stay (virtual environments cannot be moved) and its stamp, the digest of the
list it was made from, is written last: without the right stamp it is unfinished or stale, and is made anew. A lock file
beside it keeps two processes from making it at once.

`python -m persais_core.coders.aider.environment DIR` makes it by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from persais_core import errors, processes

VERSION = "0.86.2"  # of aider-chat, as pinned in both lists
STAMP = "persais.sha256"
SIZE = 650  # megabytes on the disk, about; the documentation names it too
ROOM = 900  # megabytes that must be free: downloads, and bytecode on top
INSTALL_TIMEOUT = 1800.0  # seconds; slow lines exist

# Aider wants 3.10 to 3.12; on 3.13 it runs with a newer numpy, from a list of its own.
USUAL = ((3, 12), (3, 11), (3, 10))
NEWEST = (3, 13)

NETWORK = re.compile(r"((HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE)\Z", re.IGNORECASE)
INSTALLER = re.compile(r"(PIP|UV)_[A-Z0-9_]+\Z|PATH\Z|HOME\Z|LANG\Z|TMPDIR\Z|XDG_CACHE_HOME\Z")


class AiderEnvironmentError(errors.CoderError):
    """Aider's environment could not be made. Without it no code is written; the rest of the bot works."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can carry the environment."""

    path: str
    version: tuple[int, int]


def python_of(venv: Path) -> Path:
    """The interpreter inside an environment."""
    return venv / "bin" / "python"


def bases(venv: Path) -> tuple[Path, ...]:
    """Where the interpreter that an environment was made from lies, and its own library."""
    try:
        lines = (venv / "pyvenv.cfg").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    homes = {
        Path(value.strip()) for name, _, value in (line.partition("=") for line in lines) if name.strip() == "home"
    }
    # Not the whole prefix: that of ~/bin/python would be the home.
    prefixes = {home.parent for home in (*homes, python_of(venv).resolve().parent)}
    return tuple(prefix / part for prefix in sorted(prefixes) for part in ("bin", "lib", "lib64"))


def network(*, more: re.Pattern[str] | None = None) -> dict[str, str]:
    """What a child needs of our environment to reach the network: proxies and certificates, and names like `more`."""
    return {
        name: value
        for name, value in os.environ.items()
        if NETWORK.match(name) or (more is not None and more.match(name))
    }


def requirements(version: tuple[int, int]) -> str:
    """The pinned list for one version of Python."""
    name = "requirements-3.13.txt" if version == NEWEST else "requirements-3.12.txt"
    return (resources.files("persais_core.coders.aider") / name).read_text("utf-8")


def is_ready(venv: Path) -> bool:
    """Whether an environment is complete and made from today's list."""
    try:
        stamp = (venv / STAMP).read_text("utf-8").strip()
    except OSError:
        return False
    return python_of(venv).exists() and stamp in {_digest(requirements((3, 12))), _digest(requirements(NEWEST))}


async def make(venv: Path, tell: Callable[[str], None]) -> None:
    """Make the environment unless it is ready.

    Args:
        venv: where it will stay; whatever else lies there is never removed.
        tell: called with lines of progress.

    Raises:
        AiderEnvironmentError: no fitting Python, no room, no network; the message says what to do.
    """
    if is_ready(venv):
        return
    venv = venv.absolute()
    try:
        venv.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AiderEnvironmentError(
            f"{venv.parent} cannot be made ({error.strerror}); choose another folder."
        ) from error
    async with _alone(venv, tell):
        if not is_ready(venv):  # another process may have made it while we waited
            await _build(venv, tell)


async def _build(venv: Path, tell: Callable[[str], None]) -> None:
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and any(venv.iterdir()):
        raise AiderEnvironmentError(f"{venv} is not empty and no Python environment; move it away or choose another.")
    free = shutil.disk_usage(venv.parent).free // 1_000_000
    if free < ROOM:
        raise AiderEnvironmentError(
            f"{venv.parent} has {free} MB free; aider needs {ROOM} MB. Make room and try again."
        )
    interpreter = await find_python()
    shutil.rmtree(venv, ignore_errors=True)
    pins = requirements(interpreter.version)
    count = len(re.findall(r"^[A-Za-z0-9][^\s=]*==", pins, re.MULTILINE))
    wanted = venv.with_name(venv.name + ".txt")
    wanted.write_text(pins, "utf-8")
    uv = _find_uv()
    number = ".".join(map(str, interpreter.version))
    tell(f"aider: fetching {count} packages, about {SIZE} MB, for Python {number} with {'uv' if uv else 'pip'}")
    try:
        for argv in _steps(venv, wanted, interpreter, uv):
            await _step(argv, venv.parent, tell)
    finally:
        wanted.unlink(missing_ok=True)
    tell("aider: trying it")
    # The slow imports, once: a broken wheel shows here and not in the middle of somebody's change.
    await _step((str(python_of(venv)), "-I", "-c", "import aider.coders, aider.models, litellm"), venv.parent, tell)
    await asyncio.to_thread((venv / STAMP).write_text, _digest(pins) + "\n", "utf-8")
    tell(f"aider: ready in {venv}")


def _steps(venv: Path, wanted: Path, interpreter: Interpreter, uv: str | None) -> tuple[tuple[str, ...], ...]:
    """The commands that make an environment.

    Wheels only, so that nothing of a package runs while it is installed; and nothing but the list, which is complete
    and holds newer versions than aider asks for where it has to.
    """
    python, source = str(python_of(venv)), ("--require-hashes", "--no-deps", "-r", str(wanted))
    if uv:
        return (
            (uv, "venv", "--python", interpreter.path, str(venv)),
            (uv, "pip", "install", "--python", python, "--no-build", "--compile-bytecode", *source),
        )
    quiet: tuple[str, ...] = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    if interpreter.version == NEWEST:
        quiet += ("--ignore-requires-python",)  # aider's own bound is "below 3.13"; uv pays no heed to upper bounds
    return (
        (interpreter.path, "-I", "-m", "venv", str(venv)),
        (python, "-I", "-m", "pip", "install", "--only-binary", ":all:", *quiet, *source),
    )


async def _step(argv: tuple[str, ...], cwd: Path, tell: Callable[[str], None]) -> None:
    def pass_on(line: str) -> None:
        if re.match(r"(Resolved|Prepared|Installed|Bytecode compiled|warning)", line):
            tell(f"aider: {line.strip()}")

    env = network(more=INSTALLER) | {"UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    outcome = await processes.run(
        processes.Command(argv, cwd=cwd, env=env, timeout_seconds=INSTALL_TIMEOUT), on_line=pass_on
    )
    if outcome:
        return
    if outcome.timed_out:
        raise AiderEnvironmentError(f"Installing aider took over {INSTALL_TIMEOUT:.0f} s; try again on a better line.")
    said = (outcome.stderr + outcome.stdout).strip()
    if "ensurepip" in said:
        raise AiderEnvironmentError(
            f"{argv[0]} cannot make environments; install python3-venv (apt install python3-venv) or uv and try again."
        )
    last = " ".join(line.strip(" ╰─▶×│├") for line in said.splitlines()[-3:])[-500:]
    raise AiderEnvironmentError(
        f"Aider could not be installed: {last or f'{argv[0]} ended with {outcome.exit_code}'}. "
        "Check the network and the package index settings (PIP_*, UV_*, proxies), then try again."
    )


async def find_python() -> Interpreter:
    """The Python that will carry the environment.

    The running one where it fits; else 3.12, 3.11 or 3.10 of the PATH; else 3.13.

    Raises:
        AiderEnvironmentError: there is none of them.
    """
    running = (sys.version_info.major, sys.version_info.minor)
    if running in USUAL:
        return Interpreter(sys.executable, running)
    for version in (*USUAL, NEWEST):
        if version == running:
            return Interpreter(sys.executable, running)
        name = "python{}.{}".format(*version)
        # Asked, not believed: version managers put names on the PATH that only print an error.
        found = shutil.which(name)
        if found and (answer := await _version(found)) == version:
            return Interpreter(found, answer)
    raise AiderEnvironmentError("Aider needs Python 3.10 to 3.13, and none is on the PATH; install python3.12.")


async def _version(python: str) -> tuple[int, int] | None:
    ask = "import sys; print(*sys.version_info[:2])"
    env = network(more=INSTALLER)
    outcome = await processes.run(
        processes.Command((python, "-I", "-c", ask), cwd=Path("/"), env=env, timeout_seconds=20.0)
    )
    numbers = outcome.stdout.split()
    return (int(numbers[0]), int(numbers[1])) if outcome and len(numbers) == 2 else None


def _find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


@contextlib.asynccontextmanager
async def _alone(venv: Path, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold the lock file beside the environment; it stays there, because removing it would let two in."""
    with venv.with_name(venv.name + ".lock").open("w") as lock:
        waited = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    tell("aider: waiting for another process that installs it")
                waited = True
                await asyncio.sleep(0.5)
        yield


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main(argv: list[str]) -> int:
    """Make the environment in the folder named on the command line; 0 when it is ready."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m persais_core.coders.aider.environment DIR\n")
        return 2

    def show(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        asyncio.run(make(Path(argv[0]), show))
    except errors.CoderError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
