"""The stand-in for Telegram, put together.

A newcomer has no bot token, so `persais dev` mounts these routes and tells the bot another base URL; bot and library
then do exactly what they do with the real service. The chat outlives restarts: what was said, what the bot has not
fetched yet and its command menu lie in the state file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from persais_core.emulators import chat_page
from persais_core.emulators.telegram import bot_api, calls, chat_api, delivery, door, store, streams

MAX_CLIENT_BODY = 4_200_000  # bytes: the longest text a client may send, escaped


class TelegramEmulator:
    """Bot API, client API and chat page for one bot, all its state in one file.

    The Bot API is at `/bot<token>/<method>` and `/file/bot<token>/<path>`, the client API under `/chat/api/`, the page
    at `/`. Serve it on loopback without an access log, since token and key stand in addresses.

    Args:
        token: bot token that is let in; the part before the colon is the bot's id.
        client_key: what pages, terminals and tests must know.
        state: SQLite file; None keeps everything in memory.
        name: of the bot, shown on the page.
        local_name: of the person at this computer; empty where it is not known.

    Raises:
        ChatStateError: the state file cannot be used.
    """

    def __init__(
        self, *, token: str, client_key: str, state: Path | None, name: str = "Persais", local_name: str = ""
    ) -> None:
        self._memory = store.Store(state)
        self._streams = streams.Streams()
        self._delivery = delivery.Delivery(self._memory)
        self._bot_api = bot_api.BotApi(
            token=token, name=name, memory=self._memory, stream=self._streams, way=self._delivery
        )
        people = chat_api.ChatApi(
            key=client_key,
            name=name,
            local_name=local_name,
            memory=self._memory,
            stream=self._streams,
            way=self._delivery,
        )
        guard = [Middleware(door.Door)]
        self.routes: Sequence[BaseRoute] = [
            Route(
                "/bot{token}/{method}",
                self._bot_api.answer,
                methods=["GET", "POST"],
                middleware=guard,
            ),
            Route("/file/bot{token}/{path:path}", self._bot_api.download, methods=["GET"], middleware=guard),
            *(
                Route(
                    f"/chat/api/{endpoint.__name__}",
                    people.guarded(endpoint),
                    methods=[method],
                    middleware=guard,
                    max_body_size=MAX_CLIENT_BODY,
                )
                for method, endpoint in (
                    ("POST", people.send),
                    ("POST", people.press),
                    ("POST", people.language),
                    ("GET", people.history),
                    ("GET", people.events),
                    ("GET", people.file),
                )
            ),
            *chat_page.routes(client_key, guard),
        ]

    def fail_next(
        self,
        method: str,
        *,
        times: int = 1,
        error_code: int,
        description: str,
        retry_after: int | None = None,
        migrate_to: int | None = None,
    ) -> None:
        """Let the next calls of a Bot API method fail before they do anything, for tests.

        Args:
            method: such as `sendMessage`; case does not matter.
            times: how many calls.
            error_code: HTTP status and `error_code` of the answer.
            description: of the answer.
            retry_after: seconds, as a flood limit tells them.
            migrate_to: id of the supergroup that the chat has become.
        """
        failure = calls.Failure(
            error_code=error_code, description=description, retry_after=retry_after, migrate_to=migrate_to
        )
        self._bot_api.fail_next(method, failure, times)

    def lose_next(self, method: str, *, times: int = 1) -> None:
        """Let the next calls of a Bot API method be carried out and never answered, for tests."""
        self._bot_api.fail_next(method, calls.Failure(is_answer_lost=True), times)

    async def aclose(self) -> None:
        """End waiting polls, webhook calls and event streams at once, then close the state file.

        Call it when the server is told to stop, before it waits for its open requests: those only end by this.
        """
        self._streams.close()
        await self._delivery.aclose()
        self._memory.close()
