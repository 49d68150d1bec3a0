"""Identifiers as they were written, as the parser would make others of them, and what stands where nobody looks."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

from persais_core.checks.reviewer import characters
from persais_core.checks.reviewer.characters import MAX_LINE
from persais_core.checks.reviewer.findings import Finding

# Names of tokens that an older tokenizer does not know.
TEXTS = {"STRING", "COMMENT", "NEWLINE", "NL", "ENDMARKER", "DEDENT", "INDENT"}
CLOSERS = {")", "]", "}", ",", ":", "("}
# A field of an f-string that names a value and computes nothing.
PLAIN_FIELD = re.compile(r"\{\{|\}\}|\{[A-Za-z_][\w.]*(![rsa])?(:[^{}]*)?\}")


def judge(text: str) -> Iterator[Finding]:
    """What can be said of a file before it is read as a syntax tree."""
    lines = text.split("\n")
    long = {number for number, line in enumerate(lines, 1) if len(line) > MAX_LINE}
    seen = 0
    is_whole = False
    inside = 0  # f-strings we are in, since Python 3.12
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = tokenize.tok_name[token.type]
            if token.type == tokenize.NAME and not characters.is_name(token.string):
                yield Finding(
                    token.start[0],
                    "name",
                    f"{token.string!r} mixes letters or looks like another name; use a-z, 0-9 and _",
                )
            elif token.type == tokenize.ERRORTOKEN and not token.string.isascii():
                yield Finding(token.start[0], "name", f"{token.string!r} is no part of Python; remove it")
            inside += (kind == "FSTRING_START") - (kind == "FSTRING_END")
            is_template = inside > 0 or kind.startswith("FSTRING") or _is_template(token)
            for number in sorted(long & set(range(token.start[0], token.end[0] + 1))):
                if token.end[0] == number and token.end[1] <= MAX_LINE:
                    continue
                rest = lines[number - 1][MAX_LINE:]
                if is_template:
                    is_shown = not set("{}") & set(PLAIN_FIELD.sub("", rest))
                else:
                    is_shown = kind in TEXTS or token.string in CLOSERS
                if not is_shown and number != seen:
                    seen = number
                    yield _too_long(lines, number)
        is_whole = True
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass  # the parser says it better
    if not is_whole:
        yield from (_too_long(lines, number) for number in sorted(long))


def _is_template(token: tokenize.TokenInfo) -> bool:
    """Whether a token is a whole f-string, as before Python 3.12."""
    return token.type == tokenize.STRING and "f" in token.string.partition(token.string[-1])[0].lower()


def _too_long(lines: list[str], number: int) -> Finding:
    return Finding(
        number,
        "line-length",
        f"has {len(lines[number - 1])} characters, and code beyond the {MAX_LINE}th, where nobody looks; "
        "break it into lines of at most 120",
    )
