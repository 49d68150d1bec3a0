"""Whose a port is that the bot is to listen on, and who chose its number.

A bot is known by its /health; whether it is the one of this place, by the lock and the note that its supervisor keeps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from persais_core import settings
from persais_core.supervisor import home

USUAL = settings.Settings.model_fields["port"].default


@dataclass(frozen=True)
class Taken:
    """A port that somebody else listens on.

    Args:
        says: which, and who has it; half a sentence.
        do: what to do about it.
    """

    says: str
    do: str


def is_own(config: settings.Settings) -> bool:
    """Whether the bot of this very place listens on PORT."""
    if not home.is_in_use(config.persais_home):
        return False
    try:
        note = json.loads((config.persais_home / "desk.json").read_text("utf-8"))
        return urlsplit(str(note["url"])).port == config.port + 1
    except (OSError, ValueError, LookupError, TypeError):
        return False


def taken(port: int, config: settings.Settings, folder: Path) -> Taken:
    """Who has a port that is PORT or the one after it, which the chat page takes.

    Args:
        folder: whose `.env` may have chosen the number.
    """
    commit = _commit(port)
    which = f"port {port}" + (", the chat page's," if port == config.port + 1 else "")
    who = "another program" if commit is None else f"the bot of another folder, which serves the commit {commit[:12]}"
    source = settings.origin("PORT", folder)
    chosen = (
        f"set another PORT: {config.port} stands {source}"
        if source
        else f"set PORT to another number: it is not set, so {USUAL} is taken"
    )
    return Taken(f"{which} is taken by {who}", f"{chosen if commit is None else f'stop that one, or {chosen}'}")


def _commit(port: int) -> str | None:
    """The commit that a bot serves on a port; None: what listens there is no bot, or does not answer."""
    try:
        return str(httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).json()["commit"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None
