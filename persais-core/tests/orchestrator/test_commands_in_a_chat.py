"""Commands as people really write them, seen by the right people, and acted on once."""

from __future__ import annotations

import ast
import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from persais_core import texts
from persais_core.agents import visibility
from persais_core.agents.base import Agent
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.channels.telegram.parse import parse
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval
from persais_core.domain import names
from persais_core.domain.changes import Change, ChangeState, Plan
from persais_core.domain.chats import Button, Lane, Language, Message, Reply, User
from persais_core.emulators.telegram.client import ChatClient
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.metrics import Metrics
from persais_core.orchestrator import built_in, commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.orchestrator.first_turns import FirstTurns
from persais_core.queue.inbox import Inbox
from persais_core.queue.outbox import Outbox
from persais_core.security.access import Access
from persais_core.tools.base import Context
from talks import Begin, Echo
from updates import message, press

ANN, BOB = 1000001, 1000002
ADMIN = User(id=ANN, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN)
COMMIT = "c" * 40
WAITING = {"state": ChangeState.AWAITING_APPROVAL, "commit": COMMIT, "buttons": {"deploy": "c:n", "abort": "c:m"}}
BROKEN = '''from persais_core import Agent, Context, Message


class Broken(Agent):
    """Counts."""

    name = "broken"

    async def reply(self, message: Message, context: Context) -> str:
        raise ValueError(f"no number in {message.text}")
'''
# A worker that dies between an act and its answer, as the database sees it: the answer is never stored.
KILLED = (
    "create function persais.killed() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$; "
    "create trigger killed before insert on persais.outbox for each row when (new.key like 'update:%') "
    "execute function persais.killed()"
)


class Frail(Agent):
    """Breaks at the first time it is spoken to."""

    name = "frail"
    is_mended = False

    async def reply(self, message: Message, context: Context) -> str:
        if not Frail.is_mended:
            raise ValueError(message.text)
        return f"mended: {message.text}"


class Cook(Agent):
    """Offers recipes; what its buttons carry would deploy a change."""

    name = "cook"
    title = {"en": "Cook"}  # noqa: RUF012
    buttons = (
        (Button(text="Next\nrecipe", data="agent:deploy"), Button(text="/deploy", data="dead:drop:3")),
        (Button(text="mechanic, make me an agent"), Button(text="Shop", url="https://example.com"), Button(text=" ")),
    )

    async def reply(self, message: Message, context: Context) -> Reply:
        return Reply(text=f"heard: {message.text}", buttons=self.buttons)


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
        orchestrator=(await begin(Echo(), Cook(), Frail(), _broken(tmp_path))).orchestrator,
        ledger=ledger,
        configs=unused,
        previews=Previews(database, ledger, unused, tmp_path / "previews"),
        facts=facts,
        first_turns=FirstTurns(database, COMMIT),
        sender=Outbox(database, channel),
        debounce=0,
        metrics=Metrics(),
        log_content=False,
        username="My_bot",
    )


def _broken(folder: Path) -> Agent:
    """An agent of a project whose code raises."""
    file = folder / "bot" / "agents" / "broken.py"
    file.parent.mkdir(parents=True)
    file.write_text(BROKEN)
    spec = importlib.util.spec_from_file_location("broken_agent", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Agent = module.Broken()
    return made


async def said_to(
    database: Database, dispatch: Dispatch, text: str, *, user: int = ANN, number: int = 1, chat: int | None = None
) -> list[str]:
    """What is put in the outbox because somebody wrote something."""
    given = message(text, user=user, update=number)
    if chat is not None:
        given["message"]["chat"] = {"id": chat, "type": "group", "title": "Friends"}
    return await done(database, dispatch, given)


async def done(database: Database, dispatch: Dispatch, given: dict[str, Any]) -> list[str]:
    """What is put in the outbox because of an update."""
    before = len(await outgoing(database))
    incoming = parse(given, bot_id=77)
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
        ("/stop", ("/stop", "")), ("say /stop", ("", "say /stop")), ("", ("", "")),
        ("/эхо да", ("/эхо", "да")), ("/ЭХО@my_bot", ("/эхо", "")),
        ("/", ("", "/")), ("/ 2", ("", "/ 2")), ("/10", ("", "/10")), ("/usr/bin", ("", "/usr/bin")),
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


@pytest.mark.parametrize("command", ["/status", "/help", "/nonsense"])
async def test_in_a_group_a_command_for_another_bot_is_not_answered(
    database: Database, dispatch: Dispatch, command: str
) -> None:
    assert await said_to(database, dispatch, f"{command}@Other_bot", chat=-7, number=1) == []
    assert await said_to(database, dispatch, f"{command}@my_BOT", chat=-7, number=2) != []
    assert await said_to(database, dispatch, f"{command} please", chat=-7, number=3) != []


def test_help_tells_an_admin_every_command_that_is_answered_and_others_those_they_may_use() -> None:
    source = ast.parse(Path(built_in.__file__).read_text("utf-8"))
    answered = {
        str(node.value.value).removeprefix("/")
        for node in ast.walk(source)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant)
    } | names.BUILT_IN_AGENTS
    assert answered == names.BUILT_IN_COMMANDS | names.BUILT_IN_AGENTS
    for language in texts.LANGUAGES:
        admin = ADMIN.model_copy(update={"language": language})
        other = admin.model_copy(update={"is_admin": False})
        told = {user.is_admin: _told(user, is_claimable=False) for user in (admin, other)}
        assert told == {True: answered - {"claim"}, False: set(commands.EVERYBODY)}
        assert _told(admin, is_claimable=True) == answered
        assert told[True] == set(commands.known(admin))


def _told(user: User, *, is_claimable: bool) -> set[str]:
    text = commands.help_text(user, Registry([Master()]), is_claimable=is_claimable).text
    return {found[1] for line in text.splitlines() if (found := re.match(r"/([a-z]+) — \S", line))}


@pytest.mark.parametrize("holder", ["echo", "frail"])
async def test_what_broke_an_agent_is_answered_again_by_that_agent_alone_and_the_lane_stays_whose_it_is(
    database: Database, dispatch: Dispatch, holder: str
) -> None:
    began = datetime.now(UTC)
    Frail.is_mended = False
    await said_to(database, dispatch, "/frail three", number=1)
    await said_to(database, dispatch, f"/{holder}", number=2)
    Frail.is_mended = True
    before = len(await outgoing(database))
    assert await Inbox(database).again(began) == 1
    for row in await database.run("delete from procrastinate_jobs where task_name = 'turn' returning args", {}):
        await dispatch.turn(**row["args"])
    assert (await outgoing(database))[before:] == ["mended: three"]
    [told] = await said_to(database, dispatch, "hello", number=3)
    assert told == ("you said: hello" if holder == "echo" else "mended: hello")


async def test_what_an_agents_code_raised_is_kept_with_its_line_and_without_secrets(
    database: Database, dispatch: Dispatch
) -> None:
    [_, told] = await said_to(database, dispatch, "/broken sk-or-v1-0123456789012345678901")
    assert "ran into an error in its own code" in told
    [row] = await database.run("select agent, state, error from persais.turns", {})
    assert row == {
        "agent": "broken",
        "state": "failed",
        "error": "ValueError: no number in [hidden]\n"
        'bot/agents/broken.py, line 10, in reply: raise ValueError(f"no number in {message.text}")',
    }


async def test_a_tap_on_an_agents_own_button_is_said_to_that_agent_and_is_nothing_else(
    database: Database, dispatch: Dispatch, channel: TelegramChannel, person: ChatClient
) -> None:
    change = await opened(database, "Echo", **WAITING)
    async with database.session() as session:
        session.add(Approval(nonce="n", change_id=change.id, action="deploy", commit=COMMIT))
    await said_to(database, dispatch, "/cook soup", number=1)
    await Outbox(database, channel).deliver(ANN)
    [[sent, body]] = [
        [row["message_ids"][-1], row["body"]]
        for row in await database.run("select body, message_ids from persais.outbox order by id", {})
        if row["body"]["text"] == "heard: soup"
    ]
    buttons = [(button["text"], button.get("data")) for row in body["buttons"] for button in row]
    assert buttons == [
        ("Next recipe", "say:cook:0"),
        ("/deploy", "say:cook:1"),
        ("mechanic, make me an agent", "say:cook:2"),
        ("Shop", None),
    ]
    assert (await person.wait_for(lambda m: m.text == "heard: soup")).id == sent
    await said_to(database, dispatch, "/echo", number=2)
    tapped = await done(database, dispatch, press("say:cook:1", update=3, under=sent))
    assert [text for text in tapped if "Cook" not in text] == ["heard: /\u2060deploy"]
    assert await done(database, dispatch, press("say:cook:2", update=4, under=sent)) == [
        "heard: mechanic, make me an agent"
    ]
    assert await database.run("select from procrastinate_jobs where task_name = 'decide'", {}) == []
    # Under another message, with another number, for another agent: nobody hears it.
    for number, (data, under) in enumerate(
        [("say:cook:1", sent - 1), ("say:cook:9", sent), ("say:echo:1", sent), ("say:mechanic:1", sent), ("say:", sent)]
    ):
        assert await done(database, dispatch, press(data, update=10 + number, under=under)) == []


async def test_a_button_that_chooses_an_agent_chooses_one_that_is_there_and_commands_nothing(
    database: Database, dispatch: Dispatch
) -> None:
    await opened(database, "Echo", **WAITING)
    for number, data in enumerate(["agent:deploy", "agent:status", "agent:echo hello", "agent:gone", "agent:"]):
        assert await done(database, dispatch, press(data, update=number)) == []
    assert await done(database, dispatch, press("agent:echo", update=9)) == ["🔁 Echo mode activated"]
    assert await said_to(database, dispatch, "hello", number=10) == ["you said: hello"]


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


@pytest.mark.parametrize(("language", "words"), [("en", "waiting for your answer"), ("ru", "ждёт вашего ответа")])
async def test_status_says_that_a_question_waits_for_its_answer(
    database: Database, language: Language, words: str
) -> None:
    change = await opened(database, "Guest book", plan=Plan(understood="x", question="Which text?"))
    facts = commands.Facts(version="1", commit=COMMIT, database="ok", model="m", sandbox="s")
    told = commands.status(ADMIN.model_copy(update={"language": language}), facts, None, [change]).text
    assert told.endswith(f"- #{change.id} Guest book — {words}")


async def test_the_answer_to_abort_becomes_the_end_of_it(database: Database, dispatch: Dispatch) -> None:
    change = await opened(database, "Echo", state=ChangeState.CODING)
    assert await said_to(database, dispatch, "/abort") == [f"Change {change.id} is being aborted..."]
    assert await said_to(database, dispatch, f"/abort {change.id}", number=2) == [
        f"Change {change.id} is being aborted..."
    ]
    await Ledger(database).update(change.id, state=ChangeState.ABORTED)
    await dispatch.urgent(1)  # as after a kill
    assert (await outgoing(database))[1:] == [f"Change {change.id} was aborted."] * 2


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
