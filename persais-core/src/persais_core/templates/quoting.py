"""Text from people and models, made safe to stand in Python source.

Titles, keywords and descriptions come from a language model and are hostile until shown otherwise: a quote must not
end a literal, a backslash must not swallow one, an invisible character must not hide anything, and nothing may become
a line so long that the lint refuses it. Everything that enters a template passes through here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

WIDTH = 110  # columns of a rendered line
JOINER = "\u200d"  # holds the pictures of one emoji together

_RISKY_QUOTE = re.compile(r'"(?="|\Z)|(?<=")"')


def columns(text: str) -> int:
    """How many columns a text takes, counting wide characters as two, as linters do."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def plain(text: str, limit: int, *, joiners: bool = False) -> str:
    """One line of visible characters.

    Args:
        text: anything.
        limit: columns; what is longer is cut and ends in an ellipsis.
        joiners: keep the joiners of composed emoji.

    Returns:
        The text with runs of white space, control and format characters turned into one space.
    """
    kept = "".join(sign if sign.isprintable() or (joiners and sign == JOINER) else " " for sign in text)
    line = " ".join(kept.split()).strip(JOINER)
    if columns(line) <= limit:
        return line
    while columns(line) > limit - 1:
        line = line[:-1]
    return line.rstrip() + "…"


def quoted(text: str) -> str:
    """A Python string literal on one line, with the quotes a formatter would choose."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(sign, quote) for sign in text) + quote


def _escaped(sign: str, quote: str) -> str:
    if sign in ("\\", quote):
        return "\\" + sign
    if sign.isprintable():
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def docstring(text: str, indent: int = 0) -> str:
    """A docstring literal whose lines stay within `WIDTH`.

    The first sentence stands alone on the first line where it fits, since that line is what people are shown.

    Args:
        text: one paragraph, already `plain`.
        indent: columns before the opening quotes.
    """
    room = WIDTH - indent - 6
    inside = _within_quotes(text)
    if columns(inside) <= room:
        return f'"""{inside}"""'
    pad = " " * indent
    sentence, stop, rest = text.partition(". ")
    if stop and columns(_within_quotes(sentence)) < room:
        first, others = _within_quotes(sentence + "."), ["", *_wrapped(rest, room)]
    else:
        first, *others = _wrapped(text, room)
    lines = [f'"""{first}', *(pad + line if line else "" for line in others), f'{pad}"""']
    return "\n".join(lines)


def _within_quotes(text: str) -> str:
    """Escape what could end a docstring: backslashes, quotes that touch another, and a quote at the end."""
    return _RISKY_QUOTE.sub(r'\\"', text.replace("\\", "\\\\"))


def _wrapped(text: str, room: int) -> list[str]:
    """Break a paragraph into escaped lines; words longer than a line are broken before they are escaped."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if columns(_within_quotes(longer)) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while columns(_within_quotes(line)) > room:
            size = len(line)
            while columns(_within_quotes(line[:size])) > room:
                size -= 1
            lines.append(line[:size])
            line = line[size:]
    lines.append(line)
    return [_within_quotes(item) for item in lines]


def listed(opening: str, items: Sequence[str], closing: str, *, indent: int = 0, one_tuple: bool = False) -> str:
    """A call, tuple or import list: on one line where it fits, else one item per line.

    Args:
        opening: up to and including the bracket.
        items: source of the items, each on one line.
        closing: from the closing bracket on.
        indent: columns before `opening`.
        one_tuple: whether a single item needs its comma.
    """
    comma = "," if one_tuple and len(items) == 1 else ""
    line = opening + ", ".join(items) + comma + closing
    if indent + columns(line) <= WIDTH:
        return line
    pad = " " * indent
    return "\n".join([opening, *(f"{pad}    {item}," for item in items), pad + closing])
