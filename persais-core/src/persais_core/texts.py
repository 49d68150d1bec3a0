"""The bot's words, in the language of whoever reads them.

Sentences live in `locales/<language>.ftl` (Project Fluent, which knows plural forms); code names them by id. English
and Russian are both complete, which a test holds.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from importlib import resources
from typing import get_args

from fluent.runtime import FluentBundle, FluentResource

from persais_core import errors
from persais_core.domain.chats import Language
from persais_core.domain.names import BUILT_IN_COMMANDS

LANGUAGES: tuple[Language, ...] = get_args(Language)

_MARKUP = frozenset("\\`*_[]()>#|~!&$")  # an entity such as &NewLine; would be read too, and $x$ as a formula
_JOINERS = frozenset("\u200c\u200d")  # hold letters apart and emoji together
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # Unicode categories
_JOINED = "\u2060"  # takes no room, and what it stands in is no command, no link and no name any more
_BETWEEN = r"[*_~|\\\[\]]*"  # markup within a word is gone once it is rendered
_COMMANDS = "|".join(_BETWEEN.join(word) for word in sorted(BUILT_IN_COMMANDS))
_COMMAND = re.compile(rf"(?<![A-Za-z0-9])/(?={_BETWEEN}(?:{_COMMANDS})(?![A-Za-z0-9]))", re.IGNORECASE)
# What is left of a link is its label, and nothing of an empty one; of code and formulas what stands in them.
MOST_SLASHES = 100  # that are looked behind one by one, while everybody waits
_RENDERED = re.compile(r"\[([^\[\]]{0,80})\](?:\([^()]{0,2000}\)|\[[^\[\]]{0,80}\])?|[*_~|\\`$]")
_SLASH = re.compile(r"(?<![A-Za-z0-9])/(?=[A-Za-z_]*[*_~|\\`$\[])")
_WORDS = tuple(word.replace("_", "") for word in BUILT_IN_COMMANDS)
_WORD = re.compile(rf"(?:{'|'.join(_WORDS)})(?![A-Za-z0-9])", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|sol|lowbar);", re.IGNORECASE)
# What pages of forges make more of than a chat does: HTML, formulas, names that are called, numbers that close things.
_CALLED = re.compile(r"@(?=\w)|#(?=\d)|\bwww(?=\.)|\bGH(?=-\d)", re.IGNORECASE)
_MARK = re.compile(r"^\d*(?=[-+=.])")  # of a list


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
    if not error.key:
        return str(error)
    return say(language, f"error-{error.key}", **{name: _said(language, v) for name, v in error.values.items()})


def _said(language: Language, value: object) -> object:
    """A value of an error as its sentence takes it."""
    if isinstance(value, errors.PersaisError):
        return explain(language, value)
    return ", ".join(say(language, name) for name in value.ids) if isinstance(value, errors.Named) else value


def escaped(text: str) -> str:
    """Words of a model or a user inside our Markdown, so that no markup of theirs is rendered, and nothing is tapped.

    Their lines stay lines. What is not seen, such as a mark that turns the direction of reading, is left out. Of an
    address and of a command a chat makes a link by itself: they are held apart, as a tap on `/deploy` would be its
    reader's own word. A `<` needs nothing: what looks like HTML is always shown as it stands.
    """
    apart = untapped("".join(map(_seen, text))).replace("://", f":{_JOINED}//")
    return "".join(f"\\{c}" if c in _MARKUP else c for c in apart)


def untapped(text: str, *, markup: bool = False) -> str:
    """A text in which none of the bot's own commands can be tapped; all else stays as it is.

    Args:
        markup: it is Markdown, in which a character may be written in other ways.
    """
    if markup:
        text = _ENTITY.sub(lambda entity: _plain(entity.group()), text)
        is_much = len(_SLASH.findall(text)) > MOST_SLASHES
        text = _SLASH.sub(lambda slash: f"/{_JOINED}" if is_much else _apart(slash, text), text)
    return _COMMAND.sub(f"/{_JOINED}", text)


def _apart(slash: re.Match[str], text: str) -> str:
    """A slash, held apart from what would be a command behind it once the Markdown there is rendered."""
    rest = text[slash.end() : slash.end() + 4000]
    for _ in range(3):  # links within links' labels, and marks that only meet when others are gone
        rest = _RENDERED.sub(lambda found: found[1] or "", rest)
    return f"/{_JOINED}" if _WORD.match(rest) else "/"


def _plain(entity: str) -> str:
    """The character that an entity stands for, where commands have such; else the entity."""
    character = html.unescape(entity)
    return character if character in "/_" or (character.isascii() and character.isalnum()) else entity


def line(text: str) -> str:
    """Words of a model or a user, `escaped`, on one line: no line of theirs can pass for one of ours."""
    return escaped(" ".join(text.split()))


def block(text: str) -> str:
    """Words of a model or a user, `escaped`, that may have several lines; these stand in a quote of their own."""
    lines = escaped(text).strip().split("\n")
    return lines[0] if len(lines) == 1 else "\n".join(["", *(f"> {one}".rstrip() for one in lines)])


def on_page(text: str) -> str:
    """A `line` for the page of a forge, where it calls nobody, refers to nothing and hides nothing behind it."""
    words = _CALLED.sub(lambda found: found.group() + _JOINED, line(text))
    return _MARK.sub(r"\g<0>\\", words.replace("<", "\\<"))


def subject(text: str) -> str:
    """Words of a model as a title without markup: one line, which calls nobody."""
    words = "".join(map(_seen, " ".join(text.split())))
    return _CALLED.sub(lambda found: found.group() + _JOINED, words)


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
