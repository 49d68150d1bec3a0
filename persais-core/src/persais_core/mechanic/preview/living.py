"""One preview while it lives: what its lane is told at the beginning and at the end, and when that end comes."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from persais_core import audit, texts
from persais_core.db.engine import Database
from persais_core.db.tables.base import now
from persais_core.db.tables.evolution import Preview
from persais_core.domain.changes import Change
from persais_core.domain.chats import Button, Lane, Language, Reply
from persais_core.mechanic.preview.candidate import Candidate, cause_of, plain
from persais_core.mechanic.preview.wishes import PRESS
from persais_core.mechanic.workshop import Workshop
from persais_core.queue import outbox
from persais_core.security.sandbox.conversation import Conversation

LONGEST = 1800.0  # seconds a preview lives
IDLE = 900.0  # seconds without a message after which it is ended
TABLES = re.compile(r"bot/schemas/(?!__init__\.py).+\.py")


@dataclass
class Living:
    """One living preview.

    Args:
        token: names this start of it.

    Attributes:
        used_at: when something was last said, on the monotonic clock.
        is_answering: a turn waits for it, and will tell how it ended.
        ending: set when it is to end.
        farewell: what the lane is told when it is ended; empty: nothing.
    """

    lane: Lane
    change: Change
    candidate: Candidate
    conversation: Conversation
    token: str
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    used_at: float = field(default_factory=time.monotonic)
    is_answering: bool = False
    farewell: str = ""

    @property
    def language(self) -> Language:
        """That of whoever started it."""
        return self.candidate.language

    @property
    def shown(self) -> str:
        """Key of the message that it began with."""
        return f"preview:{self.token}"

    async def announce(self, database: Database, shop: Workshop) -> None:
        """Say that it is there, and store that it is."""
        language, change = self.language, self.change
        assert change.commit is not None
        text = texts.say(language, "preview-started", title=self.candidate.title)
        text += f"\n{texts.say(language, 'preview-how')}"
        if any(TABLES.fullmatch(path) for path in await shop.repository.files(change.commit)):
            text += f"\n{texts.say(language, 'preview-tables')}"
        if (await shop.sandbox.probe()).state != "enforced":
            text += f"\n🔴 {texts.say(language, 'warning-unsandboxed')}"
        button = Button(text=texts.say(language, "button-stop"), data=f"{PRESS}{change.id}")
        agent = self.candidate.agent
        row = {"change_id": change.id, "commit": change.commit, "agent": agent, "started_at": now()}
        async with database.session() as session:
            await session.execute(
                insert(Preview)
                .values(lane=self.lane.key, **row)
                .on_conflict_do_update(index_elements=["lane"], set_=row)
            )
            reply = Reply(text=text, plain=True, buttons=((button,),))
            await outbox.put(session, self.lane, reply, key=self.shown)
            audit.record(session, "preview begun", subject=change.subject, commit=change.commit, agent=agent)

    async def until_over(self, *, longest: float, idle: float) -> str:
        """Wait until it ends, of itself or not.

        Args:
            longest: seconds from now.
            idle: seconds without a message.

        Returns:
            What its lane is to be told; empty: nothing.
        """
        began = time.monotonic()
        over = asyncio.create_task(self.conversation.over())
        ending = asyncio.create_task(self.ending.wait())
        title = self.candidate.title
        try:
            while True:
                left = min(began + longest, self.used_at + idle) - time.monotonic()
                if left <= 0 and not self.is_answering:
                    return texts.say(self.language, "preview-ended-time", title=title)
                done, _ = await asyncio.wait({over, ending}, timeout=max(left, 1.0), return_when="FIRST_COMPLETED")
                if ending in done:
                    return self.farewell
                if over in done:
                    cause = cause_of(self.language, over.result())
                    told = texts.say(self.language, "preview-broke", title=title, cause=cause)
                    return "" if self.is_answering else told
        finally:
            over.cancel()
            ending.cancel()

    async def part(self, database: Database, farewell: str) -> None:
        """Forget it, take its [Stop] away, and say the last word."""
        text = texts.say(self.language, "preview-started", title=self.candidate.title)
        async with database.session() as session:
            await session.execute(delete(Preview).where(col(Preview.lane) == self.lane.key))
            await outbox.show(session, self.lane, plain(text), key=self.shown)
            if farewell:
                await outbox.put(session, self.lane, plain(farewell), key=f"{self.shown}:ended")
