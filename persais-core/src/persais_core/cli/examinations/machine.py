"""The computer: Python, room on the disk, the port."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from persais_core import errors, settings, sockets
from persais_core.cli import ports
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
    config, port = patient.config, patient.config.port
    if not port:
        return [well("Port", "PORT is 0, so any free ones are taken")]
    if ports.is_own(config):
        return [well("Port", f"this bot is running on port {port}")]
    # `persais dev` needs both, with and without a chat page.
    if trouble := _trouble(port, patient) or _trouble(port + 1, patient):
        return [trouble]
    chosen = settings.origin("PORT", patient.root)
    source = f"set {chosen}" if chosen else "the usual one"
    return [well("Port", f"{port} (the bot's, {source}) and {port + 1} (the chat page's) are free")]


def _trouble(port: int, patient: Patient) -> Finding | None:
    try:
        sockets.listen("127.0.0.1", port).close()
    except sockets.TakenError:
        taken = ports.taken(port, patient.config, patient.root)
        return look("Port", taken.says, taken.do)
    except errors.SettingsError as error:
        says, _, do = str(error).partition("; ")
        return look("Port", says, do)
    return None
