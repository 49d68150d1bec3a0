"""Speaking to the bot as a person does: for the terminal chat, the demo and the tests.

A client is one person. It says things, taps buttons, and reads the same stream of events as the chat page; `wait_for`
looks only at what the bot sent or changed after this client's last word or tap, so a test need not care what was said
before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self, TypeVar

import httpx

from persais_core import errors
from persais_core.domain.chats import LOCAL_PERSON, Button
from persais_core.emulators.telegram.values import ChatEvent, ChatMessage, History, PressAnswer

CALL_TIMEOUT = 15.0  # seconds
SILENCE = 45.0  # seconds without a ping after which a stream is taken for dead
RETRIES = 40  # times a lost stream is opened again, `RETRY_PAUSE` apart
RETRY_PAUSE = 0.5  # seconds

T = TypeVar("T")


class ChatRefusedError(errors.ChannelError):
    """The chat refused a call: wrong key, nothing to send. Nothing was said."""


class ButtonGoneError(errors.ChannelError):
    """The message or the button is not there any more. Nothing was tapped."""


class ChatUnreachableError(errors.ChannelError):
    """Nothing answers at the chat's address."""

    def __init__(self, base_url: str) -> None:
        super().__init__(f"no chat answers at {base_url}; is the bot running?")


class NoAnswerError(errors.ChannelError):
    """The bot did not say or do what was waited for. The message names what it said instead."""

    def __init__(self, *, seconds: float, seen: tuple[str, ...]) -> None:
        shown = "; ".join(repr(text[:200]) for text in seen[-3:]) or "nothing"
        super().__init__(f"the expected answer did not come in {seconds:g} s; the bot said: {shown}")
        self.seconds, self.seen = seconds, seen


class ChatClient:
    """One person in the local chat.

    Args:
        base_url: such as `http://127.0.0.1:3001`.
        key: the client key.
        user: id of the person and of their private chat.
        name: as the bot sees it; None leaves it as it is.
        language: IETF tag told to the bot before the first word; None leaves it as it is.
        is_guess: the language only counts where the person has none yet.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        user: int = LOCAL_PERSON,
        name: str | None = None,
        language: str | None = "en",
        *,
        is_guess: bool = False,
    ) -> None:
        self.base_url, self.user = base_url.rstrip("/"), user
        self._speaker = {"id": user, "name": name}
        self._language, self._is_guess = language, is_guess
        self._since = 0
        self._http = httpx.AsyncClient(
            base_url=self.base_url, headers={"X-Chat-Key": key}, timeout=CALL_TIMEOUT, trust_env=False
        )

    async def __aenter__(self) -> Self:
        """Use as `async with ChatClient(...) as person`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, text: str = "", *, attachment: str | None = None) -> ChatMessage:
        """Say something.

        Args:
            text: split into several messages beyond 4096 UTF-16 units; the caption of an attachment.
            attachment: voice, photo or document: a tiny sample of it goes along.

        Returns:
            The (last) message.

        Raises:
            ChatRefusedError: there was nothing to send, or the key is wrong.
            ChatUnreachableError: nothing answers.
        """
        await self._tell_language()
        answer = await self._call("POST", "send", {"text": text, "user": self._speaker, "attachment": attachment})
        message = ChatMessage.model_validate(answer["message"])
        self._since = message.revision
        return message

    async def press(self, message: ChatMessage, label: str) -> str:
        """Tap the button of a message whose text is, or else contains, `label`.

        Returns:
            Id of the tap, for `wait_for_answer`.

        Raises:
            ButtonGoneError: there is no such button.
            ChatUnreachableError: nothing answers.
        """
        button = button_of(message, label)
        if button is None or button.data is None:
            said = " ".join(message.text.split())[-200:]
            raise ButtonGoneError(f"the message has no button {label!r} to press; it says: {said}")
        await self._tell_language()
        body = {"message_id": message.id, "data": button.data, "user": self._speaker}
        answer = await self._call("POST", "press", body)
        self._since = int(answer["revision"])
        return str(answer["callback_id"])

    async def set_language(self, code: str, *, is_guess: bool = False) -> None:
        """Tell the bot another language from now on (IETF tag).

        Args:
            is_guess: it only counts where the person has none yet.
        """
        self._language = None
        await self._call("POST", "language", {"language_code": code, "user": self._speaker, "is_guess": is_guess})

    async def history(self, *, before: int | None = None) -> tuple[ChatMessage, ...]:
        """The newest messages of the chat (200 at most), oldest first; or those before a message id."""
        query = "" if before is None else f"&before={before}"
        answer = await self._call("GET", f"history?user={self.user}{query}")
        return History.model_validate(answer).messages

    async def download(self, message: ChatMessage) -> bytes:
        """The file that came with a message.

        Raises:
            ChatRefusedError: there is none.
        """
        if message.attachment is None:
            raise ChatRefusedError("the message has no file")
        try:
            answer = await self._http.get("/chat/api/file", params={"id": message.attachment.file_id})
        except httpx.HTTPError:
            raise ChatUnreachableError(self.base_url) from None
        _check(answer)
        return answer.content

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """What happens in the chat, from a `reset` with its present state on; ends only when it is closed.

        A lost connection is opened again for 20 seconds, and goes on with another `reset`.

        Raises:
            ChatRefusedError: the key is wrong.
            ChatUnreachableError: nothing answers.
        """
        await self._tell_language()
        tries, has_begun = 0, False
        while True:
            try:
                async with self._http.stream(
                    "GET", "/chat/api/events", params={"user": self.user}, timeout=httpx.Timeout(SILENCE)
                ) as stream:
                    if stream.is_error:
                        await stream.aread()
                        _check(stream)
                    async for line in stream.aiter_lines():
                        if line.startswith("data: "):
                            tries, has_begun = 0, True
                            yield ChatEvent.model_validate_json(line.removeprefix("data: "))
            except httpx.HTTPError:
                if not has_begun or tries >= RETRIES:
                    raise ChatUnreachableError(self.base_url) from None
            tries += 1
            if tries > RETRIES:
                raise ChatUnreachableError(self.base_url)
            await asyncio.sleep(RETRY_PAUSE)

    async def wait_for(
        self,
        predicate: Callable[[ChatMessage], bool],
        timeout: float = 30.0,  # seconds
    ) -> ChatMessage:
        """The first message the bot sent or changed since this client's last word or tap that satisfies a predicate.

        Raises:
            NoAnswerError: there was none in time.
            ChatUnreachableError: nothing answers.
        """
        seen: list[str] = []

        def wanted(event: ChatEvent) -> ChatMessage | None:
            messages = (*event.messages, event.message) if event.message else event.messages
            for message in messages:
                if message.from_bot and message.revision > self._since:
                    if predicate(message):
                        return message
                    seen.append(message.text)
            return None

        return await self._first(wanted, timeout, seen)

    async def wait_for_answer(self, callback_id: str, timeout: float = 30.0) -> PressAnswer:
        """What the bot answered to a tap.

        Raises:
            NoAnswerError: nothing in time.
            ChatUnreachableError: nothing answers.
        """

        def wanted(event: ChatEvent) -> PressAnswer | None:
            answers = (*event.answers, event.answer) if event.answer else event.answers
            return next((answer for answer in answers if answer.callback_id == callback_id), None)

        return await self._first(wanted, timeout, [])

    async def _first(self, wanted: Callable[[ChatEvent], T | None], seconds: float, seen: list[str]) -> T:
        try:
            async with asyncio.timeout(seconds), contextlib.aclosing(self.events()) as stream:
                async for event in stream:
                    if (found := wanted(event)) is not None:
                        return found
        except TimeoutError:
            pass
        raise NoAnswerError(seconds=seconds, seen=tuple(seen))

    async def _tell_language(self) -> None:
        if self._language is not None:
            await self.set_language(self._language, is_guess=self._is_guess)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = await self._http.request(method, f"/chat/api/{path}", json=body)
        except httpx.HTTPError:
            raise ChatUnreachableError(self.base_url) from None
        _check(answer)
        return answer.json()


def button_of(message: ChatMessage, label: str) -> Button | None:
    """The button with a label, or else the first whose label contains it."""
    buttons = [button for row in message.buttons for button in row]
    exact = (button for button in buttons if button.text == label)
    return next(exact, next((button for button in buttons if label in button.text), None))


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        code, message = "", answer.text[:200] or answer.reason_phrase
    if code == "gone":
        raise ButtonGoneError(message)
    raise ChatRefusedError(message)
