"""Answers the simple questions of an owner: which agents there are, what one of them is for, and where its code is.

All it knows is what the planner is told about the project. Of everything else it says that it cannot tell.
"""

from __future__ import annotations

import re
from typing import Any

from persais_core import texts
from persais_core.domain.chats import Language
from persais_core.emulators.model import mentioned

MAX_LIST = 1500  # characters of a list of agents
MAX_PURPOSE = 160  # characters of what an agent is for

_ASKS = re.compile(
    r"\W*(?:(?:so|and|but|ok|please|а|и|ну|слушай|скажи)\W+)*(?:"
    r"(?!(?:what|how) about\b|why not\b|why don.?t you\b)(?:what(?:'s)?|which|who(?:'s)?|where|when|why|how)\b"
    r"|(?:can|could|would|will) you (?:please )?(?:list|show|tell|explain|describe)\b"
    r"|(?:list|show|tell (?:me|us)|explain|describe)\b"
    r"|(?!что если\b|почему бы\b|как насч[её]т\b)"
    r"(?:что|чем|чего|как(?:ой|ая|ое|ие|их)?|кто|где|когда|почему|зачем|сколько)\b"
    r"|(?:покажи|расскажи|опиши|объясни|перечисли)(?:те)?\b)",
    re.IGNORECASE,
)
_ASKS_FOR = re.compile(r"\W*(?:can|could|would|will) you\b|\W*(?:можешь|можете|можно|сможешь)\b", re.IGNORECASE)
_MANY = re.compile(
    r"\b(agents|bots)\b|\bагент(ы|ов|ам|ами|ах)\b|\bwho(\s+is|'s)\b.*\bthere\b|\bкто\b.*\bесть\b", re.IGNORECASE
)
_ABILITY = re.compile(
    r"\bcan you\b|\byou can\b|\bare you able\b|\bcreate\b|\bhow (do|can|should) i\b|умеешь|умеете|можешь|можете|созда",
    re.IGNORECASE,
)
_FILE = re.compile(r"(?<![\w./-])[\w./-]*\b(\w+)\.py\b")


def asks(said: str, *, is_wish: bool) -> bool:
    """Whether something said is a question.

    Args:
        said: without what is quoted in it.
        is_wish: whether it holds what an agent is to do or to be; then only a plain question is one.
    """
    if _ASKS.match(said):
        return not is_wish or said.rstrip().endswith("?")
    return said.rstrip().endswith("?") and not is_wish and not _ASKS_FOR.match(said)


def answer(said: str, language: Language, project: dict[str, Any], settings: dict[str, Any]) -> str:
    """What can be said to a question.

    Args:
        said: the question.
        language: to answer in.
        project: as the planner is told.
        settings: of its agents, by name.
    """
    own = mentioned.own(project)
    stems = {found[1] for found in _FILE.finditer(said)}
    about = [agent for agent in own if agent["name"] in stems] or mentioned.in_order(said, own)
    if about and not _MANY.search(_FILE.sub(" ", said)):
        code = texts.say(language, "emulators-model-code", file=mentioned.path(about[0]))
        return f"{_line(about[0], language, settings)}\n\n{code} {texts.say(language, 'emulators-model-tells')}"
    if _MANY.search(said):
        return _all(own, language, settings)
    return texts.say(language, "emulators-model-beyond" if _ABILITY.search(said) else "emulators-model-tells")


def _all(own: list[dict[str, Any]], language: Language, settings: dict[str, Any]) -> str:
    if not own:
        return texts.say(language, "emulators-model-no-agents")
    lines = [texts.say(language, "emulators-model-agents")]
    for agent in own:
        if sum(map(len, lines)) > MAX_LIST:
            lines.append(texts.say(language, "emulators-model-more-agents"))
            break
        lines.append(_line(agent, language, settings))
    return "\n".join(lines)


def _line(agent: dict[str, Any], language: Language, settings: dict[str, Any]) -> str:
    """One agent: its title and command, what it is for, and whether it is off."""
    purpose = " ".join(str(agent.get("description") or "").split())
    if len(purpose) > MAX_PURPOSE:
        purpose = purpose[: MAX_PURPOSE - 1] + "…"
    is_off = (settings.get(agent["name"]) or {}).get("enabled") is False
    off = f" {texts.say(language, 'emulators-model-off')}" if is_off else ""
    return f"{mentioned.title(agent)} (/{agent['name']}){off}" + (f": {purpose}" if purpose else "")
