"""Tables of Markdown that a phone can show.

A narrow table is shown as aligned columns. A wide one would be torn apart at the edge of the screen, and aligned
columns cannot hold links: such a table becomes a list, one row after the other, each cell behind its column's name.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

MAX_WIDTH = 40  # characters of a line of code that a phone shows without breaking it


def narrowed(markdown: str) -> str:
    """Markdown in which every wide table is a list."""
    if "|" not in markdown:
        return markdown
    import pyromark
    from telegramify_markdown.converter import STANDARD_OPTIONS

    source = markdown.encode("utf-8", "surrogatepass")
    rows: list[list[str]] = []
    has_links, begin, made, done = False, 0, [], 0
    for event, where in pyromark.events_with_range(markdown, options=STANDARD_OPTIONS):
        match _tag(event):
            case "Start", "Table":
                rows, has_links, begin = [], False, where["start"]
            case "Start", "TableHead" | "TableRow":
                rows.append([])
            case "Start", "TableCell":
                # The cell as it was written: what is formatted in it stays so.
                rows[-1].append(_slice(source, where).strip().strip("|").strip())
            case "Start", "Link" | "Image":
                has_links = True
            case "End", "Table":
                if rows and (has_links or _width(rows) > MAX_WIDTH):
                    made += [source[done:begin], _list(rows).encode("utf-8", "surrogatepass")]
                    done = where["end"]
    return b"".join([*made, source[done:]]).decode("utf-8", "surrogatepass")


def _tag(event: Any) -> tuple[str, str]:
    """(Start or End, name) of an event of the parser; two empty words for any other."""
    if isinstance(event, dict):
        for kind in ("Start", "End"):
            if kind in event:
                tag = event[kind]
                return kind, tag if isinstance(tag, str) else next(iter(tag))
    return "", ""


def _slice(source: bytes, where: Any) -> str:
    return source[where["start"] : where["end"]].decode("utf-8", "surrogatepass")


def _width(rows: list[list[str]]) -> int:
    """Characters of a line of the table as aligned columns."""
    columns = zip_longest(*rows, fillvalue="")
    return sum(max(map(len, column)) for column in columns) + 3 * (max(map(len, rows)) - 1)


def _list(rows: list[list[str]]) -> str:
    """A list with an item for each row, and its other cells under it, each behind the name of its column."""
    head, *body = rows
    if not body:
        return " | ".join(cell for cell in head if cell) + "\n\n"
    made = []
    for first, *others in body:
        title = f"**{first}**" if first and "*" not in first and "`" not in first else first or "—"
        lines = [_named(name, cell) for name, cell in zip_longest(head[1:], others, fillvalue="") if cell]
        made.append("\n".join([f"- {_named(head[0], title)}", *(f"  - {line}" for line in lines)]))
    return "\n".join(made) + "\n\n"


def _named(name: str, cell: str) -> str:
    return f"{name}: {cell}" if name else cell
