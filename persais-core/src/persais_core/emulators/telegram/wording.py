"""Text as Telegram counts, cleans and marks it.

Telegram measures in UTF-16 units, removes what cannot be shown, and marks links and commands by itself. A bot that
counts differently works until the first emoji, so the emulator is as strict as the real thing.
"""

from __future__ import annotations

import re
from typing import Any
from unicodedata import category

from persais_core.emulators.telegram import refusals

MAX_TEXT = 4096  # UTF-16 units of one message
MAX_CAPTION = 1024  # UTF-16 units under a file
MAX_ENTITIES = 100  # of one message; the service drops those beyond, without a word

UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # a text of nothing but these counts as empty
ENTITY_TYPES = frozenset(
    {
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
    }
)
OPAQUE_TYPES = frozenset({"code", "pre", "text_link", "url", "bot_command", "mention", "email"})

_UNSHOWN = dict.fromkeys((*range(9), *range(11, 32)), " ")
_UNSHOWN |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_URL = re.compile(r"https?://[^\s<>\"]+")
_COMMAND = re.compile(r"(?<![\w/@.:<>])/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]{3,32})?(?![\w/<>])")
_OTHER_SCHEME = re.compile(r"(?!https?:|tg:|mailto:)[a-z][a-z0-9+.-]*:(?!\d)", re.IGNORECASE)
_LINK = re.compile(r"(https?://|tg://|mailto:)?[^\s/]+\.[^\s]+|(https?|tg)://\S+|mailto:\S+", re.IGNORECASE)


def units(text: str) -> int:
    """Length of a text in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clean(text: str) -> str:
    """Replace control characters and broken surrogates, as the real server does; the length in units stays."""
    return text.translate(_UNSHOWN)


def split(text: str) -> list[str]:
    """Cut a long text as Telegram clients do: messages of at most 4096 units, cut after a line or word if possible."""
    pieces = []
    while units(text) > MAX_TEXT:
        end, width = 0, 0
        for character in text:
            width += 2 if ord(character) > 0xFFFF else 1
            if width > MAX_TEXT:
                break
            end += 1
        # A border in the last part of the piece; a wall of text without any is cut hard.
        border = max(text.rfind("\n", end // 2, end), -1)
        if border < 0:
            border = text.rfind(" ", end // 2, end)
        cut = border + 1 if border > 0 else end
        pieces.append(text[:cut].strip())
        text = text[cut:].strip()
    return [piece for piece in (*pieces, text) if piece]


def marked(text: str, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entities of a text with its bare links and `/commands` added, in order."""
    taken = [(item["offset"], item["offset"] + item["length"]) for item in entities if item["type"] in OPAQUE_TYPES]
    found = list(entities)
    for kind, pattern in (("url", _URL), ("bot_command", _COMMAND)):
        for match in pattern.finditer(text):
            shown = match.group().rstrip(".,;:!?)]}'»”") if kind == "url" else match.group()
            start, length = units(text[: match.start()]), units(shown)
            if all(start + length <= low or start >= high for low, high in taken):
                found.append({"type": kind, "offset": start, "length": length})
                taken.append((start, start + length))
    return sorted(found, key=lambda item: (item["offset"], -item["length"]))


def formatted(text: str, raw: Any, *, limit: int, too_long: str) -> tuple[str, list[dict[str, Any]]]:
    """Check a bot's text with its entities, and trim it.

    Args:
        text: as it came.
        raw: the decoded `entities` parameter, None when absent.
        limit: most UTF-16 units after trimming.
        too_long: description of the refusal beyond that.

    Returns:
        The text as it will be shown and its entities, those found in it included.

    Raises:
        RefusedError: an entity is malformed or out of range, or the text is too long.
    """
    text = clean(text)
    entities = _checked(text, raw)[:MAX_ENTITIES]
    first = min((item["offset"] for item in entities), default=len(text))
    # Leading space inside an entity is kept: it may be the indentation of a code block.
    lead = min(len(text) - len(text.lstrip()), first)
    body = text[lead:].rstrip()
    if not any(category(character) not in UNSEEN for character in body):
        body = ""
    if units(body) > limit:
        raise refusals.RefusedError(too_long)
    end = units(body)
    kept = []
    for item in entities:
        offset = item["offset"] - lead
        length = min(item["length"], end - offset)
        if length > 0:
            kept.append({**item, "offset": offset, "length": length})
    return body, marked(body, kept)


def _checked(text: str, raw: Any) -> list[dict[str, Any]]:
    if raw is None:
        return []
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise refusals.RefusedError("Bad Request: can't parse entities: expected an Array of MessageEntity")
    borders, at = {0}, 0
    for character in text:
        at += 2 if ord(character) > 0xFFFF else 1
        borders.add(at)
    entities = []
    for item in raw:
        kind, offset, length = item.get("type"), item.get("offset"), item.get("length")
        if kind not in ENTITY_TYPES:
            raise refusals.RefusedError("Bad Request: can't parse MessageEntity: Unsupported type specified")
        if type(offset) is not int or type(length) is not int or offset < 0 or length < 0:
            raise refusals.RefusedError("Bad Request: receive an entity with incorrect offset or length")
        if length == 0:
            continue
        if offset >= at:
            raise refusals.RefusedError(
                f"Bad Request: entity begins after the end of the text at UTF-16 offset {offset}"
            )
        if offset + length > at:
            raise refusals.RefusedError(
                f"Bad Request: entity beginning at UTF-16 offset {offset} ends after the end of the text at UTF-16 "
                f"offset {offset + length}"
            )
        if not {offset, offset + length} <= borders:
            raise refusals.RefusedError("Bad Request: entity begins or ends in a middle of a UTF-16 symbol")
        entity = {"type": kind, "offset": offset, "length": length}
        if kind == "text_link":
            url = item.get("url")
            if not isinstance(url, str):
                raise refusals.RefusedError("Bad Request: can't parse MessageEntity: Can't find field \"url\"")
            if not _LINK.fullmatch(url) or _OTHER_SCHEME.match(url):
                raise refusals.RefusedError(f"Bad Request: entity URL '{url}' is invalid: Wrong HTTP URL")
            entity["url"] = url if re.match(r"(https?|tg|mailto):", url, re.IGNORECASE) else f"http://{url}"
        elif kind == "pre" and isinstance(item.get("language"), str):
            entity["language"] = item["language"]
        elif kind == "text_mention":
            entity["user"] = item.get("user")
        elif kind == "custom_emoji":
            entity["custom_emoji_id"] = item.get("custom_emoji_id")
        entities.append(entity)
    return entities
