"""What a turn is made of, and what several processes of one release share."""

from __future__ import annotations

from pathlib import Path

import dispatched
import psycopg
import pytest
from dispatched import joined, no_shop, outgoing

from persais_core.agents.base import Agent
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Message
from persais_core.domain.first_turns import COUNTED
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.orchestrator.state import Answer
from persais_core.queue import jobs
from persais_core.queue.inbox import Inbox
from persais_core.security.redact import Redactor
from persais_core.tools.base import Context
from talks import Begin
from updates import message

ANN = dispatched.GUEST


class Echo(Agent):
    """Repeats what is said."""

    name = "echo"
    title = {"en": "Echo"}  # noqa: RUF012

    async def reply(self, message: Message, context: Context) -> str:
        return f"Echo: {message.text}"


@pytest.fixture
def previews(database: Database, tmp_path: Path) -> Previews:
    return Previews(database, Ledger(database, Redactor()), no_shop, tmp_path / "previews")


@pytest.fixture
async def dispatch(
    database: Database, channel: TelegramChannel, begin: Begin, previews: Previews, tmp_path: Path
) -> Dispatch:
    orchestrator = (await begin(Echo())).orchestrator
    return joined(database, channel, orchestrator, tmp_path, previews=previews, debounce=0.05)


async def say(database: Database, *texts: str) -> None:
    for number, text in enumerate(texts):
        incoming = parse(message(text, user=ANN, update=number), bot_id=77)
        assert incoming and await Inbox(database).accept(incoming)


async def test_an_agent_hears_what_was_said_in_one_go_as_one_message(
    database: Database, sql: psycopg.AsyncConnection, dispatch: Dispatch
) -> None:
    await say(database, "/echo", "one", "two")
    for turn in (1, 2, 3):
        await sql.execute("delete from procrastinate_jobs where (args ->> 'turn')::int = %s", (turn,))
        await dispatch.turn(turn)
    assert (await outgoing(database))[1:] == ["Echo: one\ntwo"]
    assert await (await sql.execute("select id, state from persais.turns order by id")).fetchall() == [
        (1, "done"), (2, "done"),
    ]  # fmt: skip


async def test_a_turn_of_a_lane_that_tries_a_candidate_goes_to_the_process_that_has_it(
    database: Database, sql: psycopg.AsyncConnection, dispatch: Dispatch, previews: Previews
) -> None:
    await sql.execute(
        "insert into persais.previews (lane, change_id, commit, agent) values (%s, 1, 'c', 'echo')",
        (Lane(chat_id=ANN).key,),
    )
    await say(database, "hello")
    with pytest.raises(jobs.ElsewhereError):
        await dispatch.turn(1)
    assert await outgoing(database) == []
    await previews.open()
    await dispatch.turn(1)
    [told] = await outgoing(database)
    assert "Try" in told or "preview" in told.lower()


async def test_the_first_turns_of_an_agent_are_counted_for_all_processes_and_no_more(database: Database) -> None:
    one, two, other = FirstTurns(database, "c"), FirstTurns(database, "c"), FirstTurns(database, "d")
    for number in range(COUNTED):
        await (one if number % 2 else two).count(Answer(agent="echo", broke=number == 1))
    for process in (one, two):
        await process.count(Answer(agent="echo", broke=True))
    await other.count(Answer(agent="echo", broke=True))
    assert await two.read() == {"echo": (COUNTED, 1)}
    assert await other.read() == {"echo": (1, 1)}
    await other.forget_others()
    assert await one.read() == {}
