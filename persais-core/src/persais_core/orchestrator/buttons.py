"""Buttons that lead to an agent, and what a tap on one is.

Some name an agent, and a tap chooses it. Others were put by an agent under what it said: a tap says the button's text
to that agent, as if typed, and nothing else, whatever the text is. What an agent wrote into a button is never carried
by it, since what buttons carry can deploy: such a button carries the agent's name and a number, and its text is looked
up in the message that was sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from persais_core.channels.base import Press
from persais_core.db.engine import Database
from persais_core.domain.chats import Button, Lane, Message, storable
from persais_core.domain.names import BUILT_IN_AGENTS, NAME
from persais_core.queue import outbox
from persais_core.queue.inbox import CHOOSE_AGENT, SAY


@dataclass(frozen=True)
class Tap:
    """A tap on such a button.

    Args:
        agent: whom it is for.
        message: what it says; without a text where it only chooses.
    """

    agent: str
    message: Message


def made_by(agent: str, made: Iterable[Iterable[Button]]) -> tuple[tuple[Button, ...], ...]:
    """The rows of buttons that an agent made, bound to that agent."""
    rows: list[tuple[Button, ...]] = []
    count = 0
    for row in made:
        kept: list[Button] = []
        for button in row:
            # Neither chat services nor Postgres take everything that a text may hold.
            text = " ".join(storable(button.text).split())
            if not text:
                continue
            data = None if button.url else f"{SAY}{agent}:{count}"
            kept.append(Button(text=text, data=data, url=button.url))
            count += 1
        if kept:
            rows.append(tuple(kept))
    return tuple(rows)


async def tapped(database: Database, lane: Lane, press: Press) -> Tap | None:
    """What a tap says, and to whom; None where the message holds no such button, or the button leads to no agent."""
    if press.data.startswith(CHOOSE_AGENT):
        agent = press.data.removeprefix(CHOOSE_AGENT)
        return Tap(agent, Message(text="")) if NAME.match(agent) else None
    agent = press.data.removeprefix(SAY).partition(":")[0]
    if not press.data.startswith(SAY) or agent in BUILT_IN_AGENTS or not NAME.match(agent) or press.message_id is None:
        return None
    async with database.session() as session:
        shown = await outbox.shown(session, lane.chat_id, press.message_id)
    buttons = [button for row in shown.buttons for button in row] if shown else []
    return next((Tap(agent, Message(text=b.text)) for b in buttons if b.data == press.data), None)
