"""`/config`: which model answers for an agent, and how; seen and set by admins, in force from the next turn on.

`/config` alone shows all agents, `/config echo` one; `/config echo model=gpt-5-mini temperature=0` sets two things,
`/config echo model=default` takes one back and `/config echo default` all of them. Where one of several words is wrong
nothing is set, and each of them is told with what would be right.
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
from persais_core.domain.configs import SETTINGS, AgentConfig, ConfigChange, Setting
from persais_core.orchestrator import unknown

SHOWN = 40  # characters of a word that is told as wrong
_YES, _NO = frozenset({"yes", "on", "true", "1", "да"}), frozenset({"no", "off", "false", "0", "нет"})
_ALL_BACK = "default"


async def answer(configs: AgentConfigs, registry: Registry, turn: Turn) -> Reply:
    """Show the settings, or set what the words say."""
    language = turn.user.language
    agent, rest = unknown.split(turn.message.command[1], registry)
    try:
        if agent:
            configs.find(agent)
        if not rest:
            return await _shown(configs, registry, language, agent)
        wanted = read(agent, rest, language)
        after = await configs.update(wanted, actor=turn.user.id, language=language)
    except (errors.AgentError, WrongWordsError) as error:
        is_ours = isinstance(error, WrongWordsError)  # in our Markdown; else somebody's words may stand in it
        cause = str(error) if is_ours else texts.escaped(texts.explain(language, error))
        return Reply(text=texts.say(language, "config-refused", cause=cause))
    told = wording.settings(language, after)
    key = "config-done" if not after.is_default else "config-done-usual"
    return Reply(text=texts.say(language, key, agent=texts.escaped(agent), settings=told))


class WrongWordsError(errors.PersaisError):
    """Words behind the command that set nothing; the message says what is wrong, in the language of who wrote them."""


def read(agent: str, words: str, language: Language) -> ConfigChange:
    """What the words behind the agent's name set.

    Args:
        language: in which it is told what is wrong.

    Raises:
        WrongWordsError: some of it cannot be read, or is no value that the setting may have.
    """
    if words.split() == [_ALL_BACK]:
        return ConfigChange(agent=agent, default=SETTINGS)
    wanted: dict[str, Any] = {}
    default: list[Setting] = []
    unknown: list[str] = []
    wrong: list[str] = []
    for name, value in _pairs(words):
        if name not in SETTINGS:
            unknown.append(texts.escaped(name[:SHOWN]) or "=")
        elif name in wanted or name in default:
            wrong.append(texts.say(language, "config-twice", setting=name))
        elif value == _ALL_BACK:
            default.append(name)
        elif not value:
            wrong.append(texts.say(language, "config-no-value", setting=name, allowed=wording.allowed(language, name)))
        else:
            try:
                alone = ConfigChange.model_validate({"agent": agent, name: _typed(name, value)})
                wanted[name] = getattr(alone, name)
            except ValidationError:
                said = {"allowed": wording.allowed(language, name), "value": texts.escaped(value[:SHOWN])}
                wrong.append(texts.say(language, "config-wrong-value", **said))
    if unknown:
        listed = ", ".join(f"`{known}`" for known in SETTINGS)
        wrong.append(texts.say(language, "config-no-setting", words=", ".join(unknown), settings=listed))
    if wrong:
        raise WrongWordsError("; ".join(wrong))
    return ConfigChange.model_validate({"agent": agent, "default": default, **wanted})


def _pairs(words: str) -> list[tuple[str, str]]:
    """Names and values, as people write them: with blanks round the sign or none at all, and in lists of keywords."""
    pairs: list[tuple[str, str]] = []
    for word in re.sub(r"\s*=\s*", "= ", words).split():
        name, value = pairs[-1] if pairs else ("", "")
        in_list = name == "keywords" and value != _ALL_BACK
        if word.endswith("=") or (word.lower() in SETTINGS and not in_list):
            pairs.append((word.removesuffix("=").lower(), ""))
        elif in_list or (name and not value):
            pairs[-1] = name, f"{value} {word}".strip()
        else:
            pairs.append((word.lower(), ""))
    return pairs


def _typed(setting: Setting, value: str) -> object:
    """A value as the setting's type wants it; what cannot be read stays as it is, and is refused."""
    if setting == "enabled":
        return True if value.lower() in _YES else False if value.lower() in _NO else value
    if setting == "keywords":
        return tuple(word for part in value.split(",") if (word := part.strip()))
    return value.replace(",", ".") if setting == "temperature" else value


async def _shown(configs: AgentConfigs, registry: Registry, language: Language, agent: str) -> Reply:
    found = await configs.all()
    names = [a.name for a in registry if a.name != MECHANIC and agent in {"", a.name}]
    lines = [f"/{texts.escaped(name)} — {wording.settings(language, found.get(name, AgentConfig()))}" for name in names]
    return Reply(text="\n".join([texts.say(language, "config-list"), *lines, "", texts.say(language, "config-usage")]))
