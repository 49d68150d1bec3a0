"""Small talk, which never hides that there is no real model behind it."""

from __future__ import annotations

import re

from persais_core import texts
from persais_core.domain.chats import Language

_TOPICS = (
    ("thanks", r"\bthanks?\b|\bthank you\b|спасибо|благодар"),
    (
        "who",
        r"\bwho are you\b|\bwhat are you\b|\bwhat can you do\b|\bhelp\b|кто ты|что ты (такое|умеешь)|помощь|помоги",
    ),
    ("hello", r"\b(hi|hello|hey|good (morning|evening|day))\b|привет|здравствуй|добр(ый|ое|ого)|/start"),
)


def answer(message: str) -> str:
    """A short answer in the language of the message (Russian where it has Cyrillic letters)."""
    language: Language = "ru" if re.search("[а-яё]", message, re.IGNORECASE) else "en"
    found = (name for name, words in _TOPICS if re.search(words, message, re.IGNORECASE))
    opening = texts.say(language, f"emulators-model-talk-{next(found, 'other')}")
    return f"{opening}\n\n{texts.say(language, 'emulators-model-how')}"
