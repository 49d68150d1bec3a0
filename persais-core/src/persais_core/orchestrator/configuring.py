"""`/config`: which model answers for an agent, and how; seen and set by admins, in force from the next turn on.

`/config` alone shows all agents, `/config echo` one; `/config echo model=gpt-5-mini temperature=0` sets two things,
`/config echo model=default` takes one back and `/config echo default` all of them.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from persais_core import errors, texts
from persais_core.agents import wording
from persais_core.agents.config import MECHANIC, AgentConfigs
from persais_core.agents.registry import Registry
from persais_core.domain.chats import Language, Reply, Turn
from persais_core.domain.configs import SETTINGS, AgentConfig, ConfigChange

_SETTING = re.compile(r"(?P<name>[a-z_]+)=(?P<value>\S+)\Z")
_YES, _NO = frozenset({"yes", "on", "true", "1", "да"}), frozenset({"no", "off", "false", "0", "нет"})


async def answer(configs: AgentConfigs, registry: Registry, turn: Turn) -> Reply:
    """Show the settings, or set what the words say."""
    language = turn.user.language
    words = turn.message.text.split()[1:]
    agent = words[0].lstrip("/").lower() if words else None
    if len(words) < 2:
        return await _shown(configs, registry, language, agent)
    assert agent is not None
    try:
        wanted = read(agent, words[1:])
    except ValueError:
        return Reply(text=texts.say(language, "config-usage"))
    try:
        after = await configs.update(wanted, actor=turn.user.id, language=language)
    except errors.AgentError as error:
        cause = texts.escaped(texts.explain(language, error))
        return Reply(text=texts.say(language, "config-refused", cause=cause))
    told = wording.settings(language, after)
    return Reply(text=texts.say(language, "config-done", agent=texts.escaped(agent), settings=told))


def read(agent: str, words: list[str]) -> ConfigChange:
    """What the words of the command set.

    Raises:
        ValueError: it cannot be read so.
    """
    if words == ["default"]:
        return ConfigChange(agent=agent, default=SETTINGS)
    given: dict[str, Any] = {}
    default = []
    for word in words:
        found = _SETTING.match(word)
        if found is None or found["name"] not in SETTINGS:
            raise ValueError(word)
        name, value = found["name"], found["value"]
        if value == "default":
            default.append(name)
        elif name == "enabled":
            if value.lower() not in _YES | _NO:
                raise ValueError(word)
            given[name] = value.lower() in _YES
        elif name == "keywords":
            given[name] = tuple(part for part in value.split(",") if part)
        else:
            given[name] = value
    try:
        return ConfigChange(agent=agent, default=tuple(default), **given)
    except ValidationError as error:
        raise ValueError(str(error)) from error


async def _shown(configs: AgentConfigs, registry: Registry, language: Language, agent: str | None) -> Reply:
    found = await configs.all()
    names = [a.name for a in registry if a.name != MECHANIC and agent in {None, a.name}]
    if not names:
        known = ", ".join(a.name for a in registry if a.name != MECHANIC)
        cause = texts.escaped(texts.say(language, "error-config-no-agent", agent=agent or "", agents=known))
        return Reply(text=texts.say(language, "config-refused", cause=cause))
    lines = [f"/{texts.escaped(name)} — {wording.settings(language, found.get(name, AgentConfig()))}" for name in names]
    return Reply(text="\n".join([texts.say(language, "config-list"), *lines, "", texts.say(language, "config-usage")]))
