"""The worker's side of the inbox, as the app joins it, and what the outbox holds after it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from persais_core.channels.base import Channel
from persais_core.channels.telegram.parse import parse
from persais_core.db.engine import Database
from persais_core.domain.chats import Language
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.metrics import Metrics
from persais_core.orchestrator import commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.orchestrator.graph import Orchestrator
from persais_core.queue.inbox import Inbox
from persais_core.queue.outbox import Outbox
from persais_core.security.access import Access
from persais_core.security.redact import Redactor

ADMIN, GUEST = 1000001, 1000002
"""Ids of the admin, and of somebody who may use the bot."""
COMMIT = "c" * 40
"""Of the release that answers."""


async def facts(language: Language) -> commands.Facts:
    """What /status tells."""
    return commands.Facts(version="1", commit=COMMIT, database="ok", model="m", sandbox="s")


async def no_shop() -> Any:
    """A workshop, where no preview is begun."""
    raise AssertionError("no preview is begun here")


def joined(database: Database, channel: Channel, orchestrator: Orchestrator, folder: Path, **others: Any) -> Dispatch:
    """A dispatch of a release, with a folder for previews.

    Args:
        others: parts in the place of the usual ones; settings of agents are read by no command unless they are given.
    """
    unused: Any = None
    ledger = Ledger(database, Redactor())
    usual: dict[str, Any] = {
        "access": Access(database, allowed=frozenset({GUEST}), admins=frozenset({ADMIN})),
        "ledger": ledger,
        "configs": unused,
        "previews": Previews(database, ledger, no_shop, folder / "previews"),
        "facts": facts,
        "first_turns": FirstTurns(database, COMMIT),
        "sender": Outbox(database, channel, Redactor()),
        "debounce": 0,
        "metrics": Metrics(),
        "log_content": False,
        "username": "My_bot",
        "read": functools.partial(parse, bot_id=77),
    }
    return Dispatch(database=database, channel=channel, orchestrator=orchestrator, **(usual | others))


async def done(database: Database, dispatch: Dispatch, given: dict[str, Any]) -> list[str]:
    """What is put in the outbox because of an update."""
    before = len(await outgoing(database))
    incoming = parse(given, bot_id=77)
    assert incoming and await Inbox(database).accept(incoming)
    rows = await database.run("delete from procrastinate_jobs where task_name in ('turn', 'urgent') returning args", {})
    for row in rows:
        await (dispatch.urgent if "update" in row["args"] else dispatch.turn)(**row["args"])
    return (await outgoing(database))[before:]


async def outgoing(database: Database) -> list[str]:
    """The texts of all that is to be sent or was, oldest first."""
    rows = await database.run("select body ->> 'text' as text from persais.outbox order by id", {})
    return [row["text"] for row in rows]
