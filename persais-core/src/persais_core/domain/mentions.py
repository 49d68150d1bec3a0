"""Whether a name stands in a text as a word of its sentences.

A name inside a path, a file's name, an address, or what is quoted as code is spoken of and not to: it calls nobody. One
rule for all who look for names, so that a message means the same wherever it is read.
"""

from __future__ import annotations

import re

LONGEST_WORD = 500  # characters before and behind a name that are looked at; addresses can be long

# What is quoted as code is spoken of and not to. A backtick inside a word is an apostrophe.
_CODE = re.compile(r"```.*?(?:```|\Z)|(?<!\w)`[^`\n]+`(?!\w)", re.DOTALL)
# What the rest of a word holds that is no word of the sentence: a path or an address, a file's ending, a host.
_NO_WORD = re.compile(r"[/\\]|(?<!\.)\.(?=\w)|\w@\w")


def prose(text: str) -> str:
    """A text without code, casefolded, for `where`."""
    return _CODE.sub(" ", text).casefold()


def where(prose: str, name: str) -> int | None:
    """Where a name first stands as words of the sentence; None where it does not, or is empty.

    Args:
        prose: what the function of that name made.
        name: one word or several, in any case.
    """
    if not name:
        return None
    pattern = rf"(?<!\w){re.escape(name.casefold())}(?!\w)"
    return next((hit.start() for hit in re.finditer(pattern, prose) if _is_word(prose, *hit.span())), None)


def words(prose: str) -> dict[str, int]:
    """All words of the sentences, each with where it first stands."""
    found: dict[str, int] = {}
    for hit in re.finditer(r"\w+", prose):
        if hit[0] not in found and _is_word(prose, *hit.span()):
            found[hit[0]] = hit.start()
    return found


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether what stands there is more than a piece of something without blanks that is no word."""
    # The x stands for the name, which may be an address itself.
    ahead = f"{text[max(0, start - LONGEST_WORD) : start]}x".split()[-1]
    behind = f"x{text[end : end + LONGEST_WORD]}".split()[0]
    return not (_NO_WORD.search(ahead) or _NO_WORD.search(behind))
