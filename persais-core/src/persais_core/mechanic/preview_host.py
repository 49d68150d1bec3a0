"""The candidate's half of a preview: runs its agents inside the sandbox and speaks with the bot outside.

`python -I -m persais_core.mechanic.preview_host`, with the candidate's tree as working directory. Each line from
outside is a request, each line back an answer; while an agent thinks, the answer may be a question to the model, and
the next line from outside is what the model said. Records are kept in memory for as long as the preview lives: this is
the candidate's own copy of the schema, and nothing of production is in it.

    {"load": true, "language": "en"}                       -> {"agents": {"echo": "Echo"}}
    {"agent": "echo", "text": "Hi", "user": {…}}           -> {"reply": {…}}, {"reply": null} or {"error": "…"}
                                                           -> {"ask": {"prompt": "…", "system": "…"}}
    {"said": "…"} or {"refused": "…"}                      -> as above
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from persais_core import errors
from persais_core.agents import loader
from persais_core.agents.base import Agent
from persais_core.db import memory
from persais_core.db.records import Record
from persais_core.domain.chats import Language, Message, Reply, User
from persais_core.security.sandbox.conversation import DOOR
from persais_core.tools.base import Tool
from persais_core.tools.context import StoreContext

R = TypeVar("R", bound=Record)

MAX_QUESTION = 1 << 20  # bytes of one line from outside


class Outside:
    """The other end of the conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._asking = asyncio.Lock()
        self._is_listening = False

    async def hear(self) -> dict[str, Any]:
        """The next line from outside.

        Raises:
            EOFError: nobody is there any more.
        """
        line = await self._reader.readline()
        if not line:
            raise EOFError
        heard: dict[str, Any] = json.loads(line)
        return heard

    async def say(self, **answer: Any) -> None:
        """One line to the outside."""
        self._writer.write(json.dumps(answer).encode() + b"\n")
        await self._writer.drain()

    async def request(self) -> dict[str, Any]:
        """The next request; from here until `answer`, the model may be asked.

        Raises:
            EOFError: nobody is there any more.
        """
        request = await self.hear()
        self._is_listening = True
        return request

    async def answer(self, **answer: Any) -> None:
        """Answer the request, once nothing is being asked any more."""
        async with self._asking:
            self._is_listening = False
            await self.say(**answer)

    async def ask(self, prompt: str, system: str) -> str:
        """What the model says.

        Raises:
            ModelError: it was not asked, or did not answer; the message says why.
        """
        async with self._asking:  # an agent may ask several things at once; outside, one follows the other
            if not self._is_listening:
                raise errors.ModelError("the model can be asked only while a message is being answered")
            await self.say(ask={"prompt": prompt, "system": system})
            heard = await self.hear()
        if "said" in heard:
            return str(heard["said"])
        raise errors.ModelError(str(heard.get("refused")))


class PreviewContext(StoreContext):
    """The context between the walls: records in memory, the model by way of the outside."""

    def __init__(self, user: User, store: memory.MemoryStore, outside: Outside) -> None:
        super().__init__(user, store)
        self._outside = outside

    async def ask(self, prompt: str, *, system: str = "", tools: Sequence[Tool] = ()) -> str:
        """Ask the language model; it is offered no tools, as these could only be called in here."""
        return await self._outside.ask(str(prompt), str(system))


async def serve(root: Path, outside: Outside) -> None:
    """Answer requests until nobody is there any more.

    Args:
        root: the candidate's tree.
        outside: where requests come from.
    """
    store = memory.MemoryStore()
    agents: dict[str, Agent] = {}
    while True:
        try:
            request = await outside.request()
        except EOFError:
            return
        if "load" in request:
            try:
                agents = {agent.name: agent for agent in loader.load(root)}
            except errors.AgentError as error:
                await outside.answer(error=str(error))
                continue
            language: Language = request["language"]
            await outside.answer(agents={name: a.called(language) for name, a in agents.items()})
            continue
        context = PreviewContext(User.model_validate(request["user"]), store, outside)
        message = Message(text=request["text"], attachment=request.get("attachment"))
        await outside.answer(**await _answer(agents[request["agent"]], message, context, root))


async def _answer(agent: Agent, message: Message, context: PreviewContext, root: Path) -> dict[str, Any]:
    """Let an agent answer as in production, but tell whoever tries it out what went wrong."""
    try:
        said = await agent.reply(message, context)
    except errors.PersaisError as error:
        return {"error": str(error)}
    except Exception as error:  # candidate code may raise anything, and its preview is there to show it
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root)]
        place = f" ({Path(own[-1].filename).relative_to(root)}:{own[-1].lineno})" if own else ""
        return {"error": f"{type(error).__name__}: {error}{place}"}
    reply = said if isinstance(said, Reply) else Reply(text=str(said), plain=True)
    return {"reply": reply.model_dump(mode="json") if reply.text.strip() else None}


async def main() -> None:
    """Serve at the door that the sandbox names."""
    door = socket.socket(fileno=int(os.environ.pop(DOOR)))
    outside = Outside(*await asyncio.open_connection(sock=door, limit=MAX_QUESTION))
    await serve(Path.cwd(), outside)


if __name__ == "__main__":
    asyncio.run(main())
