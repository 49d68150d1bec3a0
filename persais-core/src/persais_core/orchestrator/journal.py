"""/audit: the last acts, for admins, in the chat. What does not fit there comes along as a file.

Names of people, causes and the like are foreign words: they are shown as they are, on one line, with no markup read.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, get_args

from sqlalchemy import select
from sqlmodel import col

from persais_core import audit, checks, texts
from persais_core.coders import base
from persais_core.db.engine import Database
from persais_core.db.tables.people import Person
from persais_core.domain.chats import File, Language, Reply

if TYPE_CHECKING:
    from persais_core.db.tables.people import AuditEntry

USUAL = 15  # entries where no number is given
MAX_ENTRIES = 500
MAX_TEXT = 3000  # characters in the chat; one message takes 4,096
MAX_DETAIL = 60  # characters of one detail
MARKS = {"ok": "✅", "refused": "⛔", "failed": "❌"}
DETAILS = (
    "about", "agent", "arguments", "attempt", "branch", "button", "cap", "cause", "checks", "cost", "denied", "enabled",
    "files", "findings", "instead_of", "keywords", "kind", "lane", "max_tokens", "model", "origin", "pull_request",
    "round", "safe_mode", "spent", "status", "temperature", "tool", "visibility", "wanted",
)  # fmt: skip
"""Details there is a word for in the catalogues; one that is not here is shown as it is called."""
CODER_STATUSES: tuple[str, ...] = get_args(base.Status)
CHANGE = re.compile(r"change (\d+)")


async def answer(database: Database, *, words: str, language: Language) -> Reply:
    """The newest acts.

    Args:
        words: how many, a change such as #3, or a word that stands in what was done; in any order.
        language: of whoever reads it; the acts can be searched for in it.
    """
    wanted = _wanted(words, language)
    async with database.session() as session:
        entries = await audit.read(session, wanted)
        ids = {entry.actor for entry in entries if entry.actor is not None}
        found = await session.execute(select(col(Person.id), col(Person.name)).where(col(Person.id).in_(ids)))
        names = {row.id: row.name for row in found.all()}
    if not entries:
        return Reply(text=texts.say(language, "audit-empty"), plain=True)
    lines = [_line(entry, names, language) for entry in entries]
    shown = list(lines)
    while len("\n".join(shown)) > MAX_TEXT:
        shown.pop(0)
    header = texts.say(language, "audit-title", count=len(shown))
    file = File(name="audit.txt", text="\n".join(lines) + "\n") if len(shown) < len(lines) else None
    return Reply(text="\n".join([header, *shown]), plain=True, file=file)


def _wanted(words: str, language: Language) -> audit.Wanted:
    wanted, rest = audit.Wanted(limit=USUAL), []
    for word in words.split():
        if re.fullmatch(r"[0-9]{1,9}", word):
            wanted = dataclasses.replace(wanted, limit=min(max(int(word), 1), MAX_ENTRIES))
        elif re.fullmatch(r"#[0-9]{1,9}", word):
            wanted = dataclasses.replace(wanted, change=int(word[1:]))
        else:
            rest.append(word)
    if not rest:
        return wanted
    word = " ".join(rest)
    called = tuple(act for act in audit.ACTS if word.casefold() in _act(act, language).casefold())
    return dataclasses.replace(wanted, word=word, actions=called)


def _line(entry: AuditEntry, names: Mapping[int, str], language: Language) -> str:
    who = texts.say(language, "audit-bot")
    if entry.actor is not None:
        who = " ".join(filter(None, (names.get(entry.actor, "")[:30], f"({entry.actor})")))
    mark = "🚨" if entry.alarm else MARKS.get(entry.outcome, "")
    about = CHANGE.sub(r"#\1", entry.subject)
    parts = [
        f"{entry.at.astimezone(UTC):%m-%d %H:%M} {mark} {_act(entry.action, language)}",
        about,
        who,
        (entry.commit or "")[:10],
        *_details(entry, language),
    ]
    return texts.printable(" · ".join(part for part in parts if part))


def _details(entry: AuditEntry, language: Language) -> Sequence[str]:
    shown = []
    for name, value in entry.detail.items():
        if name.startswith(audit.HIDDEN) or value in (None, "", []):
            continue
        called = texts.say(language, f"detail-{name.replace('_', '-')}") if name in DETAILS else name
        text = _value(name, value, language)
        shown.append(f"{called}: {text if len(text) <= MAX_DETAIL else f'{text[:MAX_DETAIL]}…'}")
    return shown


def _value(name: str, value: object, language: Language) -> str:
    """The value of a detail in the reader's words, as far as it is one of ours."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(_value(name, one, language) for one in value)
    if isinstance(value, bool):
        return texts.say(language, "detail-yes" if value else "detail-no")
    if name == "checks" and value in checks.ORDER:
        return texts.say(language, f"check-{value}")
    if name == "status" and value in CODER_STATUSES:
        return texts.say(language, f"coder-status-{str(value).replace('_', '-')}")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _act(action: str, language: Language) -> str:
    """An act in the reader's language; those of other rooms as they are called in the log."""
    name = f"act-{re.sub('[ _]', '-', action)}"
    return texts.say(language, name) if action in audit.ACTS else action
