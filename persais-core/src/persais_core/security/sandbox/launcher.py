"""The sandbox itself: one script of the standard library that starts one program between walls.

It runs as `python -I -S launcher.py` beside the bot, never inside it. It reads one line of JSON on standard input
(what to run and between which walls), forks, and the two halves part ways; they follow each other below. The child
gives up what it can still do - resource limits, identity, capabilities, Landlock, seccomp - and becomes the program.
The other half stays outside the walls and watches: it is the subreaper of everything the program starts, so that
nothing outlives it, not even a daemon that forked twice; every tick it looks at the clock, at the memory of the whole
tree, at the number of processes and at the folder. At the end of this file stands what joins them.
Standard input stays open as a leash: when it closes (the bot was killed, or lost interest), everything is ended.

At the end one JSON object is written to the descriptor `report`: exit, stopped, seconds, rss
and left, or error and text when nothing was run.

It is apart from the rest of the package, and one file, because it must start in milliseconds and must not load a byte
of the project whose code it locks in: run so, Python finds the standard library and nothing beside this file. What
needs no such care is made by the bot and stands in the spec: the places, the limits, and the filter of system calls.
"""

# Paths are strings here, as pathlib alone would double the time to start.
# ruff: noqa: PTH108, PTH110, PTH112, PTH116, PTH118, PTH123, PTH208, SIM115

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from typing import Any, NoReturn

TICK = 0.05  # seconds between two looks at the tree
FOLDER_TICKS = 4  # the folder is measured at each fourth tick, as walking it costs more
SPARE_DISK = 2 << 30  # bytes; deleted files that are still open show only as free space that is gone

# Landlock rights: bit and the ABI that knows it (linux/landlock.h)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, REFER, TRUNCATE_FILE, IOCTL_DEVICE = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE_FILE | IOCTL_DEVICE
READ_ONLY = READ_FILE | READ_DIR
# no symbolic links, sockets, pipes or devices: whoever reads the folder afterwards must not be led out of it
WORK = READ_ONLY | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE_FILE

libc = ctypes.CDLL(None, use_errno=True)


class SetupError(Exception):
    """A wall could not be put up, so nothing was run."""


# --- the child: giving up rights, one after the other --------------------------------------------------------------


def call(what: str, number: int, *arguments: Any) -> int:
    """Make a raw system call.

    Raises:
        SetupError: the kernel refused; the text names `what` and why.
    """
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise SetupError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def prctl(what: str, option: int, *arguments: int) -> None:
    """Set one thing about this process; all arguments are unsigned longs.

    Raises:
        SetupError: the kernel refused.
    """
    values = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *values) < 0:
        raise SetupError(f"{what}: {os.strerror(ctypes.get_errno())}")


def set_limits(limits: dict[str, int], *, count_threads: bool) -> None:
    """Set the resource limits of this process, which its children inherit."""
    wanted = {
        "RLIMIT_CPU": limits["cpu_seconds"],
        "RLIMIT_AS": limits["address_bytes"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 1 << 16,
    }
    if count_threads:
        # The kernel counts everything that runs under this uid, so the limit goes on top of what is there already.
        wanted["RLIMIT_NPROC"] = limits["processes"] + threads_of(os.getuid())
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError) as error:
            if sys.platform == "linux":
                raise SetupError(f"{name}: {error}") from None


def threads_of(uid: int) -> int:
    """How many threads run under a uid now."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def drop_identity(identity: str, uid: int) -> None:
    """Become who the program is to run as, with no capability left and none to be had.

    `own` is a uid of its own. `real` keeps the effective uid, so that an interpreter under a closed home can be read,
    but changes the real one: processes are counted under it, and root's are not counted at all. `same` changes nothing.
    """
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    is_capable = int(status["CapPrm"], 16) != 0
    if is_capable:
        for capability in range(64):
            if libc.prctl(24, ctypes.c_ulong(capability), 0, 0, 0) < 0:  # PR_CAPBSET_DROP
                break
        else:
            raise SetupError("capabilities: no end of the bounding set")
        libc.prctl(47, ctypes.c_ulong(4), 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
        libc.prctl(28, ctypes.c_ulong(0xEF), 0, 0, 0)  # PR_SET_SECUREBITS: being uid 0 grants nothing, for good
    try:
        if identity == "own":
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        elif identity == "real":
            os.setgroups([])
            os.setresuid(uid, -1, -1)
    except OSError as error:
        raise SetupError(f"uid {uid}: {error.strerror}") from None
    number = 126 if os.uname().machine == "x86_64" else 91
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    call("capset", number, header, ctypes.create_string_buffer(bytes(24)))
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    if any(int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")):
        raise SetupError("capabilities: some are left")
    if os.geteuid() == 0 and int(status["CapBnd"], 16):
        raise SetupError("capabilities: root would get them back at exec")


def landlock(spec: dict[str, Any]) -> None:
    """Close the file tree, TCP ports, abstract sockets and signals, but for what the spec opens.

    Raises:
        SetupError: the kernel has no Landlock.
    """
    abi = spec["abi"]
    if abi < 1:
        raise SetupError("this kernel has no Landlock")
    rights = (1 << 13) - 1
    rights |= (REFER if abi >= 2 else 0) | (TRUNCATE_FILE if abi >= 3 else 0) | (IOCTL_DEVICE if abi >= 5 else 0)
    attributes = struct.pack("=QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = call("Landlock", 444, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    rules = [(path, READ_ONLY | EXECUTE) for path in spec["programs"]]
    rules += [(path, READ_ONLY) for path in spec["readable"]]
    rules += [(path, READ_DIR) for path in spec["listable"]]
    rules += [(path, READ_FILE) for path in ("/dev/urandom", "/dev/random", "/dev/zero")]
    rules += [("/dev/null", READ_FILE | WRITE_FILE), (spec["folder"], WORK)]
    for path, allowed in rules:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there needs no rule
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= OF_FILES
        if allowed & rights:
            rule = struct.pack("=Qi", allowed & rights, place)
            call(f"Landlock rule for {path}", 445, ruleset, 1, rule, ctypes.c_uint32(0))
        os.close(place)
    call("Landlock", 446, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def seccomp(program: bytes) -> None:
    """Install a filter of system calls for this process and all that it starts."""
    buffer = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    prctl("seccomp", 22, 2, ctypes.addressof(fprog))


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor that is not named."""
    before = 0
    for descriptor in (*sorted(kept), 1 << 20):
        if before < descriptor:  # an empty range would be taken for an endless one
            os.closerange(before, descriptor)
        before = descriptor + 1


def become(spec: dict[str, Any], problems: int, stdin: int) -> NoReturn:
    """In the child: put up the walls, then turn into the program; whatever fails is written to `problems`."""
    try:
        os.setsid()
        os.umask(0o077)
        os.dup2(stdin, 0)
        close_all_but({0, 1, 2, problems, *spec["keep"]})
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.chdir(spec["cwd"])
        if spec["walls"]:
            try:
                with open("/proc/self/oom_score_adj", "w") as score:
                    score.write("1000")  # short of memory, the kernel takes the guest before the host
            except OSError:
                pass
            drop_identity(spec["identity"], spec["uid"])
            set_limits(spec["limits"], count_threads=True)
            prctl("no_new_privs", 38, 1)
            landlock(spec)
            seccomp(bytes.fromhex(spec["filter"]))
        else:
            set_limits(spec["limits"], count_threads=os.getuid() != 0)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])
    except SetupError as error:
        os.write(problems, f"wall\n{error}".encode())
    except OSError as error:
        os.write(problems, f"exec\n{spec['argv'][0]}: {error.strerror}".encode())
    except BaseException as error:
        os.write(problems, f"wall\n{type(error).__name__}: {error}".encode())
    os._exit(127)


# --- the watcher: what the program and its descendants use ---------------------------------------------------------


def children(pid: int) -> list[int]:
    """Direct children of a process, as far as the kernel tells."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as names:
                found += map(int, names.read().split())
    except OSError:
        pass
    return found


def parents() -> dict[int, tuple[int, int]]:
    """All processes, where the kernel lists no children: pid -> (parent, resident bytes)."""
    import subprocess  # slow to load, and Linux has no need of it

    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=False).stdout
    table = [tuple(map(int, row.split())) for row in rows.splitlines()]
    return {row[0]: (row[1], row[2] * 1024) for row in table if len(row) == 3}


def tree(top: int) -> dict[int, int]:
    """Every descendant of a process: pid -> resident bytes."""
    found: dict[int, int] = {}
    if os.path.exists(f"/proc/{top}/task/{top}/children"):
        queue = children(top)
        while queue:
            pid = queue.pop()
            if pid in found:
                continue
            try:
                with open(f"/proc/{pid}/statm") as fields:
                    found[pid] = int(fields.read().split()[1]) * resource.getpagesize()
            except (OSError, IndexError):
                found[pid] = 0
            queue += children(pid)
        return found
    table = parents()
    grown = True
    while grown:
        more = {pid: rss for pid, (parent, rss) in table.items() if pid not in found and parent in {top, *found}}
        grown = bool(more)
        found |= more
    return found


def folder_use(path: str, most_files: int, most_bytes: int) -> tuple[int, int]:
    """Files and bytes under a folder; counting ends once either is too many."""
    files = used = 0
    queue = [path]
    while queue and files <= most_files and used <= most_bytes:
        try:
            with os.scandir(queue.pop()) as entries:
                for entry in entries:
                    files += 1
                    found = entry.stat(follow_symlinks=False)
                    used += found.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        queue.append(entry.path)
                    if files > most_files:
                        break
        except OSError:
            continue  # it was removed while we looked
    return files, used


def free_bytes(path: str) -> int:
    """Free space of the file system a path is on."""
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def reap(pid: int) -> int | None:
    """Collect whoever has ended; returns the wait status of `pid` if it is among them."""
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            found = status


def has_children() -> bool:
    """Whether anything that we started, or that was handed to us, is left."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_all(pid: int) -> tuple[int | None, bool]:
    """End every descendant; returns the wait status of `pid` if it was collected here, and whether all are gone."""
    status = None
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        # Halted first: whoever is halted cannot fork while the others are being ended.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for victim in tree(os.getpid()):
                try:
                    os.kill(victim, number)
                except OSError:
                    continue
        found = reap(pid)
        status = found if found is not None else status
        if not has_children():
            return status, True
        time.sleep(0.002)
    return status, False


class Watch:
    """What one run may use, and what it used at most."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec, self.limits = spec, spec["limits"]
        self.started = time.monotonic()
        self.free = free_bytes(spec["folder"])
        self.rss = self.ticks = 0

    def excess(self) -> str:
        """What was used too much of, or an empty string."""
        if time.monotonic() - self.started > self.spec["wall_seconds"]:
            return "time"
        use = tree(os.getpid())
        self.rss = max(self.rss, sum(use.values()))
        if len(use) > self.limits["processes"]:
            return "processes"
        if sum(use.values()) > self.limits["memory_bytes"]:
            return "memory"
        self.ticks += 1
        if self.ticks % FOLDER_TICKS == 0:
            files, used = folder_use(self.spec["folder"], self.limits["files"], self.limits["disk_bytes"])
            if files > self.limits["files"]:
                return "files"
            gone = self.free - free_bytes(self.spec["folder"])
            if used > self.limits["disk_bytes"] or gone > self.limits["disk_bytes"] + SPARE_DISK:
                return "disk"
        return ""


def watch(pid: int, problems: int, spec: dict[str, Any], wake: int) -> dict[str, Any]:
    """Stay with the program until it ends or is ended, then end whatever it left behind."""
    trouble = bytearray()
    while chunk := os.read(problems, 4096):  # ends when the program takes over, as the descriptor closes at exec
        trouble += chunk
    if trouble:
        end_all(pid)
        kind, _, text = trouble.decode().partition("\n")
        return {"error": kind, "text": text}
    guard = Watch(spec)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wake, select.POLLIN)
    stopped, status, due = "", None, guard.started
    while not stopped:
        status = reap(pid)
        if status is not None:
            break
        for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000):
            if descriptor == wake:
                os.read(wake, 512)
            else:
                stopped = "output" if os.read(0, 1) == b"o" else "cancelled"
        if not stopped and time.monotonic() >= due:
            due = time.monotonic() + TICK
            stopped = guard.excess()
    seconds = time.monotonic() - guard.started
    late, gone = end_all(pid)
    status = late if status is None else status
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    return {"exit": code, "stopped": stopped, "seconds": seconds, "rss": guard.rss, "left": not gone}


# --- both halves ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Read the spec, start the program between its walls, watch it, write the report."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk:
            return
        line += chunk
    spec = json.loads(line)
    if sys.platform == "linux":
        prctl("subreaper", 36, 1)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    if spec["identity"] == "own":
        hand_over(spec["folder"], spec["uid"])
    stdin = hold(spec["stdin"].encode("latin-1")) if spec["stdin"] else os.open(os.devnull, os.O_RDONLY)
    problems, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(spec, tell, stdin)
    os.close(tell)
    os.close(stdin)
    # The pipes of the program must close when its tree has gone, so we may not hold them too.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    for descriptor in spec["keep"]:
        os.close(descriptor)
    report = watch(pid, problems, spec, wake)
    os.write(spec["report"], json.dumps(report).encode())


def hold(content: bytes) -> int:
    """A descriptor from which the program reads these bytes, then the end."""
    if hasattr(os, "memfd_create"):
        place = os.memfd_create("stdin")
    else:
        import tempfile  # slow to load, and Linux has no need of it

        place, path = tempfile.mkstemp()
        os.unlink(path)
    with open(place, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(place, 0, os.SEEK_SET)
    return place


def hand_over(folder: str, uid: int) -> None:
    """Give the folder and what is in it to the uid of the program, never following a link."""
    os.chown(folder, uid, uid, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(place, name), uid, uid, follow_symlinks=False)


if __name__ == "__main__":
    main()
