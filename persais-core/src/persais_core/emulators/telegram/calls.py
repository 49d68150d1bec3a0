"""One Bot API call, read from whatever form a library sends it in.

The same method may come as a query, as JSON, or as a form whose nested values are JSON strings; after this module a
method sees typed values only, and what does not fit is refused in the words of the real service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from persais_core.domain.chats import Value
from persais_core.emulators.telegram import refusals, wording

MAX_BODY = 52_000_000  # bytes; the service takes files up to 50 MB
MAX_BUTTONS = 100
MAX_CALLBACK_DATA = 64  # bytes


@dataclass(frozen=True)
class Upload:
    """A file that came with a call."""

    name: str
    mime: str
    content: bytes


@dataclass(frozen=True)
class Call:
    """The parameters and files of one call."""

    values: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Upload] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A string parameter."""
        value = self.values.get(name)
        return default if value is None else value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A number parameter.

        Raises:
            RefusedError: it is there and no number.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except (TypeError, ValueError):
            raise refusals.RefusedError(f'Bad Request: field "{name}" must be of type Number') from None

    def flag(self, name: str) -> bool:
        """A yes-or-no parameter, false when absent."""
        return str(self.values.get(name, "")).lower() in {"true", "1", "yes"}

    def nested(self, name: str) -> Any:
        """A parameter that is an object or a list, decoded; None when absent.

        Raises:
            RefusedError: it is no JSON.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise refusals.RefusedError(f"Bad Request: can't parse {name} JSON object") from None


async def read(request: Request) -> Call:
    """Read a call.

    Raises:
        RefusedError: the body is no JSON object, no form, or larger than 50 MB.
    """
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise refusals.RefusedError("Request Entity Too Large", error_code=413)
    values: dict[str, Any] = dict(request.query_params)
    files: dict[str, Upload] = {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind == "application/json":
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise refusals.RefusedError("Bad Request: can't parse request: expected a JSON object")
        values |= body
    elif request.method == "POST" and kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        # Text parts may be whole messages with entities, far beyond the library's default per part.
        async with request.form(max_files=20, max_fields=200, max_part_size=MAX_BODY) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    mime = value.content_type or "application/octet-stream"
                    files[name] = Upload(value.filename or "file", mime, await value.read())
                else:
                    values[name] = value
    return Call(values, files)


def keyboard(raw: Any) -> dict[str, Any] | None:
    """Check a decoded `reply_markup`.

    Returns:
        The inline keyboard in Bot API form, or None when there is none (or it has no button).

    Raises:
        RefusedError: a button cannot be used.
    """
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise refusals.RefusedError("Bad Request: object expected as reply markup")
    if "inline_keyboard" not in raw:
        if raw.get("remove_keyboard") or raw.get("force_reply") or not raw:
            return None
        raise refusals.RefusedError("Bad Request: the local chat shows inline keyboards only")
    rows = raw["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise refusals.RefusedError('Bad Request: field "inline_keyboard" must be of type Array of Arrays')
    checked = [[_button(button) for button in row] for row in rows if row]
    if sum(map(len, checked)) > MAX_BUTTONS:
        raise refusals.RefusedError("Bad Request: REPLY_MARKUP_TOO_LONG")
    return {"inline_keyboard": checked} if checked else None


def _button(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str) or not raw["text"].strip():
        raise refusals.RefusedError(
            'Bad Request: can\'t parse inline keyboard button: Field "text" must be a non-empty String'
        )
    text = wording.clean(raw["text"])
    data, url = raw.get("callback_data"), raw.get("url")
    if (data is None) == (url is None):
        raise refusals.RefusedError(
            "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    if data is not None:
        if not isinstance(data, str) or not 1 <= len(data.encode("utf-8", "replace")) <= MAX_CALLBACK_DATA:
            raise refusals.RefusedError("Bad Request: BUTTON_DATA_INVALID")
        return {"text": text, "callback_data": data}
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "tg://")):
        raise refusals.RefusedError(
            f"Bad Request: inline keyboard button URL '{url}' is invalid: Unsupported URL protocol"
        )
    return {"text": text, "url": url}


class Failure(Value):
    """A fault a test has ordered.

    Args:
        error_code: HTTP status and `error_code` of the answer.
        retry_after: seconds, as a flood limit tells them.
        migrate_to: id of the supergroup that the chat has become.
        is_answer_lost: the call is carried out, and the connection ends before its answer.
    """

    error_code: int = 500
    description: str = ""
    retry_after: int | None = None
    migrate_to: int | None = None
    is_answer_lost: bool = False
