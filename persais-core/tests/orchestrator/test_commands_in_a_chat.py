"""Commands as people really write them, seen by the right people, and acted on once."""

from __future__ import annotations

import ast
import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dispatched
import psycopg
import pytest
from dispatched import COMMIT, done, joined, outgoing
from sqlalchemy.exc import DBAPIError

from persais_core import texts
from persais_core.agents import visibility
from persais_core.agents.base import Agent
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import Approval, Preview
from persais_core.domain import names
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Button, Lane, Language, Message, Reply, User
from persais_core.domain.plans import Plan
from persais_core.emulators.telegram.client import ChatClient
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.orchestrator import built_in, commands
from persais_core.orchestrator.dispatch import Dispatch
from persais_core.queue.inbox import Inbox
from persais_core.queue.outbox import Outbox
from persais_core.security.access import Access
from persais_core.security.redact import Redactor
from persais_core.tools.base import Context
from talks import Begin, Echo
from updates import message, press

ANN, BOB = dispatched.ADMIN, dispatched.GUEST
EVE = 1000003  # may speak to the bot, and owns nothing
TRIED = Lane(chat_id=-7)  # a group where a preview runs
ADMIN = User(id=ANN, name="Ann", is_admin=True)
LANE = Lane(chat_id=ANN)
WAITING = {"state": ChangeState.AWAITING_APPROVAL, "commit": COMMIT, "buttons": {"deploy": "c:n", "abort": "c:m"}}
BROKEN = '''from persais_core import Agent, Context, Message


class Broken(Agent):
    """Counts."""

    name = "broken"

    async def reply(self, message: Message, context: Context) -> str:
        return self.counted(message.text)

    def counted(self, text: str, tries: int = 3) -> str:
        if tries:
            return self.counted(text, tries - 1)
        raise ValueError(f"no number in {text}")
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
    talk = await begin(Echo(), Cook(), Frail(), _broken(tmp_path))
    access = Access(database, allowed=frozenset({BOB, EVE}), admins=frozenset({ANN}))
    previews = Previews(database, Ledger(database, Redactor()), dispatched.no_shop, tmp_path / "previews")
    await previews.open()
    return joined(database, channel, talk.orchestrator, tmp_path, access=access, previews=previews)


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


async def opened(database: Database, request: str, **fields: Any) -> Change:
    change = await Ledger(database, Redactor()).open(lane=LANE, user=ADMIN, request=request, turn_id=None)
    return await Ledger(database, Redactor()).update(change.id, **fields) if fields else change


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


def test_every_built_in_command_is_answered_and_no_other_word() -> None:
    source = ast.parse(Path(built_in.__file__).read_text("utf-8"))
    answered = {
        str(node.value.value)
        for node in ast.walk(source)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant)
    }
    assert answered == names.BUILT_IN_COMMANDS


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_help_tells_what_each_command_does_and_the_menu_the_first_ones(language: Language) -> None:
    text = commands.help_text(language, Registry([Master(), Echo()]), names.COMMANDS).text
    assert re.findall(r"^/([a-z]+) — \S", text, re.MULTILINE) == [
        *(command.name for command in names.COMMANDS if command.theme == "talking"),
        "echo",
        *(command.name for command in names.COMMANDS if command.theme != "talking"),
    ]
    shown = [name for name, _ in commands.menu(Registry([Master(), Echo()]), language)]
    assert shown == ["start", "help", "agents", "mechanic", "status", "audit", "echo"]
    owners = commands.menu(Registry([Master(), Echo()]), language, is_admin=True)
    assert [name for name, _ in owners][:7] == [*shown[:-1], "master"]
    assert {name for name, _ in owners} == {command.name for command in names.COMMANDS} - {"claim"} | {"echo"}
    assert all(description for _, description in owners)


FOR_EVERYBODY = {command.name for command in names.COMMANDS if command.who == "everybody"}
FOR_ADMINS = {command.name for command in names.COMMANDS if command.who == "admins"}


@pytest.mark.parametrize(
    ("user", "chat", "may"),
    [
        (ANN, ANN, FOR_EVERYBODY | FOR_ADMINS | {"visibility", "stop"}),
        (BOB, BOB, FOR_EVERYBODY | {"visibility"}),
        (EVE, EVE, FOR_EVERYBODY),
        (EVE, TRIED.chat_id, FOR_EVERYBODY | {"stop"}),
    ],
    ids=["an admin", "the owner of an agent", "anybody else", "anybody who tries a change"],
)
async def test_each_is_told_what_they_may_use_and_refused_what_is_for_admins(
    database: Database, dispatch: Dispatch, user: int, chat: int, may: set[str]
) -> None:
    async with database.session() as session:
        await visibility.give(session, ["echo"], owner=BOB)
        session.add(Preview(lane=TRIED.key, change_id=1, commit=COMMIT, agent="echo", started_at=datetime.now(UTC)))
    [text] = await said_to(database, dispatch, "/help", user=user, chat=chat, number=1)
    own = {"echo", "cook", "frail", "broken"}
    assert set(re.findall(r"^/([a-z]+) — ", text, re.MULTILINE)) == may | own
    for number, (typo, meant) in enumerate({"visibilty": "visibility", "stp": "stop", "rolback": "rollback"}.items()):
        [told] = await said_to(database, dispatch, f"/{typo}", user=user, chat=chat, number=10 + number)
        assert (f"/{meant}" in told) is (meant in may), told
    refusal = texts.say("en", "tap-not-admin")
    for number, name in enumerate(sorted(names.BUILT_IN_COMMANDS - {"config", "claim"})):
        replies = await said_to(database, dispatch, f"/{name}", user=user, chat=chat, number=20 + number)
        assert (refusal in replies) is (name not in may and name in FOR_ADMINS), name


async def test_an_agents_owner_decides_who_sees_it_and_somebody_else_learns_nothing_by_trying(
    database: Database, dispatch: Dispatch
) -> None:
    async with database.session() as session:
        await visibility.give(session, ["echo"], owner=BOB)
    [told] = await said_to(database, dispatch, "/visibility echo private", user=BOB, number=1)
    assert "yours alone" in told
    [told] = await said_to(database, dispatch, "/visibility echo shared", user=EVE, number=2)
    assert told == (await said_to(database, dispatch, "/visibility nobody shared", user=EVE, number=3))[0].replace(
        "nobody", "echo"
    )
    [told] = await said_to(database, dispatch, "/visibility echo shared", user=ANN, number=4)
    assert "everybody" in told


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


async def test_what_an_agents_code_raised_is_kept_with_its_lines_and_without_secrets(
    database: Database, dispatch: Dispatch
) -> None:
    [_, told] = await said_to(database, dispatch, "/broken sk-or-v1-0123456789012345678901")
    assert "ran into an error in its own code" in told
    [row] = await database.run("select agent, state, error from persais.turns", {})
    assert row == {
        "agent": "broken",
        "state": "failed",
        "error": "ValueError: no number in [hidden]\n"
        'bot/agents/broken.py, line 15, in counted: raise ValueError(f"no number in {text}")\n'
        "bot/agents/broken.py, line 14, in counted: return self.counted(text, tries - 1)\n"
        "bot/agents/broken.py, line 10, in reply: return self.counted(message.text)",
    }


async def test_a_tap_on_an_agents_own_button_is_said_to_that_agent_and_is_nothing_else(
    database: Database, dispatch: Dispatch, channel: TelegramChannel, person: ChatClient
) -> None:
    change = await opened(database, "Echo", **WAITING)
    async with database.session() as session:
        session.add(Approval(nonce="n", change_id=change.id, action="deploy", commit=COMMIT))
    await said_to(database, dispatch, "/cook soup", number=1)
    await Outbox(database, channel, Redactor()).deliver(ANN)
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
    await Ledger(database, Redactor()).update(change.id, state=ChangeState.ABORTED)
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
