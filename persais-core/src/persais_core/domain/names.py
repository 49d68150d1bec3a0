"""How agents, commands and other parts are called, and what may stand before a title."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
BUILT_IN_AGENTS = frozenset({"master", "mechanic"})

Who = Literal["everybody", "admins", "owners", "triers", "claimants"]
"""For whom a command is. An owner of an agent decides on that agent, and admins on all; who tries a change is whoever
speaks in a chat that has its preview, and admins know of the command before; who claims the bot holds its code."""
Theme = Literal["talking", "changing", "care"]
"""Under which heading of /help a command stands."""


@dataclass(frozen=True)
class Command:
    """One built-in command of the chat.

    What it says of itself stands in the catalogues as `help-<name>`, and as `menu-<name>` where the menu has it.

    Args:
        name: without its slash. That of a built-in agent leads to that agent, as any agent's does.
        is_beside_the_lane: it must not wait behind a turn, and needs no model.
        place_in_menu: from 1: those that the client's menu begins with. An admin's goes on with the others that
            admins have, in the order of the table.
        words_ru: what those who write Russian may say for it.
    """

    name: str
    who: Who
    theme: Theme
    is_beside_the_lane: bool = False
    place_in_menu: int | None = None
    words_ru: tuple[str, ...] = ()


COMMANDS = (
    Command("agents", "everybody", "talking", place_in_menu=3, words_ru=("агенты", "боты")),
    Command("master", "everybody", "talking", words_ru=("мастер",)),
    Command("reset", "everybody", "talking", is_beside_the_lane=True, words_ru=("сброс", "сбросить", "забыть")),
    Command("why", "everybody", "talking", words_ru=("почему", "зачем")),
    Command(
        "status", "everybody", "talking", is_beside_the_lane=True, place_in_menu=5, words_ru=("статус", "состояние")
    ),
    Command("start", "everybody", "talking", place_in_menu=1, words_ru=("старт", "начать")),
    Command("help", "everybody", "talking", place_in_menu=2, words_ru=("помощь", "справка", "хелп")),
    Command("mechanic", "admins", "changing", place_in_menu=4, words_ru=("механик",)),
    Command("deploy", "admins", "changing", is_beside_the_lane=True, words_ru=("деплой", "развернуть")),
    Command("abort", "admins", "changing", is_beside_the_lane=True, words_ru=("отмена", "отменить")),
    Command("stop", "triers", "changing", words_ru=("стоп",)),
    Command("rollback", "admins", "changing", is_beside_the_lane=True, words_ru=("откат", "откатить")),
    Command("config", "admins", "care", words_ru=("настройки", "конфиг")),
    Command("visibility", "owners", "care", words_ru=("видимость",)),
    Command("audit", "admins", "care", is_beside_the_lane=True, place_in_menu=6, words_ru=("аудит", "журнал")),
    Command("dead", "admins", "care", is_beside_the_lane=True),
    Command("claim", "claimants", "care", is_beside_the_lane=True),
)
"""All of them, in the order in which /help tells them; rights, menu and queue go by this table."""

BUILT_IN_COMMANDS = frozenset(command.name for command in COMMANDS) - BUILT_IN_AGENTS
"""Names of those that are answered without an agent."""

LONGEST_EMOJI = 10  # code points: a family of four has seven, and two of them may have a skin
_JOINS = frozenset("\u200d\ufe0f\u20e3")


def is_emoji(text: str) -> bool:
    """Whether a text is an emoji, or a few signs, and so neither says anything nor is markup."""
    return 0 < len(text) <= LONGEST_EMOJI and all(_is_sign(character) for character in text)


def _is_sign(character: str) -> bool:
    if character.isascii():
        return character.isdecimal()  # of a keycap; all other signs of ASCII may be markup
    return character in _JOINS or unicodedata.category(character) in {"So", "Sk", "Sm", "Sc"}
