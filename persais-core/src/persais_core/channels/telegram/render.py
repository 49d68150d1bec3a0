"""Our Markdown becomes what Telegram shows: plain text with entities, in pieces it accepts.

Entities rather than a parse mode: there is nothing to escape, so no text of a model or a user can be refused for its
formatting or smuggle any in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from persais_core.domain.chats import Reply

MAX_UTF16 = 4096  # units, Telegram's limit for one message
LESS_THAN = "\ufdd0"  # stands for `<` while Markdown is read; a code point that no text may use, one unit like `<`
Piece = tuple[str, list[dict[str, Any]]]


def pieces(reply: Reply) -> list[Piece]:
    """Split a reply into messages.

    Returns:
        (text, entities as the Bot API spells them), each text 1..4096 UTF-16 units; at least one.
    """
    if reply.plain or not reply.text.strip():
        return [(part, []) for part in _split_plain(reply.text)]
    from telegramify_markdown import RenderConfig, convert, split_entities

    config = RenderConfig()
    for level in range(1, 7):
        setattr(config.markdown_symbol, f"heading_level_{level}", "")  # else every heading gets an emoji
    config.markdown_symbol.unordered_list_item = "•"  # the library's own stands in few fonts
    # Markdown takes `<name>` for HTML, which the library drops: words that a person or a model wrote would be lost.
    text, entities = convert(reply.text.replace("<", LESS_THAN), latex_escape=False, config=config)
    text = text.replace(LESS_THAN, "<")
    for entity in entities:
        entity.url = entity.url and entity.url.replace(LESS_THAN, "<")
    if not text.strip():
        return [(part, []) for part in _split_plain(reply.text)]
    parts = split_entities(text, entities, MAX_UTF16)
    return [(part, [entity.to_dict() for entity in kept]) for part, kept in parts if part.strip()]


def _split_plain(text: str) -> Iterator[str]:
    """Cut at line ends where there are any, and never inside a character."""
    rest = text if text.strip() else "…"
    while _units(rest) > MAX_UTF16:
        taken, size = 0, 0
        for character in rest:
            size += 2 if ord(character) > 0xFFFF else 1
            if size > MAX_UTF16:
                break
            taken += 1
        line_end = rest.rfind("\n", taken // 2, taken)
        cut = line_end + 1 if line_end > 0 else taken
        if rest[:cut].strip():
            yield rest[:cut]
        rest = rest[cut:]
    if rest.strip():
        yield rest


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
