"""Commands as people really write them, seen by the right people, and acted on once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from persais_core import texts
from persais_core.agents import visibility
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, Message, User
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.metrics import Metrics
from persais_core.orchestrator import commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.queue.inbox import Inbox
from persais_core.queue.outbox import Outbox
from persais_core.security.access import Access
from talks import Begin, Echo
from updates import message

ANN, BOB = 1000001, 1000002
ADMIN = User(id=ANN, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN)
COMMIT = "c" * 40
# A worker that dies between an act and its answer, as the database sees it: the answer is never stored.
KILLED = (
    "create function persais.killed() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$; "
    "create trigger killed before insert on persais.outbox for each row when (new.key like 'update:%') "
    "execute function persais.killed()"
)


@pytest.fixture
async def dispatch(database: Database, channel: TelegramChannel, begin: Begin, tmp_path: Path) -> Dispatch:
    async def facts(language: Language) -> commands.Facts:
        return commands.Facts(version="1", commit=COMMIT, database="ok", model="m", sandbox="s")

    unused: Any = None
    ledger = Ledger(database)
    return Dispatch(
        database=database,
        channel=channel,
        access=Access(database, allowed=frozenset({BOB}), admins=frozenset({ANN})),
        orchestrator=(await begin(Echo())).orchestrator,
        ledger=ledger,
        configs=unused,
        previews=Previews(database, ledger, unused, tmp_path / "previews"),
        facts=facts,
        first_turns=FirstTurns(database, COMMIT),
        sender=Outbox(database, channel),
        debounce=0,
        metrics=Metrics(),
        log_content=False,
    )


async def said_to(database: Database, dispatch: Dispatch, text: str, *, user: int = ANN, number: int = 1) -> list[str]:
    """What is put in the outbox because somebody wrote something."""
    before = len(await outgoing(database))
    incoming = parse(message(text, user=user, update=number), bot_id=77)
    assert incoming and await Inbox(database).accept(incoming)
    rows = await database.run("delete from procrastinate_jobs where task_name in ('turn', 'urgent') returning args", {})
    for row in rows:
        await (dispatch.urgent(**row["args"]) if "update" in row["args"] else dispatch.turn(**row["args"]))
    return (await outgoing(database))[before:]


async def outgoing(database: Database) -> list[str]:
    rows = await database.run("select body ->> 'text' as text from persais.outbox order by id", {})
    return [row["text"] for row in rows]


async def opened(database: Database, request: str, **fields: Any) -> Change:
    change = await Ledger(database).open(lane=LANE, user=ADMIN, request=request, turn_id=None)
    return await Ledger(database).update(change.id, **fields) if fields else change


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/why echo", ("/why", "echo")), ("/Why@my_bot\necho", ("/why", "echo")),
        ("/dead\t retry 3", ("/dead", "retry 3")),
        ("/stop", ("/stop", "")), ("/", ("/", "")), ("say /stop", ("", "say /stop")), ("", ("", "")),
    ],
)  # fmt: skip
def test_a_command_ends_at_any_white_space(text: str, command: tuple[str, str]) -> None:
    assert Message(text=text).command == command


@pytest.mark.parametrize("text", ["/status", "/status\nplease", "/status@my_bot\tplease"])
async def test_a_command_is_answered_whatever_white_space_follows_it(
    database: Database, dispatch: Dispatch, text: str
) -> None:
    [told] = await said_to(database, dispatch, text)
    assert told.startswith("Version: 1")


async def test_nobody_learns_of_a_private_agent_of_somebody_else(database: Database, dispatch: Dispatch) -> None:
    await opened(database, "Echo", state=ChangeState.DEPLOYED, commit=COMMIT, files=("bot/agents/echo.py",))
    async with database.session() as session:
        await visibility.give(session, ["echo"], owner=ANN)
    [told] = await said_to(database, dispatch, "/why echo", user=BOB, number=1)
    assert COMMIT[:12] in told
    await said_to(database, dispatch, "/visibility echo private", number=2)
    [told] = await said_to(database, dispatch, "/why echo", user=BOB, number=3)
    assert told == texts.say("en", "why-unknown", agent="echo")
    [told] = await said_to(database, dispatch, "/why echo", number=4)
    assert COMMIT[:12] in told


@pytest.mark.parametrize("command", ["/abort", "/rollback"])
async def test_a_kill_before_the_answer_leaves_no_act_so_that_its_repetition_hits_no_other_change(
    database: Database, dispatch: Dispatch, own_schema: psycopg.AsyncConnection, command: str
) -> None:
    state = ChangeState.CODING if command == "/abort" else ChangeState.DEPLOYED
    for request in ("first", "second"):
        fields: dict[str, Any] = {"merge_commit": COMMIT} if command == "/rollback" else {}
        await opened(database, request, state=state, **fields)
    await own_schema.execute(KILLED)
    with pytest.raises(DBAPIError, match="killed"):
        await said_to(database, dispatch, command)
    acts = "select args from procrastinate_jobs where task_name in ('decide', 'rollback')"
    assert await database.run(acts, {}) == []
    await own_schema.execute("drop trigger killed on persais.outbox")
    for _ in range(2):
        await dispatch.urgent(1)
    [act] = await database.run(acts, {})
    assert "2" in {str(act["args"].get("change")), act["args"].get("what")}


@pytest.fixture
async def own_schema(sql: psycopg.AsyncConnection) -> Any:
    yield sql
    await sql.execute("drop trigger if exists killed on persais.outbox; drop function if exists persais.killed()")
