"""What a model thought aloud before its answer.

Some servers pass on what stands between `<think>` and `</think>` instead of keeping it apart. It is nobody's answer: a
person who reads it takes it for one, and so does the same model when it stands in the history.
"""

from __future__ import annotations

import re

_OPENS = re.compile(r"\s*<(think|thinking|thought|thoughts|reasoning)>", re.IGNORECASE)
# Templates of some models open the thoughts themselves, so that the text has their end only, on a line of its own.
_ENDS_ALONE = re.compile(r"^[ \t]*</think(?:ing)?>[ \t]*$", re.MULTILINE | re.IGNORECASE)


def without(text: str) -> str:
    """A model's text without the thoughts that it begins with.

    Returns:
        The text as it is where it begins with none; empty where it is nothing but thoughts, also such that were cut
        off before their end.
    """
    at = 0
    while opened := _OPENS.match(text, at):
        closed = re.compile(rf"</{opened[1]}>", re.IGNORECASE).search(text, opened.end())
        at = closed.end() if closed else len(text)
    if at == 0 and (ended := _ENDS_ALONE.search(text)) and "<think" not in text[: ended.start()].lower():
        at = ended.end()
    return text[at:].lstrip() if at else text
