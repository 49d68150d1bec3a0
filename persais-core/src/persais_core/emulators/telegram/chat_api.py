"""The human side of the chat: what the page, the terminal and the tests call under `/chat/api/`.

Every call carries the client key. Who speaks is said in the call: by default the one person a newcomer is, and under
other ids the strangers a test needs; a person's id is also the id of their private chat.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from persais_core.domain.chats import LOCAL_PERSON, Value
from persais_core.emulators.telegram import delivery, door, refusals, store, streams, views, wording
from persais_core.emulators.telegram.values import ChatEvent, History

PAGE = 200  # messages told at once
MAX_SEND = 1_000_000  # characters, before they are split into messages

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_SAMPLES = {
    "document": ("notes.txt", "text/plain", b"A small file from the local chat.\n"),
    "photo": ("photo.png", "image/png", _PIXEL),
    "voice": ("voice.ogg", "audio/ogg", b"OggS" + bytes(60)),
}


class Speaker(Value):
    """Who speaks; a bare number in the call is read as the id alone."""

    id: int = Field(default=LOCAL_PERSON, gt=0, lt=2**52)
    name: str | None = Field(default=None, max_length=64)


class _Send(Value):
    text: str = Field(default="", max_length=MAX_SEND)
    user: Speaker = Speaker()
    attachment: Literal["voice", "photo", "document"] | None = None


class _Press(Value):
    message_id: int
    data: str
    user: Speaker = Speaker()


class _Language(Value):
    language_code: str = Field(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    is_guess: bool = False
    user: Speaker = Speaker()


T = TypeVar("T", bound=Value)
Endpoint = Callable[[Request], Awaitable[Response]]


class ChatApi:
    """Answers the calls of the human side.

    Args:
        key: the client key all calls must carry.
        name: the bot's name, for the header of the page.
        local_name: of the person at this computer, as long as no client tells another; empty where it is not known.
    """

    def __init__(
        self,
        *,
        key: str,
        name: str,
        local_name: str,
        memory: store.Store,
        stream: streams.Streams,
        way: delivery.Delivery,
    ) -> None:
        self._key, self._name, self._local_name = key, name, local_name
        self._memory, self._streams, self._delivery = memory, stream, way

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint that answers 401 without the key, and problems as `{"error": {"code", "message"}}`."""

        async def answer(request: Request) -> Response:
            try:
                if not door.has_key(request, self._key):
                    raise HTTPException(401, "key: open the chat with the link that the terminal printed")
                return await endpoint(request)
            except HTTPException as error:
                code, _, message = error.detail.partition(": ")
                return JSONResponse({"error": {"code": code, "message": message}}, error.status_code)
            except refusals.ClosedError as error:
                return JSONResponse({"error": {"code": "closed", "message": str(error)}}, 503)

        return answer

    async def send(self, request: Request) -> Response:
        """Say something; answers with the stored messages, of which a long text makes several."""
        said = await _body(request, _Send)
        texts = wording.split(wording.clean(said.text.replace("\r\n", "\n")).strip())
        if not texts and not said.attachment:
            raise HTTPException(400, "empty: write something first")
        person = self._meet(said.user)
        contents: list[dict[str, Any]] = [_marked("text", "entities", text) for text in texts]
        if said.attachment:
            caption = texts[0] if texts and wording.units(texts[0]) <= wording.MAX_CAPTION else ""
            attached = self._attachment(said.attachment)
            contents = [attached | (_marked("caption", "caption_entities", caption) if caption else {})] + (
                contents[1:] if caption else contents
            )
        messages = []
        for content in contents:
            body = {"from": views.user(person), "chat": views.chat(person), "date": int(time.time()), **content}
            stored = self._memory.add_message(person.id, body, from_bot=False, announce=True)
            message = views.message(stored, self._memory)
            self._streams.publish(person.id, ChatEvent(kind="message", message=message))
            messages.append(message.model_dump(mode="json"))
        self._delivery.wake()
        return JSONResponse({"message": messages[-1], "messages": messages})

    async def press(self, request: Request) -> Response:
        """Tap a button; an error answer when the message or the button is not there any more."""
        tapped = await _body(request, _Press)
        person = self._meet(tapped.user)
        message = self._memory.message(person.id, tapped.message_id)
        if message is None:
            raise HTTPException(404, "gone: the message is not there any more")
        rows = message.body.get("reply_markup", {}).get("inline_keyboard", ())
        if not any(button.get("callback_data") == tapped.data for row in rows for button in row):
            raise HTTPException(409, "gone: the message has no such button any more")
        query = {
            "from": views.user(person),
            "message": message.body,
            "chat_instance": str(person.id),
            "data": tapped.data,
        }
        callback_id = self._memory.tap(message, query)
        self._delivery.wake()
        return JSONResponse({"callback_id": callback_id, "revision": self._memory.note("revision")})

    async def language(self, request: Request) -> Response:
        """Set the language a person's client tells the bot; a guess does not change one that was set before.

        A person has one language, whatever many windows they have open: all are told, and the answer says which it is.
        """
        wanted = await _body(request, _Language)
        known = self._memory.person(wanted.user.id)
        is_kept = wanted.is_guess and known is not None and known.language != ""
        person = self._meet(wanted.user, language=None if is_kept else wanted.language_code)
        if not is_kept:
            event = ChatEvent(
                kind="commands", commands=views.commands(self._memory, person.id), language=person.language
            )
            self._streams.publish(person.id, event)
        return JSONResponse({"language_code": person.language})

    async def history(self, request: Request) -> Response:
        """Messages of a chat, oldest first: the newest, or those before `?before=`."""
        user_id = _number(request, "user", LOCAL_PERSON)
        found, has_earlier = self._memory.messages(
            user_id,
            limit=min(max(_number(request, "limit", PAGE), 1), PAGE),
            before=_number(request, "before", 2**62),
        )
        history = History(messages=tuple(views.message(item, self._memory) for item in found), has_earlier=has_earlier)
        return Response(history.model_dump_json(), media_type="application/json")

    async def events(self, request: Request) -> Response:
        """The stream of a chat; the first event carries the chat as it stands."""
        user_id = _number(request, "user", LOCAL_PERSON)
        stream = self._streams.follow(
            user_id, picture=lambda: self._picture(user_id), is_online=lambda: self._delivery.is_bot_listening
        )
        return StreamingResponse(stream, media_type="text/event-stream")

    async def file(self, request: Request) -> Response:
        """Download a file of the chat."""
        found = self._memory.file(request.query_params.get("id", ""))
        if found is None:
            raise HTTPException(404, "gone: there is no such file")
        disposition = f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"
        # Never shown in place: a file is what some program wrote, and here it would run as our page.
        return Response(
            found.content, media_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    def _meet(self, speaker: Speaker, *, language: str | None = None) -> store.Person:
        """Note who speaks; the person at this computer has a name before any client tells one."""
        known, name = self._memory.person(speaker.id), speaker.name
        if not name and speaker.id == LOCAL_PERSON and not (known and known.name):
            name = self._local_name
        return self._memory.meet(speaker.id, name=name, language=language)

    def _picture(self, user_id: int) -> ChatEvent:
        found, has_earlier = self._memory.messages(user_id, limit=PAGE)
        return ChatEvent(
            kind="reset",
            messages=tuple(views.message(item, self._memory) for item in found),
            has_earlier=has_earlier,
            commands=views.commands(self._memory, user_id),
            language=person.language if (person := self._memory.person(user_id)) else "",
            answers=tuple(views.answer(key, item) for key, item in self._memory.answers(user_id).items()),
            bot=self._name,
            online=self._delivery.is_bot_listening,
        )

    def _attachment(self, kind: str) -> dict[str, Any]:
        stored = self._memory.add_file(*_SAMPLES[kind])
        if kind == "photo":
            return {"photo": [views.file(stored) | {"width": 1, "height": 1}]}
        if kind == "voice":
            return {"voice": views.file(stored) | {"duration": 1, "mime_type": stored.mime}}
        return {"document": views.document(stored)}


def _marked(text_name: str, entities_name: str, text: str) -> dict[str, Any]:
    entities = wording.marked(text, [])
    return {text_name: text, entities_name: entities} if entities else {text_name: text}


def _number(request: Request, name: str, default: int) -> int:
    raw = request.query_params.get(name, "")
    if not raw:
        return default
    if not re.fullmatch(r"\d{1,18}", raw):
        raise HTTPException(400, f"invalid: {name} must be a number")
    return int(raw)


async def _body(request: Request, kind: type[T]) -> T:
    # The content type keeps plain HTML forms of other pages out, whatever a browser thinks of origins.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "invalid: send JSON")
    try:
        raw = json.loads(await request.body())
        if isinstance(raw, dict) and isinstance(raw.get("user"), int):
            raw["user"] = {"id": raw["user"]}
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise HTTPException(400, f"invalid: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "invalid: send a JSON object") from None
