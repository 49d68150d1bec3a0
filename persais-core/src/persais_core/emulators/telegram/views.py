"""How stored things look: to the bot as Bot API objects, to people as the values of `values.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from persais_core.domain.chats import LOCAL_PERSON, Button
from persais_core.emulators.telegram import store
from persais_core.emulators.telegram.values import Attachment, ChatMessage, Entity, MenuCommand, PressAnswer

_NAMELESS = {"en": ("Owner", "Guest"), "ru": ("Владелец", "Гость")}
"""What those are called who have no name: the person at this computer, and others. It is said to and about them."""


def chat(person: store.Person) -> dict[str, Any]:
    """The private chat with a person, for the bot."""
    return {"id": person.id, "first_name": _name(person), "type": "private"}


def user(person: store.Person) -> dict[str, Any]:
    """A person, for the bot."""
    language = person.language or "en"
    return {"id": person.id, "is_bot": False, "first_name": _name(person), "language_code": language}


def file(stored: store.StoredFile) -> dict[str, Any]:
    """A file, for the bot."""
    return {"file_id": stored.id, "file_unique_id": f"U{stored.id[-16:]}", "file_size": len(stored.content)}


def document(stored: store.StoredFile) -> dict[str, Any]:
    """A file as a document, for the bot."""
    return file(stored) | {"file_name": stored.name, "mime_type": stored.mime}


def message(stored: store.StoredMessage, memory: store.Store) -> ChatMessage:
    """A message, for people."""
    body = stored.body
    attached = _attachment(body, memory)
    entities = body.get("caption_entities" if attached else "entities", ())
    rows = body.get("reply_markup", {}).get("inline_keyboard", ())
    return ChatMessage(
        id=stored.id,
        text=body.get("caption" if attached else "text", ""),
        entities=tuple(
            Entity(
                type=item["type"],
                offset=item["offset"],
                length=item["length"],
                url=item.get("url"),
                language=item.get("language"),
            )
            for item in entities
        ),
        buttons=tuple(
            tuple(Button(text=item["text"], data=item.get("callback_data"), url=item.get("url")) for item in row)
            for row in rows
        ),
        from_bot=stored.from_bot,
        edited="edit_date" in body,
        date=datetime.fromtimestamp(body["date"], UTC),
        revision=stored.revision,
        attachment=attached,
    )


def answer(tap_id: str, stored: Mapping[str, Any]) -> PressAnswer:
    """The answer to a tap, for people."""
    return PressAnswer(callback_id=tap_id, text=stored["text"], alert=stored["alert"], url=stored["url"])


def scope(kind: str, chat_id: int | None = None) -> str:
    """The key under which the menu of one command scope is stored."""
    return kind if chat_id is None else f"{kind}:{chat_id}"


def commands(memory: store.Store, user_id: int) -> tuple[MenuCommand, ...]:
    """The command menu a person sees: the narrowest scope that has one, in their language or in none."""
    person = memory.person(user_id)
    language = (person.language if person else "").split("-")[0] or "en"
    for key in (scope("chat", user_id), scope("all_private_chats"), scope("default")):
        for code in (language, ""):
            if found := memory.commands(key, code):
                return tuple(MenuCommand(command=item["command"], description=item["description"]) for item in found)
    return ()


def _name(person: store.Person) -> str:
    owner, guest = _NAMELESS["ru" if person.language.lower().startswith("ru") else "en"]
    return person.name or (owner if person.id == LOCAL_PERSON else guest)


def _attachment(body: Mapping[str, Any], memory: store.Store) -> Attachment | None:
    for kind in ("document", "voice", "photo"):
        if kind not in body:
            continue
        sent = body[kind][-1] if kind == "photo" else body[kind]
        stored = memory.file(sent["file_id"])
        name, mime = (stored.name, stored.mime) if stored else (kind, "application/octet-stream")
        return Attachment(kind=kind, name=name, size=sent["file_size"], mime=mime, file_id=sent["file_id"])
    return None
