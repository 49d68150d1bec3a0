"""The system calls that a program in the sandbox may not make, and the filter that the kernel keeps them with.

Everything is allowed but what is listed: calls by which a program would get out, reach others of the same uid, or
change the machine. What Landlock guards is left to it, as far as that of this kernel knows how.
"""

from __future__ import annotations

import errno
import struct

MACHINES = ("x86_64", "aarch64")


def _table(text: str) -> dict[str, tuple[int | None, ...]]:
    """Calls by name, with their numbers on x86_64 and aarch64; None where the machine has no such call."""
    rows = (row.split(":") for row in text.split())
    return {name: tuple(int(number) if number else None for number in numbers) for name, *numbers in rows}


# From Linux' unistd headers.
DENIED = _table(
    # other processes, and the kernel's own machinery
    "ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271 "
    "pidfd_getfd:438:438 process_madvise:440:440 process_mrelease:448:448 kcmp:312:272 "
    "io_uring_setup:425:425 io_uring_enter:426:426 io_uring_register:427:427 "
    "bpf:321:280 perf_event_open:298:241 userfaultfd:323:282 "
    "keyctl:250:219 add_key:248:217 request_key:249:218 "
    "init_module:175:105 finit_module:313:273 delete_module:176:106 "
    "kexec_load:246:104 kexec_file_load:320:294 reboot:169:142 syslog:103:116 "
    "swapon:167:224 swapoff:168:225 acct:163:89 vhangup:153:58 "
    "settimeofday:164:170 clock_settime:227:112 adjtimex:159:171 clock_adjtime:305:266 "
    "sethostname:170:161 setdomainname:171:162 personality:135:92 "
    "iopl:172: ioperm:173: modify_ldt:154: lookup_dcookie:212:18 "
    "setpriority:141:140 sched_setscheduler:144:119 sched_setattr:314:274 "
    "sched_setparam:142:118 ioprio_set:251:30 migrate_pages:256:238 move_pages:279:239 "
    # mounts, namespaces, handles: ways round the path rules
    "mount:165:40 umount2:166:39 pivot_root:155:41 chroot:161:51 "
    "move_mount:429:429 open_tree:428:428 fsopen:430:430 fsconfig:431:431 "
    "fsmount:432:432 fspick:433:433 mount_setattr:442:442 "
    "unshare:272:97 setns:308:268 open_by_handle_at:304:265 name_to_handle_at:303:264 "
    "quotactl:179:60 quotactl_fd:443:443 mknod:133: mknodat:259:33 "
    "inotify_add_watch:254:27 fanotify_init:300:262 fanotify_mark:301:263 "
    # memory and queues shared by whoever has the same uid
    "shmget:29:194 shmat:30:196 shmctl:31:195 shmdt:67:197 "
    "semget:64:190 semop:65:193 semctl:66:191 semtimedop:220:192 "
    "msgget:68:186 msgsnd:69:189 msgrcv:70:188 msgctl:71:187 "
    "mq_open:240:180 mq_unlink:241:181 mq_timedsend:242:182 mq_timedreceive:243:183 "
    "mq_notify:244:184 mq_getsetattr:245:185 "
    # a file without a path is under no path rule: it could be executed
    "memfd_create:319:279 memfd_secret:447:447 "
    # what Landlock does not see: modes, owners, times and attributes of files that our uid owns
    "chmod:90: fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 "
    "chown:92: fchown:93:55 lchown:94: fchownat:260:54 "
    "setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7 "
    "removexattr:197:14 lremovexattr:198:15 fremovexattr:199:16 "
    "utime:132: utimes:235: utimensat:280:88 futimesat:261: "
    # identity: the uid that processes are counted under must stay
    "setuid:105:146 setgid:106:144 setreuid:113:145 setregid:114:143 "
    "setresuid:117:147 setresgid:119:149 setfsuid:122:151 setfsgid:123:152 "
    "setgroups:116:159 capset:126:91 "
)
SOCKETS = _table("socket:41:198 connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242 ")
SIGNALS = _table(
    "kill:62:129 tkill:200:130 tgkill:234:131 rt_sigqueueinfo:129:138 "
    "rt_tgsigqueueinfo:297:240 pidfd_send_signal:424:424 "
)
TRUNCATE = _table("truncate:76:45")
# Numbers on x86_64 and aarch64 of calls that are judged by their arguments.
CLONE, CLONE3, IOCTL, FCNTL = (56, 220), (435, 435), (16, 29), (72, 25)
PRLIMIT, SETAFFINITY, SOCKETPAIR = (302, 261), (203, 122), (53, 199)
NEWEST_CALL = 462  # calls that came after this list are answered "no such call", as an older kernel would

NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{CGROUP,UTS,IPC,USER,PID,NET} | CLONE_NEWNS
TERMINAL_CONTROLS = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
FILE_OWNER_CONTROLS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by another door


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 when it has none."""
    import ctypes  # not on the way of a bot that never evolves

    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def program(machine: str, *, abi: int) -> bytes:
    """The filter of system calls, as BPF for this machine.

    Args:
        machine: one of `MACHINES`.
        abi: Landlock's version; what an old one leaves open is closed here.
    """
    column = MACHINES.index(machine)
    code: list[tuple[int, int, int, int]] = []
    load, equal, greater, bits, mask, ret = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
    allow, kill, no = 0x7FFF0000, 0x80000000, 0x00050000
    eperm, enosys = no | errno.EPERM, no | errno.ENOSYS

    def emit(operation: int, value: int, yes: int = 0, otherwise: int = 0) -> None:
        code.append((operation, yes, otherwise, value))

    def argument(index: int) -> int:
        return 16 + 8 * index  # low word; the kernel reads no more of the arguments judged here

    emit(load, 4)
    emit(equal, (0xC000003E, 0xC00000B7)[column], 1)
    emit(ret, kill)  # another instruction set has other numbers
    emit(load, 0)
    if column == 0:
        emit(greater, 0x3FFFFFFF, 0, 1)
        emit(ret, kill)  # x32: the same calls under other numbers
    emit(greater, NEWEST_CALL, 0, 1)
    emit(ret, enosys)
    denied = DENIED | SOCKETS
    if abi < 6:
        denied |= SIGNALS
    if abi < 3:
        denied |= TRUNCATE
    for numbers in denied.values():
        number = numbers[column]
        if number is not None:
            emit(equal, number, 0, 1)
            emit(ret, eperm)
    emit(equal, CLONE3[column], 0, 1)
    emit(ret, enosys)  # its flags lie behind a pointer; libc falls back to clone
    # Each block below: skip it unless it is this call; `number` is reloaded by nobody after it, so it must decide.
    emit(equal, CLONE[column], 0, 4)
    emit(load, argument(0))
    emit(bits, NEW_NAMESPACES, 0, 1)
    emit(ret, eperm)
    emit(ret, allow)
    for numbers, index, values in ((IOCTL, 1, TERMINAL_CONTROLS), (FCNTL, 1, FILE_OWNER_CONTROLS)):
        emit(equal, numbers[column], 0, 2 + 2 * len(values))
        emit(load, argument(index))
        for value in values:
            emit(equal, value, 0, 1)
            emit(ret, eperm)
        emit(ret, allow)
    for numbers in (PRLIMIT, SETAFFINITY):  # of oneself only: a shared uid may set those of the bot
        emit(equal, numbers[column], 0, 4)
        emit(load, argument(0))
        emit(equal, 0, 1)
        emit(ret, eperm)
        emit(ret, allow)
    # A pair of datagram sockets can send to any path; a pair of streams is joined for good. asyncio needs the latter.
    emit(equal, SOCKETPAIR[column], 0, 7)
    emit(load, argument(0))
    emit(equal, 1, 0, 4)
    emit(load, argument(1))
    emit(mask, 0xF)
    emit(equal, 1, 0, 1)
    emit(ret, allow)
    emit(ret, eperm)
    emit(ret, allow)
    return b"".join(struct.pack("=HBBI", operation, yes, otherwise, value) for operation, yes, otherwise, value in code)
