"""The bot's words, in the language of whoever reads them.

Sentences live in `locales/<language>.ftl` (Project Fluent, which knows plural forms); code names them by id. English
and Russian are both complete, which a test holds.
"""

from __future__ import annotations

import functools
import unicodedata
from importlib import resources
from typing import get_args

from fluent.runtime import FluentBundle, FluentResource

from persais_core import errors
from persais_core.domain.chats import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)

_MARKUP = frozenset("\\`*_[]()>#|~!")
_JOINERS = frozenset("\u200c\u200d")  # hold letters apart and emoji together
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # Unicode categories


@functools.cache
def bundle(language: Language) -> FluentBundle:
    """The catalogue of one language, read once."""
    source = (resources.files("persais_core") / "locales" / f"{language}.ftl").read_text("utf-8")
    # Isolation marks would stand in the middle of branch names and code that people copy.
    made = FluentBundle([language], use_isolating=False)
    made.add_resource(FluentResource(source))
    return made


def say(language: Language, name: str, /, **values: object) -> str:
    """One sentence of the catalogue.

    Args:
        language: whose catalogue.
        name: id of the message, such as `mechanic-working`.
        values: what its placeholders stand for.

    Raises:
        KeyError: the catalogue has no such message, or a value is missing: both are bugs.
    """
    catalogue = bundle(language)
    message = catalogue.get_message(name)
    if message.value is None:
        raise KeyError(name)
    text, problems = catalogue.format_pattern(message.value, values)
    if problems:
        raise KeyError(f"{name}: {problems[0]}")
    return str(text)


def explain(language: Language, error: errors.PersaisError) -> str:
    """An expected error in the language of whoever reads it; its English message where the catalogues have no other."""
    return say(language, f"error-{error.key}", **error.values) if error.key else str(error)


def escaped(text: str) -> str:
    """Words of a model or a user inside our Markdown, so that no markup of theirs is rendered.

    Their lines stay lines. What is not seen, such as a mark that turns the direction of reading, is left out. A `<`
    needs nothing: what looks like HTML is always shown as it stands.
    """
    return "".join(f"\\{c}" if c in _MARKUP else c for c in map(_seen, text))


def line(text: str) -> str:
    """Words of a model or a user, `escaped`, on one line: no line of theirs can pass for one of ours."""
    return escaped(" ".join(text.split()))


def block(text: str) -> str:
    """Words of a model or a user, `escaped`, that may have several lines; these stand in a quote of their own."""
    lines = escaped(text).strip().split("\n")
    return lines[0] if len(lines) == 1 else "\n".join(["", *(f"> {one}".rstrip() for one in lines)])


def _seen(character: str) -> str:
    """A character as it may be shown; nothing in place of one that is not seen."""
    if character == "\n" or character in _JOINERS or unicodedata.category(character) not in _UNSEEN:
        return character
    return " " if character.isspace() else ""


def printable(text: str) -> str:
    """A text on one line that does nothing to a terminal; strangers and models choose some of the words shown."""
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)


def language_of(code: str | None) -> Language:
    """The language we speak with someone whose client says `code` (IETF tag): Russian for ru, English otherwise."""
    return "ru" if code and code.lower().split("-")[0] == "ru" else "en"
