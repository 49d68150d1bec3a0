"""The computer: Python, room on the disk, the port."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import httpx

from persais_core import errors, sockets
from persais_core.cli.examinations import Finding, Patient, ill, look, well

ROOM = 2_000  # MB; aider's environment, the database and a few releases


async def examine(patient: Patient) -> list[Finding]:
    """Look at the computer."""
    return [_python(), _disk(patient.config.persais_home), *await asyncio.to_thread(_ports, patient)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return ill("Python", f"{version} is not supported", "use Python 3.11, 3.12 or 3.13")
    return well("Python", version)


def _disk(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return ill(
            "Disk", f"{home} cannot be written to", "give yourself the right, or set PERSAIS_HOME to another folder"
        )
    free = shutil.disk_usage(place).free // 1_000_000
    if free < ROOM:
        return ill("Disk", f"only {free} MB are free at {place}", f"make room: about {ROOM} MB are needed")
    return well("Disk", f"{free // 1000} GB free at {home}")


def _ports(patient: Patient) -> list[Finding]:
    port = patient.config.port
    if not port:
        return [well("Port", "PORT is 0, so any free ones are taken")]
    if not _is_free(port) and _is_a_bot(port):
        return [well("Port", f"a bot is running on port {port}")]
    # `persais dev` needs both, with and without a chat page.
    taken = [one for one in (port, port + 1) if not _is_free(one)]
    if not taken:
        return [well("Port", f"{port} (the bot's) and {port + 1} (the chat page's) are free")]
    advice = "end that program, or set PORT: the chat page takes the next one"
    return [look("Port", f"{one} cannot be used, or another program uses it", advice) for one in taken]


def _is_free(port: int) -> bool:
    try:
        sockets.listen("127.0.0.1", port).close()
    except (errors.SettingsError, OverflowError):
        return False
    return True


def _is_a_bot(port: int) -> bool:
    """Whether what listens there answers as a bot does."""
    try:
        return "commit" in httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json()
    except (httpx.HTTPError, ValueError, TypeError):
        return False
