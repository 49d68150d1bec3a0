"""The page of a local pull request: its request, plan and checks, and the diff, for whoever holds its link.

What stands around these is in the language that the browser asks for.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from persais_core import texts
from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.chats import Language

Page = Callable[[int, str], Awaitable[tuple[PullRequest, str] | None]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAX_ACCEPTED = 200  # characters of what a browser says of its languages
_MARKED = re.compile(r"\\([!-/:-@\[-`{-~])")  # escaped for pages that render Markdown, which this one does not
_NUMBER = re.compile(r"[0-9]{1,18}")  # what a bigint surely holds
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def routes(page: Page) -> list[Route]:
    """`/pulls/{number}?key=…` and its style sheet.

    Args:
        page: a pull request and its unified diff, or None for a wrong number or key.
    """
    folder = resources.files(__name__)
    template = jinja2.Environment(autoescape=True).from_string((folder / "pull.html.jinja").read_text("utf-8"))
    style = (folder / "pull.css").read_text("utf-8")

    async def pull(request: Request) -> Response:
        number = request.path_params["number"]
        found = await page(int(number), request.query_params.get("key", "")) if _NUMBER.fullmatch(number) else None
        if found is None:
            return Response("Not found", 404, headers=HEADERS, media_type="text/plain")
        row, diff = found
        language = _language(request.headers.get("Accept-Language", ""))
        html = template.render(
            pull=row,
            text=_MARKED.sub(r"\1", row.body),
            files=_files(diff),
            language=language,
            named=texts.say(language, "page-pull-request", number=row.number),
            state=texts.say(language, f"page-state-{row.state}"),
            nothing=texts.say(language, "page-nothing"),
        )
        return Response(html, headers=HEADERS | {"Vary": "Accept-Language"}, media_type="text/html")

    async def css(request: Request) -> Response:
        return Response(style, headers={"X-Content-Type-Options": "nosniff"}, media_type="text/css")

    return [Route("/pulls/pull.css", css, methods=["GET"]), Route("/pulls/{number}", pull, methods=["GET"])]


def _language(accepted: str) -> Language:
    """The first language of ours that a browser asks for; browsers name the one they like best first."""
    wanted = (tag.partition(";")[0].strip().lower() for tag in accepted[:MAX_ACCEPTED].split(","))
    known = next((tag for tag in wanted if tag.split("-")[0] in texts.LANGUAGES), None)
    return texts.language_of(known)


def _files(diff: str) -> list[dict[str, Any]]:
    """The diff as files of numbered lines: (kind, old number, new number, text)."""
    files: list[dict[str, Any]] = []
    old = new = 0
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            files.append({"path": line.rpartition(" b/")[2], "lines": [], "added": 0, "removed": 0})
        elif not files or line.startswith(("index ", "--- ", "+++ ", "new file", "deleted file", "similarity")):
            continue
        elif match := _HUNK.match(line):
            old, new = int(match[1]), int(match[2])
            files[-1]["lines"].append(("hunk", "", "", line))
        elif line.startswith("+"):
            files[-1]["lines"].append(("added", "", new, line[1:]))
            files[-1]["added"] += 1
            new += 1
        elif line.startswith("-"):
            files[-1]["lines"].append(("removed", old, "", line[1:]))
            files[-1]["removed"] += 1
            old += 1
        elif line.startswith(" "):
            files[-1]["lines"].append(("same", old, new, line[1:]))
            old, new = old + 1, new + 1
    return files
