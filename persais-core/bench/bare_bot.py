"""The floor to compare with: the least that makes a Telegram bot on LangGraph.

python-telegram-bot takes updates and sends, a graph of one node asks the model, and /health answers. With `BARE=kept`
LangGraph's saver keeps each conversation in Postgres and a lock per chat keeps its order; with `BARE=plain` nothing is
kept at all. With a webhook secret updates come by starlette, else by polling. No queue, no stored updates, no agents,
no users, nothing that survives a kill but the conversation. It is started as a program of its own and imports nothing
of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

import uvicorn
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

SYSTEM = "You are a helpful assistant. Answer briefly, in the language of the message."
HISTORY = 20  # messages that are remembered, as many as Persais shows a model


class State(TypedDict):
    history: list[tuple[str, str]]
    text: str


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, so that the bot is shut down in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def kept() -> AsyncIterator[AsyncPostgresSaver | None]:
    """Where conversations are kept; None where they are not."""
    if os.environ.get("BARE", "kept") == "plain":
        yield None
        return
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["DATABASE_URL"], open=False, max_size=4, kwargs=options
    )
    async with pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        yield saver


async def main() -> None:
    model = ChatOpenAI(
        model="instant", base_url=os.environ["LLM_BASE_URL"], api_key=lambda: os.environ["LLM_API_KEY"], timeout=90
    )

    async def ask(state: State) -> dict[str, Any]:
        said: list[Any] = [("system", SYSTEM), *state["history"], ("user", state["text"])]
        answer = str((await model.ainvoke(said)).text)
        return {"history": [*state["history"], ("user", state["text"]), ("assistant", answer)][-HISTORY:]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    application = (
        Application.builder()
        .token(os.environ["TELEGRAM_BOT_TOKEN"])
        .base_url(f"{os.environ['TELEGRAM_API_URL']}/bot")
        .concurrent_updates(True)
        .build()
    )
    locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.effective_chat and update.effective_message and update.effective_message.text
        given: Any = {"history": [], "text": update.effective_message.text}
        if saver is None:
            result = await graph.ainvoke(given)
            await update.effective_message.reply_text(result["history"][-1][1])
            return
        async with locks[update.effective_chat.id]:
            thread = {"configurable": {"thread_id": str(update.effective_chat.id)}}
            known = (await graph.aget_state(thread)).values.get("history", [])  # type: ignore[arg-type]
            given["history"] = known
            result = await graph.ainvoke(given, thread, durability="exit")  # type: ignore[call-overload]
            await update.effective_message.reply_text(result["history"][-1][1])

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "active": True})

    secret = os.environ.get("TELEGRAM_WEBHOOK_SECRET")

    async def post_update(request: Request) -> Response:
        if request.headers.get("x-telegram-bot-api-secret-token") != secret:
            return Response(status_code=403)
        await application.update_queue.put(Update.de_json(await request.json(), application.bot))
        return Response()

    application.add_handler(MessageHandler(filters.TEXT, answer))
    routes = [Route("/health", health), Route("/telegram/webhook", post_update, methods=["POST"])]
    config = uvicorn.Config(
        Starlette(routes=routes),
        port=int(os.environ["PORT"]),
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    server = _Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    async with kept() as saver, application:
        graph = builder.compile(checkpointer=saver)
        await application.start()
        assert application.updater
        if not secret:
            await application.updater.start_polling()
        await server.serve()
        if not secret:
            await application.updater.stop()
        await application.stop()


if __name__ == "__main__":
    asyncio.run(main())
