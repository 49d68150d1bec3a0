"""How much of the machine a program gets. Of a network it gets nothing: no socket can be made in any profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Identity = Literal["own", "real", "same"]
"""Who a program runs as: a user of its own, one whose real uid alone is its own, or the same as the bot."""


class Profile(StrEnum):
    """What kind of program it is, which says what it may use unless its run says otherwise."""

    CHECK = "check"
    """It does one thing and ends."""
    PREVIEW = "preview"
    """It stays beside the bot and is spoken with, by `Sandbox.converse`."""
    CODER = "coder"
    """It stays until its job comes, and its libraries alone take a quarter of its memory."""


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
CODER_LIMITS = Limits(cpu_seconds=600, output_bytes=4 << 20)
USUAL: Mapping[Profile, Limits] = {
    Profile.CHECK: Limits(),
    Profile.PREVIEW: PREVIEW_LIMITS,
    Profile.CODER: CODER_LIMITS,
}
"""What each kind may use."""
