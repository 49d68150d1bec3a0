"""The Bot API: what the bot may call, with the checks and the words of the real service.

Each method is a coroutine named after it. A change to a chat goes into the store first and to the open pages after
that, so that a page which connects in between sees it once.
"""

from __future__ import annotations

import inspect
import mimetypes
import re
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from persais_core.domain.chats import LOCAL_PERSON
from persais_core.emulators.telegram import calls, delivery, refusals, store, streams, views, wording
from persais_core.emulators.telegram.values import ChatEvent

MAX_POLL_LIMIT = 100  # updates
MAX_POLL_TIMEOUT = 50.0  # seconds
ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)

_NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

Method = Callable[[calls.Call], Awaitable[Any]]


class _LostAnswer(Response):
    """A connection that ends in the middle of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})


class BotApi:
    """Answers `/bot<token>/<method>`.

    Args:
        token: the only one that is let in.
        name: of the bot, as getMe tells it.
    """

    def __init__(
        self, *, token: str, name: str, memory: store.Store, stream: streams.Streams, way: delivery.Delivery
    ) -> None:
        self._token, self._name = token, name
        self._memory, self._streams, self._delivery = memory, stream, way
        self._failures: dict[str, deque[calls.Failure]] = {}
        self._methods: dict[str, Method] = {
            method.__name__.removeprefix("_do_").lower(): method
            for _, method in inspect.getmembers(self, inspect.iscoroutinefunction)
            if method.__name__.startswith("_do_")
        }

    @property
    def me(self) -> dict[str, Any]:
        """The bot as a user of the service."""
        number = self._token.partition(":")[0]
        username = re.sub(r"[^a-z0-9]+", "_", self._name.lower()).strip("_").removesuffix("_bot") or "local"
        return {
            "id": int(number) if number.isdigit() else 1,
            "is_bot": True,
            "first_name": self._name,
            "username": f"{username}_bot",
        }

    def fail_next(self, method: str, failure: calls.Failure, times: int) -> None:
        """Let the next calls of a method fail."""
        self._failures.setdefault(method.lower(), deque()).extend([failure] * times)

    async def answer(self, request: Request) -> Response:
        """Answer one call; a refusal is an answer with its own status."""
        try:
            if not self._may_enter(request):
                raise refusals.RefusedError("Unauthorized", error_code=401)
            name = request.path_params["method"].lower()
            method = self._methods.get(name)
            if method is None:
                raise refusals.RefusedError("Not Found: method not found", error_code=404)
            # After a restart nobody sets the webhook again: the first sign of the bot starts the posting.
            self._delivery.start_posting()
            call = await calls.read(request)
            planned = self._failures.get(name)
            failure = planned.popleft() if planned else None
            if failure is not None and not failure.is_answer_lost:
                raise refusals.RefusedError(
                    failure.description,
                    error_code=failure.error_code,
                    retry_after=failure.retry_after,
                    migrate_to=failure.migrate_to,
                )
            answer = JSONResponse({"ok": True, "result": await method(call)})
            return answer if failure is None else _LostAnswer()
        except refusals.RefusedError as error:
            body = {"ok": False, "error_code": error.error_code, "description": error.description}
            parameters = {"retry_after": error.retry_after, "migrate_to_chat_id": error.migrate_to}
            if told := {name: value for name, value in parameters.items() if value is not None}:
                body["parameters"] = told
            return JSONResponse(body, error.error_code)
        except refusals.ClosedError:
            return JSONResponse({"ok": False, "error_code": 502, "description": "Bad Gateway"}, 502)

    async def download(self, request: Request) -> Response:
        """Answer `/file/bot<token>/<file_path>`."""
        found = self._memory.file(PurePosixPath(request.path_params["path"]).stem)
        if not self._may_enter(request) or found is None:
            return JSONResponse({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        return Response(found.content, media_type="application/octet-stream")

    def _may_enter(self, request: Request) -> bool:
        return secrets.compare_digest(request.path_params["token"].encode(), self._token.encode())

    # --- about the bot -----------------------------------------------------------------------------------------------

    async def _do_getMe(self, call: calls.Call) -> Any:
        return self.me | {
            "can_join_groups": False,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    async def _do_logOut(self, call: calls.Call) -> Any:
        return True

    async def _do_close(self, call: calls.Call) -> Any:
        return True

    # --- updates -----------------------------------------------------------------------------------------------------

    async def _do_getUpdates(self, call: calls.Call) -> Any:
        self._note_allowed(call)
        return await self._delivery.poll(
            offset=call.integer("offset"),
            limit=min(max(call.integer("limit", MAX_POLL_LIMIT), 1), MAX_POLL_LIMIT),
            timeout_seconds=min(max(call.integer("timeout"), 0), MAX_POLL_TIMEOUT),
        )

    async def _do_setWebhook(self, call: calls.Call) -> Any:
        url = call.text("url")
        if not url:
            return await self._do_deleteWebhook(call)
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS
        if not parts.hostname or not (parts.scheme == "https" or is_local):
            raise refusals.RefusedError("Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        secret = call.text("secret_token")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise refusals.RefusedError("Bad Request: secret token contains unallowed characters")
        self._note_allowed(call)
        if call.flag("drop_pending_updates"):
            self._memory.drop_pending()
        self._memory.set_note("webhook", {"url": url, "secret_token": secret})
        self._memory.set_note("webhook_error", None)
        self._delivery.wake(hook_changed=True)
        return True

    async def _do_deleteWebhook(self, call: calls.Call) -> Any:
        if call.flag("drop_pending_updates"):
            self._memory.drop_pending()
        self._memory.set_note("webhook", None)
        self._memory.set_note("webhook_error", None)
        self._delivery.wake(hook_changed=True)
        return True

    async def _do_getWebhookInfo(self, call: calls.Call) -> Any:
        hook = self._memory.note("webhook") or {}
        info: dict[str, Any] = {
            "url": hook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": self._memory.pending_count(),
        }
        if hook:
            info["max_connections"] = 1
        if error := self._memory.note("webhook_error"):
            info |= {"last_error_date": error["at"], "last_error_message": error["message"]}
        if allowed := self._memory.note("allowed_updates"):
            info["allowed_updates"] = allowed
        return info

    def _note_allowed(self, call: calls.Call) -> None:
        allowed = call.nested("allowed_updates")
        if isinstance(allowed, list):
            self._memory.set_note("allowed_updates", [str(kind) for kind in allowed] or None)

    # --- messages ----------------------------------------------------------------------------------------------------

    async def _do_sendMessage(self, call: calls.Call) -> Any:
        person = self._chat(call)
        content = self._text(call)
        self._check_reply(call, person)
        return self._post(call, person, content)

    async def _do_sendDocument(self, call: calls.Call) -> Any:
        person = self._chat(call)
        upload = self._upload(call, "document")
        caption, entities = wording.formatted(
            call.text("caption"),
            self._entities(call, "caption_entities"),
            limit=wording.MAX_CAPTION,
            too_long="Bad Request: message caption is too long",
        )
        self._check_reply(call, person)
        content: dict[str, Any] = {"document": views.document(upload)}
        if caption:
            content["caption"] = caption
        if entities:
            content["caption_entities"] = entities
        return self._post(call, person, content)

    async def _do_editMessageText(self, call: calls.Call) -> Any:
        message = self._own_message(call, "edit")
        if "text" not in message.body:
            raise refusals.RefusedError("Bad Request: there is no text in the message to edit")
        body = {key: value for key, value in message.body.items() if key not in {"text", "entities", "reply_markup"}}
        return self._change(message, body | self._text(call) | self._markup(call))

    async def _do_editMessageReplyMarkup(self, call: calls.Call) -> Any:
        message = self._own_message(call, "edit")
        body = {key: value for key, value in message.body.items() if key != "reply_markup"}
        return self._change(message, body | self._markup(call))

    async def _do_deleteMessage(self, call: calls.Call) -> Any:
        person = self._chat(call)
        message = self._memory.message(person.id, call.integer("message_id"))
        if message is None:
            raise refusals.RefusedError("Bad Request: message to delete not found")
        self._memory.delete_message(message)
        self._streams.publish(person.id, ChatEvent(kind="delete", message_id=message.id))
        return True

    async def _do_answerCallbackQuery(self, call: calls.Call) -> Any:
        text = wording.clean(call.text("text"))
        if wording.units(text) > 200:
            raise refusals.RefusedError("Bad Request: MESSAGE_TOO_LONG")
        tap_id = call.text("callback_query_id")
        answer = {"text": text, "alert": call.flag("show_alert"), "url": call.text("url") or None}
        chat_id = self._memory.answer_tap(tap_id, answer)
        if chat_id is None:
            raise refusals.RefusedError(
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
        self._streams.publish(chat_id, ChatEvent(kind="answer", answer=views.answer(tap_id, answer)))
        return True

    async def _do_sendChatAction(self, call: calls.Call) -> Any:
        person = self._chat(call)
        if call.text("action") not in ACTIONS:
            raise refusals.RefusedError("Bad Request: wrong parameter action in request")
        self._streams.publish(person.id, ChatEvent(kind="typing"))
        return True

    # --- the rest ----------------------------------------------------------------------------------------------------

    async def _do_setMyCommands(self, call: calls.Call) -> Any:
        commands = call.nested("commands")
        if not isinstance(commands, list) or not all(isinstance(item, dict) for item in commands):
            raise refusals.RefusedError("Bad Request: can't parse commands: expected an Array of BotCommand")
        if len(commands) > 100:
            raise refusals.RefusedError("Bad Request: BOT_COMMANDS_TOO_MUCH")
        checked = []
        for item in commands:
            command = str(item.get("command", "")).removeprefix("/")
            description = wording.clean(str(item.get("description", ""))).strip()
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command):
                raise refusals.RefusedError("Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise refusals.RefusedError("Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
            checked.append({"command": command, "description": description})
        self._memory.set_commands(self._scope(call), call.text("language_code"), checked)
        self._tell_commands()
        return True

    async def _do_deleteMyCommands(self, call: calls.Call) -> Any:
        self._memory.set_commands(self._scope(call), call.text("language_code"), [])
        self._tell_commands()
        return True

    async def _do_getMyCommands(self, call: calls.Call) -> Any:
        return self._memory.commands(self._scope(call), call.text("language_code"))

    async def _do_getChat(self, call: calls.Call) -> Any:
        return views.chat(self._chat(call)) | {"accent_color_id": 0, "max_reaction_count": 11}

    async def _do_getFile(self, call: calls.Call) -> Any:
        found = self._memory.file(call.text("file_id"))
        if found is None:
            raise refusals.RefusedError("Bad Request: invalid file_id")
        return views.file(found) | {"file_path": f"files/{found.id}{PurePosixPath(found.name).suffix}"}

    # --- what the methods share --------------------------------------------------------------------------------------

    def _chat(self, call: calls.Call) -> store.Person:
        raw = call.text("chat_id")
        if not raw:
            raise refusals.RefusedError("Bad Request: chat_id is empty")
        person = self._memory.person(int(raw)) if re.fullmatch(r"\d{1,18}", raw) else None
        if person is None:
            raise refusals.RefusedError("Bad Request: chat not found")
        return person

    def _own_message(self, call: calls.Call, verb: str) -> store.StoredMessage:
        person = self._chat(call)
        if not call.text("message_id"):
            raise refusals.RefusedError("Bad Request: message identifier is not specified")
        message = self._memory.message(person.id, call.integer("message_id"))
        if message is None:
            raise refusals.RefusedError(f"Bad Request: message to {verb} not found")
        if not message.from_bot:
            raise refusals.RefusedError(f"Bad Request: message can't be {verb}ed")
        return message

    def _entities(self, call: calls.Call, name: str) -> Any:
        # Our channel always sends entities; half a parser for three markup dialects would hide what breaks later.
        if call.text("parse_mode"):
            raise refusals.RefusedError("Bad Request: the local chat takes entities, not parse_mode")
        return call.nested(name)

    def _text(self, call: calls.Call) -> dict[str, Any]:
        text, entities = wording.formatted(
            call.text("text"),
            self._entities(call, "entities"),
            limit=wording.MAX_TEXT,
            too_long="Bad Request: message is too long",
        )
        if not text:
            raise refusals.RefusedError("Bad Request: message text is empty")
        return {"text": text, "entities": entities} if entities else {"text": text}

    def _markup(self, call: calls.Call) -> dict[str, Any]:
        markup = calls.keyboard(call.nested("reply_markup"))
        return {"reply_markup": markup} if markup else {}

    def _check_reply(self, call: calls.Call, person: store.Person) -> None:
        wanted = call.nested("reply_parameters") or {}
        message_id = wanted.get("message_id") if isinstance(wanted, dict) else None
        if message_id is None or wanted.get("allow_sending_without_reply"):
            return
        if not isinstance(message_id, int) or self._memory.message(person.id, message_id) is None:
            raise refusals.RefusedError("Bad Request: message to be replied not found")

    def _upload(self, call: calls.Call, name: str) -> store.StoredFile:
        given = call.text(name)
        upload = call.files.get(given.removeprefix("attach://")) if given.startswith("attach://") else None
        upload = upload or call.files.get(name)
        if upload:
            if not upload.content:
                raise refusals.RefusedError("Bad Request: file must be non-empty")
            mime = mimetypes.guess_type(upload.name)[0] or upload.mime
            return self._memory.add_file(PurePosixPath(upload.name).name or "file", mime, upload.content)
        known = self._memory.file(given) if given else None
        if known is None:
            wrong = "wrong remote file identifier specified" if given else f"there is no {name} in the request"
            raise refusals.RefusedError(f"Bad Request: {wrong}")
        return known

    def _post(self, call: calls.Call, person: store.Person, content: dict[str, Any]) -> Any:
        body = {"from": self.me, "chat": views.chat(person), "date": int(time.time()), **content, **self._markup(call)}
        message = self._memory.add_message(person.id, body, from_bot=True)
        self._streams.publish(person.id, ChatEvent(kind="message", message=views.message(message, self._memory)))
        return message.body

    def _change(self, message: store.StoredMessage, body: dict[str, Any]) -> Any:
        if body == message.body:
            raise refusals.RefusedError(_NOT_MODIFIED)
        # Only new words show as edited: taking the buttons away from a card is no edit to its reader.
        if body.get("text") != message.body.get("text"):
            body["edit_date"] = int(time.time())
        changed = self._memory.change_message(message, body)
        event = ChatEvent(kind="edit", message=views.message(changed, self._memory))
        self._streams.publish(message.chat_id, event)
        return changed.body

    def _scope(self, call: calls.Call) -> str:
        scope = call.nested("scope") or {"type": "default"}
        if not isinstance(scope, dict):
            raise refusals.RefusedError("Bad Request: can't parse BotCommandScope: expected an Object")
        if str(scope.get("chat_id")) == str(LOCAL_PERSON):  # who may open the chat at any moment
            return views.scope(str(scope.get("type")), LOCAL_PERSON)
        if "chat_id" in scope:
            return views.scope(str(scope.get("type")), self._chat(calls.Call(scope)).id)
        return views.scope(str(scope.get("type")))

    def _tell_commands(self) -> None:
        for chat_id in self._streams.chats():
            commands = views.commands(self._memory, chat_id)
            self._streams.publish(chat_id, ChatEvent(kind="commands", commands=commands))
