"""How agents and other parts may be called, and what may stand before a title."""

from __future__ import annotations

import re
import unicodedata

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
BUILT_IN_AGENTS = frozenset({"master", "mechanic"})
BUILT_IN_COMMANDS = frozenset(
    {
        "start", "help", "agents", "status", "reset", "deploy", "abort", "rollback", "claim", "why", "stop", "config",
        "audit", "dead", "visibility",
    }
)  # fmt: skip

LONGEST_EMOJI = 10  # code points: a family of four has seven, and two of them may have a skin
_JOINS = frozenset("\u200d\ufe0f\u20e3")


def is_emoji(text: str) -> bool:
    """Whether a text is an emoji, or a few signs, and so neither says anything nor is markup."""
    return 0 < len(text) <= LONGEST_EMOJI and all(_is_sign(character) for character in text)


def _is_sign(character: str) -> bool:
    if character.isascii():
        return character.isdecimal()  # of a keycap; all other signs of ASCII may be markup
    return character in _JOINS or unicodedata.category(character) in {"So", "Sk", "Sm", "Sc"}
