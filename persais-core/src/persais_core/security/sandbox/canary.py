"""The trial program: goes inside the sandbox and tries to get out, in every way that leaves no damage.

It runs as `python -I -S canary.py JSON`, with the standard library only, in a folder of its own, and leaves
`report.json` there: the names of the ways that worked. An empty list means that the walls hold. What a program needs
for honest work (its folder, a pair of joined sockets, a child process) must work, else the run fails.
"""

# Paths are strings here, as pathlib would hide which calls are made.
# ruff: noqa: PTH101, PTH102, PTH108, PTH110, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine != "x86_64"


def raw(numbers: tuple[int, int], *arguments: Any) -> None:
    """Make a system call by its number (x86_64, aarch64); raises OSError when it is refused."""
    if libc.syscall(numbers[ARM], *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def ways(task: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Every way out by name; a way that raises is closed.

    Args:
        task: secret (a file to read), drop (a folder to write to), bot (its pid), tcp, udp (open ports).
    """
    secret, drop, bot = task["secret"], task["drop"], task["bot"]
    local = "127.0.0.1"

    def connect(kind: tuple[int, int, int], address: Any) -> None:
        with socket.socket(*kind) as door:
            door.settimeout(2)
            door.connect(address)

    def through_pair() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with left, right:
            left.connect(f"{drop}/door")

    def execute_dropped() -> None:
        with open("/usr/bin/true" if os.path.exists("/usr/bin/true") else "/bin/true", "rb") as source:
            content = source.read()
        place = os.open("dropped", os.O_WRONLY | os.O_CREAT, 0o755)
        os.write(place, content)
        os.close(place)
        subprocess.run(["./dropped"], check=True)

    def execute_memory() -> None:
        place = os.memfd_create("x")
        with open("/bin/true", "rb") as source:
            os.write(place, source.read())
        subprocess.run([f"/proc/self/fd/{place}"], check=True, pass_fds=[place])

    def look(path: str) -> None:
        with open(path, "rb") as file:
            file.read(1)

    def make(path: str) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

    def link_out() -> None:
        os.symlink(secret, "way-out")

    def set_owner() -> None:
        import fcntl

        left, right = socket.socketpair()
        with left, right:
            fcntl.fcntl(left, fcntl.F_SETOWN, bot)

    def regain() -> None:
        os.setresuid(0, 0, 0)

    def read_bot() -> None:
        local_place = (ctypes.c_char * 8)()
        vector = struct.pack("@PN", ctypes.addressof(local_place), 8)
        raw((310, 270), bot, vector, ctypes.c_ulong(1), vector, ctypes.c_ulong(1), ctypes.c_ulong(0))

    def new_namespace(flag: int) -> None:
        raw((272, 97), ctypes.c_ulong(flag))

    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    return {
        "read a file": lambda: look(secret),
        "read /etc/passwd": lambda: look("/etc/passwd"),
        "read /etc/shadow": lambda: look("/etc/shadow"),
        "list a folder": lambda: os.listdir(drop),
        "list the root": lambda: os.listdir("/"),
        "list processes": lambda: os.listdir("/proc"),
        "read the bot's environment": lambda: look(f"/proc/{bot}/environ"),
        "read the watcher's environment": lambda: look(f"/proc/{os.getppid()}/environ"),
        "read the bot's memory": read_bot,
        "open the bot's memory": lambda: look(f"/proc/{bot}/mem"),
        "write outside": lambda: make(f"{drop}/written"),
        "write to /tmp": lambda: make(f"/tmp/persais-canary-{os.getpid()}"),
        "write to /dev/shm": lambda: make(f"/dev/shm/persais-canary-{os.getpid()}"),
        "truncate outside": lambda: os.truncate(secret, 0),
        "make a folder outside": lambda: os.mkdir(f"{drop}/made"),
        "remove outside": lambda: os.unlink(f"{drop}/door"),
        "change a mode outside": lambda: os.chmod(secret, 0o666),
        "change times outside": lambda: os.utime(secret, (0, 0)),
        "link in": lambda: os.link(secret, "linked"),
        "link out": link_out,
        "run a dropped program": execute_dropped,
        "run a program from memory": execute_memory,
        "TCP": lambda: connect((socket.AF_INET, stream, 0), (local, task["tcp"])),
        "MPTCP": lambda: connect((socket.AF_INET, stream, 262), (local, task["tcp"])),
        "UDP": lambda: connect((socket.AF_INET, datagram, 0), (local, task["udp"])),
        "Unix socket": lambda: connect((socket.AF_UNIX, stream, 0), f"{drop}/door"),
        "Unix datagrams through a pair": through_pair,
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "kernel crypto socket": lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0),
        "signal the bot": lambda: os.kill(bot, 0),
        "signal the watcher": lambda: os.kill(os.getppid(), signal.SIGCONT),
        "own signals of the bot": set_owner,
        "trace": lambda: raw((101, 117), ctypes.c_long(16), ctypes.c_long(bot), None, None),
        "limits of the bot": lambda: resource.prlimit(bot, resource.RLIMIT_CORE, (0, 0)),
        "priority of the bot": lambda: os.setpriority(os.PRIO_PROCESS, bot, 5),
        "regain root": regain,
        "user namespace": lambda: new_namespace(0x10000000),
        "mount namespace": lambda: new_namespace(0x00020000),
        "chroot": lambda: os.chroot("."),
        "io_uring": lambda: raw((425, 425), ctypes.c_uint(4), ctypes.create_string_buffer(256)),
        "shared memory": lambda: raw((29, 194), ctypes.c_int(0), ctypes.c_size_t(4096), ctypes.c_int(0o1600)),
        "key ring": lambda: raw((250, 219), ctypes.c_int(0), ctypes.c_int(-3), ctypes.c_int(1)),
        "bpf": lambda: raw((321, 280), ctypes.c_int(0), ctypes.create_string_buffer(128), ctypes.c_uint(128)),
        "performance events": lambda: raw((298, 241), ctypes.create_string_buffer(128), 0, -1, -1, 0),
    }


def main() -> None:
    """Try every way and write down those that worked."""
    task = json.loads(sys.argv[1])
    left, right = socket.socketpair()
    left.send(b"honest")
    assert right.recv(6) == b"honest"
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    found = []
    for name, attempt in ways(task).items():
        try:
            attempt()
        except (OSError, subprocess.SubprocessError, OverflowError):
            continue
        found.append(name)
    with open("report.json", "w") as report:
        json.dump(found, report)


if __name__ == "__main__":
    main()
