"""Recognises a wish about an agent's settings: another model, a temperature, on or off, back to usual."""

from __future__ import annotations

import re
from typing import Any

from persais_core.domain.configs import SETTINGS
from persais_core.emulators.model import mentioned

_TEMPERATURE = re.compile(r"\b(?:temperature|температур\w*)[^\d\n]{0,20}(\d(?:[.,]\d+)?)(?![\d.,]*\d)", re.IGNORECASE)
_TOKENS = re.compile(r"\b(\d{2,5})\s+(?:tokens?\b|токен)", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w./:-])[a-z0-9][a-z0-9./:-]*", re.IGNORECASE)
_ABOUT_MODEL = re.compile(r"\bmodel\b|\buses?\b|\busing\b|\bmodels\b|модел|использу", re.IGNORECASE)
_OFF = re.compile(r"\b(switch|turn)\b.{0,20}\boff\b|\bdisable\b|выключи|отключи", re.IGNORECASE)
_ON = re.compile(r"\b(switch|turn)\b.{0,20}\bon\b|\benable\b|\bвключи", re.IGNORECASE)
_USUAL = re.compile(r"\bdefaults?\b|\busual\b|по умолчанию|как обычно", re.IGNORECASE)
_MAKES = re.compile(r"\b(create|new|another|build)\b|\badd\s+an?\b|созда|\bнов(ый|ого)\b", re.IGNORECASE)
MASTER = {"name": "master", "keywords": ("мастер",)}


def wish(said: str, project: dict[str, Any]) -> dict[str, Any] | None:
    """What is to be set, as `domain.configs.ConfigChange` accepts it; None where it is no such wish."""
    agent = None if _MAKES.search(said) else _agent(said, project)
    if agent is None:
        return None
    made: dict[str, Any] = {}
    if found := _TEMPERATURE.search(said):
        made["temperature"] = float(found[1].replace(",", "."))
    if found := _TOKENS.search(said):
        made["max_tokens"] = int(found[1])
    named = [token for word in _TOKEN.findall(said) if _is_model(token := word.rstrip(".:-/"))]
    if named and _ABOUT_MODEL.search(said):
        made["model"] = named[0]
    if _OFF.search(said):
        made["enabled"] = False
    elif _ON.search(said):
        made["enabled"] = True
    if not made and _USUAL.search(said):
        about = [name for name, words in (("model", r"model|модел"), ("temperature", r"temperatur|температур"))
                 if re.search(words, said, re.IGNORECASE)]  # fmt: skip
        made["default"] = about or list(SETTINGS)
    return {"agent": agent, **made} if made else None


def _agent(said: str, project: dict[str, Any]) -> str | None:
    """Name of the one agent that is spoken of."""
    found = mentioned.in_order(said, [MASTER, *(project.get("agents") or ())])
    names = {str(agent["name"]) for agent in found}
    return names.pop() if len(names) == 1 else None


def _is_model(token: str) -> bool:
    """A model's name holds its maker before a slash, or a digit behind a hyphen; the name of a file is none."""
    maker, slash, name = token.partition("/")
    if "/" in name or name.endswith(".py"):
        return False
    return bool(maker and slash and name) or any(map(str.isdigit, maker.partition("-")[2]))
