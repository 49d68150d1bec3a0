"""What the emulator remembers: people, messages, files, taps, commands, and the updates no bot has confirmed yet.

One SQLite file (or memory), one connection, used from the event loop only: every call is a few microseconds of work on
a handful of rows, and a method is one transaction, so a message and the update that announces it are stored together
or not at all. Update ids begin at the clock's seconds: an emulator started afresh never repeats an id that a bot with a
longer memory has already seen.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persais_core.emulators.telegram import refusals

KEPT_ANSWERS = 50  # taps of one chat whose answers are told to a reader that was away

_SCHEMA = """
create table if not exists people(id integer primary key, name text not null, language text not null);
create table if not exists messages(id integer primary key autoincrement, chat_id integer not null,
  from_bot integer not null, revision integer not null, body text not null);
create index if not exists messages_of_chat on messages(chat_id, id);
create table if not exists updates(id integer primary key autoincrement, kind text not null, body text not null);
create table if not exists taps(id text primary key, at real not null, chat_id integer not null, answer text);
create table if not exists commands(scope text not null, language text not null, body text not null,
  primary key(scope, language));
create table if not exists files(id text primary key, name text not null, mime text not null, content blob not null);
create table if not exists notes(name text primary key, body text not null);
"""


@dataclass(frozen=True)
class Person:
    """Somebody who has written to the bot; the id of the private chat is the person's.

    Args:
        name: empty where none was told.
        language: IETF tag; empty where none was told.
    """

    id: int
    name: str
    language: str


@dataclass(frozen=True)
class StoredMessage:
    """One message; `body` is its Bot API form."""

    id: int
    chat_id: int
    from_bot: bool
    revision: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class StoredFile:
    """A file somebody sent."""

    id: str
    name: str
    mime: str
    content: bytes


class Store:
    """The emulator's memory.

    Args:
        path: SQLite file, made readable by its owner only; None keeps everything in memory.

    Raises:
        ChatStateError: the file is no such store.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._open: sqlite3.Connection | None = sqlite3.connect(path or ":memory:", check_same_thread=False)
            self._db.execute("pragma journal_mode=wal")
            # Enough for a killed process; only a power cut could lose the last lines of a local chat.
            self._db.execute("pragma synchronous=normal")
            self._db.executescript(_SCHEMA)
            with self._db:
                self._db.execute(
                    "insert into sqlite_sequence(name, seq) select 'updates', ?"
                    " where not exists (select 1 from sqlite_sequence where name = 'updates')",
                    (int(time.time()) - 1_000_000_000,),
                )
        except sqlite3.Error as error:
            raise refusals.ChatStateError(
                f"{path} cannot be used as the memory of the local chat ({error}); move it away to start an empty chat"
            ) from error

    def close(self) -> None:
        """Close the file; everything else raises ClosedError afterwards, closing again does nothing."""
        if self._open:
            self._open.close()
            self._open = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._open is None:
            raise refusals.ClosedError
        return self._open

    def person(self, user_id: int) -> Person | None:
        """Somebody by id, or None when they never wrote."""
        row = self._db.execute("select id, name, language from people where id = ?", (user_id,)).fetchone()
        return Person(*row) if row else None

    def meet(self, user_id: int, *, name: str | None = None, language: str | None = None) -> Person:
        """Note a person, with what is new about them."""
        known = self.person(user_id) or Person(user_id, "", "")
        person = Person(user_id, name or known.name, language or known.language)
        with self._db:
            self._db.execute(
                "insert or replace into people values (?, ?, ?)", (person.id, person.name, person.language)
            )
        return person

    def message(self, chat_id: int, message_id: int) -> StoredMessage | None:
        """One message, or None when there is none (any more)."""
        rows = self._db.execute(
            "select id, chat_id, from_bot, revision, body from messages where chat_id = ? and id = ?",
            (chat_id, message_id),
        )
        return next(_messages(rows), None)

    def messages(self, chat_id: int, *, limit: int, before: int | None = None) -> tuple[list[StoredMessage], bool]:
        """The newest messages of a chat, oldest first, and whether there are earlier ones.

        Args:
            limit: how many at most.
            before: only those with a smaller id.
        """
        rows = self._db.execute(
            "select id, chat_id, from_bot, revision, body from messages where chat_id = ? and id < ?"
            " order by id desc limit ?",
            (chat_id, before if before is not None else 2**62, limit + 1),
        )
        found = list(_messages(rows))
        return found[:limit][::-1], len(found) > limit

    def add_message(
        self, chat_id: int, body: Mapping[str, Any], *, from_bot: bool, announce: bool = False
    ) -> StoredMessage:
        """Store a message.

        Args:
            body: its Bot API form without `message_id`.
            announce: whether it is news for the bot, so that an update is stored with it.
        """
        with self._db:
            revision = self._next_revision()
            row = self._db.execute(
                "insert into messages(chat_id, from_bot, revision, body) values (?, ?, ?, '')",
                (chat_id, from_bot, revision),
            )
            assert row.lastrowid is not None
            stored = StoredMessage(row.lastrowid, chat_id, from_bot, revision, {"message_id": row.lastrowid, **body})
            self._db.execute("update messages set body = ? where id = ?", (json.dumps(stored.body), stored.id))
            if announce:
                self._announce("message", stored.body)
        return stored

    def change_message(self, message: StoredMessage, body: Mapping[str, Any]) -> StoredMessage:
        """Replace the body of a message that exists."""
        with self._db:
            revision = self._next_revision()
            self._db.execute(
                "update messages set body = ?, revision = ? where id = ?", (json.dumps(body), revision, message.id)
            )
        return StoredMessage(message.id, message.chat_id, message.from_bot, revision, body)

    def delete_message(self, message: StoredMessage) -> None:
        """Forget a message; its id is not used again."""
        with self._db:
            self._db.execute("delete from messages where id = ?", (message.id,))

    def tap(self, message: StoredMessage, query: Mapping[str, Any]) -> str:
        """Store a tap on a button and the update for it; returns the id of the callback query."""
        tap_id = str(secrets.randbits(62))
        with self._db:
            self._db.execute(
                "insert into taps(id, at, chat_id) values (?, ?, ?)", (tap_id, time.time(), message.chat_id)
            )
            self._announce("callback_query", {"id": tap_id, **query})
        return tap_id

    def answer_tap(self, tap_id: str, answer: Mapping[str, Any]) -> int | None:
        """Note the bot's answer to a tap; returns the chat, or None when there was no such tap."""
        with self._db:
            row = self._db.execute(
                "update taps set answer = ? where id = ? returning chat_id", (json.dumps(answer), tap_id)
            ).fetchone()
        return int(row[0]) if row else None

    def answers(self, chat_id: int) -> dict[str, dict[str, Any]]:
        """The answers to the latest taps of a chat, oldest first."""
        rows = self._db.execute(
            "select id, answer from taps where chat_id = ? and answer is not null order by at desc limit ?",
            (chat_id, KEPT_ANSWERS),
        ).fetchall()
        return {tap_id: json.loads(answer) for tap_id, answer in reversed(rows)}

    def pending(self, limit: int, *, newest: bool = False) -> list[tuple[int, dict[str, Any]]]:
        """Unconfirmed updates with their ids, oldest first: the first `limit`, or the last."""
        order = "desc" if newest else "asc"
        rows = self._db.execute(f"select id, kind, body from updates order by id {order} limit ?", (limit,)).fetchall()
        return [(key, {"update_id": key, kind: json.loads(body)}) for key, kind, body in sorted(rows)]

    def pending_count(self) -> int:
        """How many updates wait."""
        return int(self._db.execute("select count(*) from updates").fetchone()[0])

    def confirm(self, below: int) -> None:
        """Forget the updates with an id below a number."""
        with self._db:
            self._db.execute("delete from updates where id < ?", (below,))

    def drop_pending(self) -> None:
        """Forget all waiting updates."""
        self.confirm(2**62)

    def set_commands(self, scope: str, language: str, commands: Any) -> None:
        """Store the menu of one scope and language; an empty one is removed."""
        with self._db:
            self._db.execute("delete from commands where scope = ? and language = ?", (scope, language))
            if commands:
                self._db.execute("insert into commands values (?, ?, ?)", (scope, language, json.dumps(commands)))

    def commands(self, scope: str, language: str) -> list[dict[str, str]]:
        """The menu of exactly one scope and language."""
        row = self._db.execute(
            "select body from commands where scope = ? and language = ?", (scope, language)
        ).fetchone()
        return list(json.loads(row[0])) if row else []

    def add_file(self, name: str, mime: str, content: bytes) -> StoredFile:
        """Keep a file under a new id."""
        stored = StoredFile(f"F{secrets.token_urlsafe(24)}", name, mime, content)
        with self._db:
            self._db.execute("insert into files values (?, ?, ?, ?)", (stored.id, name, mime, content))
        return stored

    def file(self, file_id: str) -> StoredFile | None:
        """A file by id."""
        row = self._db.execute("select id, name, mime, content from files where id = ?", (file_id,)).fetchone()
        return StoredFile(*row) if row else None

    def note(self, name: str) -> Any:
        """A remembered setting, None when it was never set."""
        row = self._db.execute("select body from notes where name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_note(self, name: str, body: Any) -> None:
        """Remember a setting; None forgets it."""
        with self._db:
            self._set_note(name, body)

    def _set_note(self, name: str, body: Any) -> None:
        self._db.execute("delete from notes where name = ?", (name,))
        if body is not None:
            self._db.execute("insert into notes values (?, ?)", (name, json.dumps(body)))

    def _next_revision(self) -> int:
        revision = int(self.note("revision") or 0) + 1
        self._set_note("revision", revision)
        return revision

    def _announce(self, kind: str, body: Mapping[str, Any]) -> None:
        wanted = self.note("allowed_updates")
        if not wanted or kind in wanted:
            self._db.execute("insert into updates(kind, body) values (?, ?)", (kind, json.dumps(body)))


def _messages(rows: Iterable[tuple[int, int, int, int, str]]) -> Iterator[StoredMessage]:
    return (StoredMessage(key, chat, bool(bot), revision, json.loads(body)) for key, chat, bot, revision, body in rows)
