"""Our Markdown becomes what Telegram shows: plain text with entities, in pieces it accepts.

Entities rather than a parse mode: there is nothing to escape, so no text of a model or a user can be refused for its
formatting or smuggle any in. A long text is cut where a block ends, else where a line ends, else between words; what an
entity covers beyond the cut goes on with the same entity in the next piece, so a code block keeps its frame and its
language. What would fill a whole screen of messages comes as a file, with its beginning in the chat.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from unicodedata import category, combining

import structlog

from persais_core.channels.telegram import tables
from persais_core.domain.chats import File, Reply

log = structlog.get_logger(__name__)

MAX_UTF16 = 4096  # units, Telegram's limit for one message
MAX_CAPTION = 1024  # units, Telegram's limit under a file
MAX_ENTITIES = 90  # Telegram drops those beyond a hundred without a word, and finds some more by itself
MAX_PIECES = 4  # messages of one reply; what is longer comes as a file
MAX_MARKDOWN = 2 * MAX_PIECES * MAX_UTF16  # characters; to read it takes time that grows with the square of them
SHORTEST_PIECE = 0.4  # of the limit; a border before that is no good place to cut
REPLY_FILE = "reply.md"
Piece = tuple[str, list[dict[str, Any]]]

# What stands for two characters while Markdown is read: code points that no text may use, as long as these. The library
# takes `<name>` for HTML, and drops it; and it hides what stands between two `||`, which here are words like any other.
LESS_THAN, BAR = "\ufdd0", "\ufdd1"
_BORDERS = re.compile(r"\n{2,}|\n|[ \t]+")
# Marks of lists and quotes within each other, more than anybody reads: each costs the library a reading of the rest.
_DEEP = re.compile(r"^[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+|>[ \t]*){12}", re.MULTILINE)
_LINK = re.compile(r"(https?://|tg://|mailto:)[^\s]+|[^\s/:]+\.[^\s/]{2,}(/[^\s]*)?", re.IGNORECASE)
_LOCAL_NAME = re.compile(r"[^/]*\.(py|md|txt|json|ya?ml|toml|js|ts|html?|css|csv|sql|sh|png|jpe?g|svg|pdf)(#.*)?", re.I)
_JOINED = frozenset("\u200d\ufe0f\u20e3")  # what belongs to the character before it


@dataclass(frozen=True)
class Document:
    """A file, and what stands under it."""

    file: File
    caption: Piece = ("", [])


Part = Piece | Document


def parts(reply: Reply) -> list[Part]:
    """What a reply is sent as, in order; at least one."""
    if reply.file is None:
        if not reply.plain and len(reply.text) > MAX_MARKDOWN:
            begun = reply.model_copy(update={"text": reply.text[: MAX_PIECES * MAX_UTF16]})
            return [pieces(begun)[0], Document(File(name=REPLY_FILE, text=reply.text))]
        made = pieces(reply)
        if len(made) <= MAX_PIECES:
            return list(made)
        return [made[0], Document(File(name="reply.txt" if reply.plain else REPLY_FILE, text=reply.text))]
    if not is_shown(reply.text):
        return [Document(reply.file)]
    made = pieces(reply)
    if len(made) == 1 and units(made[0][0]) <= MAX_CAPTION:
        return [Document(reply.file, made[0])]
    return [*made, Document(reply.file)]


def pieces(reply: Reply) -> list[Piece]:
    """Split a reply into messages.

    Returns:
        (text, entities as the Bot API spells them), each text 1..4096 UTF-16 units and 100 entities at most; at least
        one piece.
    """
    text, entities = (reply.text, []) if reply.plain else _converted(reply.text)
    if not is_shown(text):
        text, entities = reply.text if is_shown(reply.text) else "…", []
    return list(_split(text, entities))


def units(text: str) -> int:
    """Length in UTF-16 units, which is what Telegram counts in."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _converted(markdown: str) -> Piece:
    """Markdown as text with entities; as it stands, where the library cannot read it, or not while everybody waits."""
    if len(markdown) > MAX_MARKDOWN or _DEEP.search(markdown):
        return markdown, []
    from telegramify_markdown import RenderConfig, convert

    config = RenderConfig.isolated()
    config.cite_expandable = False
    marks = config.markdown_symbol
    for level in range(1, 7):
        setattr(marks, f"heading_level_{level}", "")  # else every heading gets an emoji
    marks.unordered_list_item = "•"  # the library's own stands in few fonts
    marks.task_uncompleted = "⬜"  # the library's own has a tick in it
    try:
        text, found = convert(_hidden(tables.narrowed(markdown)), latex_escape=False, config=config)
    except Exception as error:  # of the library; how a text looks must not cost the text
        log.warning("markdown that could not be read is shown as it stands", error_type=type(error).__name__)
        return markdown, []
    entities = [
        {name: _shown(value) if isinstance(value, str) else value for name, value in item.items()}
        for item in (entity.to_dict() for entity in found)
    ]
    return _with_targets(_shown(text), _outermost(entities))


def _hidden(markdown: str) -> str:
    lines = markdown.replace("<", LESS_THAN).split("\n")
    # In a row of a table the two are an empty cell.
    return "\n".join(line if line.lstrip().startswith("|") else line.replace("||", BAR * 2) for line in lines)


def _shown(text: str) -> str:
    return text.replace(LESS_THAN, "<").replace(BAR, "|")


def _outermost(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what Telegram does not take: a quote within a quote."""
    kept: list[dict[str, Any]] = []
    quoted_to = 0
    for entity in sorted(entities, key=lambda item: (item["offset"], -item["length"])):
        if entity["type"] == "blockquote":
            if entity["offset"] < quoted_to:
                continue
            quoted_to = entity["offset"] + entity["length"]
        kept.append(entity)
    return kept


def _with_targets(text: str, entities: list[dict[str, Any]]) -> Piece:
    """Links that no client could follow, such as `./notes.md`, as words: their target behind them in brackets."""
    raw = text.encode("utf-16-le", "surrogatepass")
    kept, targets = [], []  # (where they go, in units, and their words), in the order of the text
    for entity in entities:
        url = entity.get("url")
        if url is None or (_LINK.fullmatch(url) and not _LOCAL_NAME.fullmatch(url)):
            kept.append(entity)
            continue
        end = entity["offset"] + entity["length"]
        label = raw[2 * entity["offset"] : 2 * end].decode("utf-16-le", "surrogatepass")
        if not url or url == label:
            continue
        targets.append((end, f" ({url})".encode("utf-16-le", "surrogatepass")))
    targets.sort(key=lambda target: target[0])
    places = [place for place, _ in targets]
    grown = list(accumulate((len(words) // 2 for _, words in targets), initial=0))
    for entity in kept:
        begin, end = entity["offset"], entity["offset"] + entity["length"]
        entity["offset"] = begin + grown[bisect_right(places, begin)]
        entity["length"] = end + grown[bisect_left(places, end)] - entity["offset"]
    bounds = itertools.pairwise([0, *(2 * place for place in places), len(raw)])
    pieces = [raw[begin:end] for begin, end in bounds]
    words = [*(words for _, words in targets), b""]
    return b"".join(map(bytes.__add__, pieces, words)).decode("utf-16-le", "surrogatepass"), kept


def _split(text: str, entities: list[dict[str, Any]]) -> Iterator[Piece]:
    """The pieces of a text; joined they are the text, but for pieces that would show nothing."""
    at = list(accumulate((2 if ord(c) > 0xFFFF else 1 for c in text), initial=0))
    spans = [(entity, entity["offset"], entity["offset"] + entity["length"]) for entity in entities]
    start = 0
    while start < len(text):
        end = _end(text, at, spans, start)
        low, high = at[start], at[end]
        if is_shown(text[start:end]):
            yield (
                text[start:end],
                [
                    {**entity, "offset": max(begin, low) - low, "length": min(close, high) - max(begin, low)}
                    for entity, begin, close in spans
                    if begin < high and close > low
                ],
            )
        start = end


def _end(text: str, at: list[int], spans: list[tuple[dict[str, Any], int, int]], start: int) -> int:
    """Where the piece that begins at a character ends."""
    limit = bisect_right(at, at[start] + MAX_UTF16) - 1
    begun = sorted(begin for _, begin, close in spans if close > at[start])
    if len(begun) > MAX_ENTITIES:
        # Those that begin before this piece count too, and one that begins at its end does not.
        limit = max(min(limit, bisect_right(at, begun[MAX_ENTITIES]) - 1), start + 1)
    if limit >= len(text):
        return len(text)
    earliest = bisect_right(at, at[start] + int((at[limit] - at[start]) * SHORTEST_PIECE))
    blocks = [(begin, close) for entity, begin, close in spans if entity["type"] in ("pre", "blockquote")]
    best, worth = 0, -1
    for border in _BORDERS.finditer(text, start, limit):
        cut = border.end()
        # A border that the limit cuts short is none: the rest of it would begin the next piece.
        if cut < earliest or (cut == limit and text[cut - 1] == text[cut]):
            continue
        is_inside = any(begin < at[cut] < close for begin, close in blocks)
        lines = border.group().count("\n")
        value = 0 if not lines else (2 if lines == 1 else 3) if is_inside else (4 if lines == 1 else 5)
        if value >= worth:
            best, worth = cut, value
    if worth >= 0:
        return best
    cut = limit
    while cut > start + 1 and (text[cut] in _JOINED or text[cut - 1] == "\u200d" or combining(text[cut])):
        cut -= 1
    return cut if cut > start + 1 else limit


def is_shown(text: str) -> bool:
    """Whether there is anything to see in a text; Telegram refuses one that has nothing but spaces and marks."""
    return any(category(character) not in ("Cc", "Cf", "Zs", "Zl", "Zp") for character in text)
