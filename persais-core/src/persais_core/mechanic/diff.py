"""[Diff]: the change in the chat, as coloured code blocks that are paged with buttons; a long one also as a file."""

from __future__ import annotations

from persais_core import texts
from persais_core.domain.changes import Change
from persais_core.domain.chats import Button, File, Language, Reply

PAGE = 3000  # characters; with its frame it fits one message
LONG = 3  # pages; a longer diff comes as a file too
PRESS = "d:"
"""Start of the data of the paging buttons: `d:<change>:<page>`."""


def pages(diff: str) -> list[str]:
    """A unified diff cut into pages, at line ends, a new file never at the end of a page."""
    made: list[str] = []
    page = ""
    for line in diff.splitlines():
        line = line[:PAGE]
        starts_file = line.startswith("diff --git") and len(page) > PAGE * 2 // 3
        if page and (starts_file or len(page) + len(line) + 1 > PAGE):
            made.append(page)
            page = ""
        page += line + "\n"
    return [*made, page] if page else made


def reply(change: Change, diff: str, number: int, language: Language) -> Reply:
    """One page of a diff, with the buttons that turn it.

    Args:
        number: from 1; one beyond the end shows the last page.
    """
    parts = pages(diff) or [""]
    number = max(1, min(number, len(parts)))
    title = texts.say(language, "diff-title", change=change.id, page=number, pages=len(parts))
    # A fence longer than any in the diff, so that nothing in it ends the block.
    fence = "`" * max(3, _longest_run(parts[number - 1]) + 1)
    row = []
    if number > 1:
        row.append(Button(text="‹", data=f"{PRESS}{change.id}:{number - 1}"))
    if number < len(parts):
        row.append(Button(text="›", data=f"{PRESS}{change.id}:{number + 1}"))
    return Reply(text=f"{title}\n{fence}diff\n{parts[number - 1]}{fence}", buttons=(tuple(row),) if row else ())


def file(change: Change, diff: str, language: Language) -> Reply | None:
    """The whole diff as a file, where it is long."""
    if len(pages(diff)) <= LONG:
        return None
    name = f"change-{change.id}.diff"
    return Reply(text=texts.say(language, "diff-file", change=change.id), file=File(name=name, text=diff), plain=True)


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
