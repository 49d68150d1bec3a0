"""What a program in the sandbox tries and does not achieve. Each row is one attempt, run between the real walls.

A row is Python code; it prints `out` when it got what it wanted. Names it may use: SECRET (a file outside), OUTSIDE (a
folder anybody may write to), BOT (our pid), PORT (a TCP port we listen on), DOOR (a Unix socket we listen on).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from persais_core import processes
from persais_core.security import sandbox

ATTEMPTS = {
    "read a secret": "print('out', open(SECRET).read())",
    "read /etc/shadow": "print('out', open('/etc/shadow').read())",
    "read /etc/passwd": "print('out', open('/etc/passwd').read())",
    "read the bot's environment": "print('out', open(f'/proc/{BOT}/environ').read())",
    "read the parent's environment": "print('out', open(f'/proc/{os.getppid()}/environ').read())",
    "read the own environment's secrets": "print('out' if 'PERSAIS_TEST_SECRET' in os.environ else '')",
    "read the bot's memory": "print('out', open(f'/proc/{BOT}/mem', 'rb'))",
    "list processes": "print('out', os.listdir('/proc'))",
    "list the home": "print('out', os.listdir(os.path.expanduser('~root')))",
    "write outside": "open(OUTSIDE + '/x', 'w'); print('out')",
    "write to /tmp": "open('/tmp/persais-escape', 'w'); print('out')",
    "write to /dev/shm": "open('/dev/shm/persais-escape', 'w'); print('out')",
    "write into the interpreter": "open(os.path.join(sys.prefix, 'x'), 'w'); print('out')",
    "append to a secret": "open(SECRET, 'a'); print('out')",
    "truncate a secret": "os.truncate(SECRET, 0); print('out')",
    "remove a secret": "os.unlink(SECRET); print('out')",
    "rename a secret": "os.rename(SECRET, 'mine'); print('out')",
    "link a secret": "os.link(SECRET, 'mine'); print('out')",
    "link out": "os.symlink(SECRET, 'mine'); print('out')",
    "make a pipe": "os.mkfifo('pipe'); print('out')",
    "make a device": "os.mknod('device', 0o60600, os.makedev(8, 0)); print('out')",
    "chmod outside": "os.chmod(SECRET, 0o777); print('out')",
    "chown outside": "os.chown(SECRET, os.getuid(), -1); print('out')",
    "change times outside": "os.utime(SECRET, (0, 0)); print('out')",
    "run a dropped program": (
        "fd = os.open('p', os.O_CREAT | os.O_WRONLY, 0o755); os.write(fd, open('/usr/bin/true', 'rb').read())"
        "\nos.close(fd); subprocess.run(['./p'], check=True); print('out')"
    ),
    "run a dropped program by the loader": (
        "open('p', 'wb').write(b'#!/bin/sh\\necho out')\nfd = os.open('q', os.O_CREAT | os.O_WRONLY, 0o755)"
        "\nos.write(fd, b'#!/bin/sh\\necho out'); os.close(fd); subprocess.run(['./q'], check=True)"
    ),
    "run from memory": "os.memfd_create('x'); print('out')",
    "become root by a setuid program": "subprocess.run(['su', '-c', 'echo out'], check=True)",
    "setuid": "os.setuid(12345); print('out')",
    "setresuid": "os.setresuid(0, 0, 0); print('out')",
    "TCP": "socket.create_connection(('127.0.0.1', PORT), 2); print('out')",
    "TCP on IPv6": "socket.socket(socket.AF_INET6); print('out')",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)); print('out')",
    "MPTCP": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); print('out')",
    "Unix socket": "socket.socket(socket.AF_UNIX).connect(DOOR); print('out')",
    "Unix datagrams through a pair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); print('out')",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('out')",
    "resolve a name": "print('out', socket.gethostbyname('localhost'))",
    "kill the bot": "os.kill(BOT, 0); print('out')",
    "kill the parent": "os.kill(os.getppid(), 9); print('out')",
    "trace the parent": ("r = libc.ptrace(16, os.getppid(), 0, 0)\nprint('out' if r == 0 else '')"),
    "trace a child": "r = libc.ptrace(0, 0, 0, 0)\nprint('out' if r == 0 else '')",
    "unshare": "print('out' if libc.unshare(0x10000000) == 0 else '')",
    "chroot": "os.chroot('.'); print('out')",
    "io_uring": "print('out' if libc.syscall(425, 4, ctypes.create_string_buffer(256)) >= 0 else '')",
    "a call that came later": "print('out' if libc.syscall(470, 0, 0, 0) >= 0 else '')",
    "the bot's limits": "resource.prlimit(BOT, resource.RLIMIT_CORE, (0, 0)); print('out')",
    "the own limits": "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30)); print('out')",
    "the bot's priority": "os.setpriority(os.PRIO_PROCESS, BOT, 10); print('out')",
    "an inherited descriptor": (
        "for fd in range(3, 256):\n    try:\n        os.fstat(fd)\n        print('out', fd)"
        "\n    except OSError:\n        pass"
    ),
    "a terminal": "open('/dev/tty'); print('out')",
}
HEAD = "import ctypes, os, resource, socket, subprocess, sys\nlibc = ctypes.CDLL(None)\n"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Things worth reaching, left open to everybody so that only the walls stand before them."""
    base = tmp_path_factory.mktemp("outside")
    secret, drop = base / "secret", base / "drop"
    secret.write_text("very secret")
    secret.chmod(0o666)
    drop.mkdir()
    drop.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(drop / "door"))
        unix.listen()
        yield {
            "SECRET": str(secret),
            "OUTSIDE": str(drop),
            "BOT": os.getpid(),
            "PORT": tcp.getsockname()[1],
            "DOOR": str(drop / "door"),
        }
    assert secret.read_text() == "very secret"
    assert secret.stat().st_mode & 0o777 == 0o666


@pytest.fixture(scope="module")
def no_secret_in_children() -> Iterator[None]:
    os.environ["PERSAIS_TEST_SECRET"] = "x"
    yield
    del os.environ["PERSAIS_TEST_SECRET"]


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_program_does_not_get_out(
    name: str, box: sandbox.Sandbox, outside: dict[str, object], no_secret_in_children: None, tmp_path: Path
) -> None:
    code = HEAD + "".join(f"{key} = {value!r}\n" for key, value in outside.items()) + ATTEMPTS[name]
    command = processes.Command(argv=(sys.executable, "-I", "-S", "-c", code), cwd=tmp_path, timeout_seconds=60)
    outcome = await box.run(command, folder=tmp_path)
    assert "out" not in outcome.stdout
    assert not outcome.stopped


async def test_honest_program_works(box: sandbox.Sandbox, tmp_path: Path) -> None:
    code = HEAD + (
        "import asyncio, tempfile, threading\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "open('made', 'w').write('text'); os.rename('made', 'moved'); os.mkdir('folder'); os.listdir('.')\n"
        "tempfile.TemporaryFile().write(b'x'); tempfile.mkdtemp()\n"
        "threading.Thread(target=print, args=('thread',)).start()\n"
        "subprocess.run([sys.executable, '-I', '-S', '-c', 'print(1)'], check=True)\n"
        "left, right = socket.socketpair(); left.send(b'x'); right.recv(1)\n"
        "print(sys.stdin.read(), os.environ['HOME'] == os.getcwd() + '/.home', os.environ['GREETING'])\n"
    )
    command = processes.Command(
        argv=(sys.executable, "-I", "-c", code), cwd=tmp_path, stdin=b"input", env={"GREETING": "hello"}
    )
    outcome = await box.run(command, folder=tmp_path)
    assert outcome, outcome.stderr
    assert "input True hello" in outcome.stdout
    assert (tmp_path / "moved").read_text() == "text"


async def test_installed_packages_and_ours_can_be_imported(box: sandbox.Sandbox, tmp_path: Path) -> None:
    code = "import pytest, persais_core.domain.changes; print('imported')"
    outcome = await box.run(processes.Command(argv=(sys.executable, "-I", "-c", code), cwd=tmp_path), folder=tmp_path)
    assert "imported" in outcome.stdout
