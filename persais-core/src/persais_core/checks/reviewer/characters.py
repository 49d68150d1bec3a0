"""What can be said of a file before it is read as text: whether what is shown is what will be run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from persais_core.checks.reviewer.findings import Finding

MAX_LINE = 200  # characters of code; strings and comments may be longer
MAX_LINES = 5000
MAX_TEXT = 4000  # characters of any line

COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
# Words of one other alphabet can be read too, unless all their letters look like Latin ones.
CYRILLIC = re.compile(r"[А-Яа-яЁё][А-Яа-яЁё0-9]*")
LOOKALIKES = set("АВЕЗКМНОРСТУХаекорсух0123456789")
# Spaces that are shown as such. Python takes none of them for code.
SPACES = "\u00a0\u202f\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u3000"


def judge(content: bytes) -> Iterator[Finding]:
    """What can be said of a file before it is read as text."""
    if content.startswith(b"\xef\xbb\xbf"):
        yield Finding(1, "encoding", "starts with a byte order mark; save it as plain UTF-8")
    for number, start in enumerate(content.split(b"\n", 2)[:2], 1):
        cookie = COOKIE.match(start)
        if cookie and cookie[1].lower() not in {b"utf-8", b"utf8"}:
            yield Finding(number, "encoding", "declares an encoding; files are UTF-8 without saying so")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        yield Finding(line_number, "encoding", "is not UTF-8; save it as UTF-8")
        return
    # Split at \n alone: what other programs take for a line end is one of the things looked for. Files of Windows are
    # no such thing, as Python and every editor read \r\n alike.
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        yield Finding(1, "size", f"has {len(lines)} lines; at most {MAX_LINES} are read, so split it")
        return
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_TEXT:
            yield Finding(number, "line-length", f"has {len(line)} characters; break it into lines of at most 120")
        for index, character in enumerate(line):
            if character >= " " and character < "\x7f":
                continue
            if _is_hidden(line, index, character):
                yield Finding(
                    number, "hidden-character", f"holds U+{ord(character):04X}, which is not shown; remove it"
                )
                break


def is_name(name: str) -> bool:
    """Whether a name reads as what it is: words in a-z, or wholly Cyrillic ones that nobody takes for Latin."""
    if name.isascii():
        return True
    return all(
        part.isascii() or (CYRILLIC.fullmatch(part) is not None and bool(set(part) - LOOKALIKES))
        for part in name.split("_")
    )


def _is_hidden(line: str, index: int, character: str) -> bool:
    """Whether a character is invisible or changes how others are shown."""
    if character == "\t":
        return False
    category = unicodedata.category(character)
    if character == "\u200d":  # joins emoji: 👩‍💻
        around = (line[index - 1 : index] or "a") + (line[index + 1 : index + 2] or "a")
        return not all(unicodedata.category(neighbour) in {"So", "Sk", "Mn"} for neighbour in around)
    return category in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} or (category == "Zs" and character not in " " + SPACES)
