"""Settings of an agent as people read them, in the chat's language."""

from __future__ import annotations

from persais_core import texts
from persais_core.domain.chats import Language
from persais_core.domain.configs import MAX_TOKENS, SETTINGS, AgentConfig, ConfigChange, Setting


def settings(language: Language, config: AgentConfig) -> str:
    """What is set for an agent, on one line; that nothing is, where it is so."""
    pieces = _pieces(language, config)
    if not config.enabled:
        pieces.append(texts.say(language, "config-off"))
    return ", ".join(pieces) or texts.say(language, "config-usual")


def change(language: Language, wanted: ConfigChange) -> str:
    """What is to be set, on one line."""
    pieces = _pieces(language, wanted)
    if wanted.enabled is not None:
        pieces.append(texts.say(language, "config-on" if wanted.enabled else "config-off"))
    if set(wanted.default) == set(SETTINGS):
        pieces.append(texts.say(language, "config-usual"))
    else:
        pieces += [texts.say(language, "config-back", setting=name) for name in wanted.default]
    return ", ".join(pieces)


def allowed(language: Language, setting: Setting) -> str:
    """Which values a setting may have: a clause that begins with its name."""
    return texts.say(language, f"config-allowed-{setting.replace('_', '-')}", most=str(MAX_TOKENS))


def _pieces(language: Language, given: AgentConfig | ConfigChange) -> list[str]:
    pieces = []
    if given.model is not None:
        pieces.append(texts.say(language, "config-model", model=f"`{given.model}`"))
    if given.temperature is not None:
        pieces.append(texts.say(language, "config-temperature", temperature=f"{given.temperature:g}"))
    if given.max_tokens is not None:
        pieces.append(texts.say(language, "config-max-tokens", count=given.max_tokens))
    if given.keywords is not None:
        words = ", ".join(texts.line(word) for word in given.keywords) or "—"
        pieces.append(texts.say(language, "config-keywords", keywords=words))
    return pieces
