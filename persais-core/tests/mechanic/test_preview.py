"""[Try]: real candidates in the real sandbox; only the chat and the model's words are this test's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import workshops

import repositories
from persais_core.coders.aider import AiderCoder
from persais_core.db.engine import Database
from persais_core.db.tables.evolution import ChangeRow
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Message, Reply, Turn, User
from persais_core.domain.plans import Part, Plan
from persais_core.git.repository import Repository
from persais_core.mechanic import approvals, cards, preview
from persais_core.mechanic.ledger import Ledger
from persais_core.mechanic.preview import Previews
from persais_core.mechanic.preview.tried import agent_of
from persais_core.mechanic.workshop import Workshop
from persais_core.security.sandbox import Sandbox
from persais_core.settings import Settings
from scripted_openai import ScriptedOpenAI, fails, says

ANN = User(id=1000001, name="Ann", is_admin=True)
LANE, OTHER = Lane(chat_id=1000001), Lane(chat_id=-100, topic_id=7)
MARK = "👁 preview · Guest\n"
NOTE = """
from persais_core.db.records import Record
class Note(Record, table=True):
    __tablename__ = "agent_notes"
    text: str
"""
AGENT = """
import asyncio, os, time
from bot.schemas.notes import Note
from persais_core import errors
from persais_core.agents.base import Agent
from persais_core.domain.chats import Button, Reply
class Guest(Agent):
    \"\"\"Does what it is told.\"\"\"
    name = "guest"
    title = {"en": "Guest", "ru": "Гость"}
    async def reply(self, message, context):
        word, _, rest = message.text.partition(" ")
        if word == "raise":
            return [][1]
        if word == "refuse":
            raise errors.AgentError("not today")
        if word == "hang":
            time.sleep(100)
        if word == "leave":
            os._exit(4)
        if word == "leave-later":
            asyncio.get_running_loop().call_later(0.3, os._exit, 5)
        if word == "eat":
            kept = bytearray(b"x") * (600 << 20)
            time.sleep(100)
        if word == "flood":
            return "x" * 300_000
        if word == "silence":
            return ""
        if word == "odd":
            return "a\\0b"
        if word == "worse":
            return "\\ud800"
        if word == "who":
            return f"{context.user.id} {context.user.name} {context.language} {context.user.is_admin}"
        if word == "note":
            await context.records(Note).add(Note(text=rest))
            return " ".join(note.text for note in await context.records(Note).list())
        if word == "buttons":
            rows = ((Button(text="x _y", data="c:forged"), Button(text="y", url="https://example.org")), (Button(text="z", data="p:1"),))
            return Reply(text="**Pick**", buttons=rows)
        if word == "ask":
            return await context.ask(rest, system="Be kind.")
        if word == "ask-and-hang":
            await context.ask(rest)
            time.sleep(100)
        if word == "ask-both":
            return " and ".join(await asyncio.gather(context.ask("one"), context.ask("two")))
        if word == "ask-behind":
            asyncio.get_running_loop().create_task(context.ask("late"))
            return "sent"
        if word == "ask-always":
            while True:
                try:
                    await context.ask("again")
                except errors.ModelError:
                    pass
        if word == "reach":
            import socket
            socket.socket()
        return f"Guest: {message.text}"
"""  # noqa: E501
POET = """
from persais_core.agents.base import Agent
class Poet(Agent):
    name = "guest"
    title = {"en": "*Guest*"}
    prompt = "You are a poet."
"""


@dataclass
class Tried:
    """A bot's previews, and one change that waits for its decision."""

    database: Database
    ledger: Ledger
    shop: Workshop
    previews: Previews
    folder: Path
    sql: psycopg.AsyncConnection
    change: Change
    turns: itertools.count[int]

    async def start(self, lane: Lane = LANE, change: Change | None = None) -> str:
        """Start a preview; returns what was said."""
        number = (change or self.change).id
        await self.previews.begin(number, lane.chat_id, lane.topic_id, "en", f"start-{next(self.turns)}")
        return (await self.told())[-1]

    async def replies(self, text: str, lane: Lane = LANE, **message: str) -> tuple[Reply, ...] | None:
        turn = Turn(id=next(self.turns), lane=lane, user=ANN, message=Message(text=text, **message))
        return await self.previews.answer(turn)

    async def say(self, text: str, lane: Lane = LANE, **message: str) -> str | None:
        replies = await self.replies(text, lane, **message)
        return None if replies is None else "|".join(reply.text for reply in replies)

    async def told(self) -> list[str]:
        """What went to the outbox, oldest first."""
        rows = await (await self.sql.execute("select body->>'text' from persais.outbox order by id")).fetchall()
        return [row[0] for row in rows]

    async def until_told(self, part: str) -> None:
        async with asyncio.timeout(60):
            while not any(part in text for text in await self.told()):
                await asyncio.sleep(0.05)

    async def rows(self) -> list[tuple[object, ...]]:
        found = await self.sql.execute("select lane, change_id, commit, agent from persais.previews order by lane")
        return await found.fetchall()

    def left(self) -> list[str]:
        """Folders of previews."""
        return [path.name for path in self.folder.glob("*")]


Begin = Callable[..., Awaitable[Tried]]


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return Sandbox(secrets_present=False)


@pytest.fixture
async def begin(
    database: Database, sql: psycopg.AsyncConnection, openai_server: ScriptedOpenAI, box: Sandbox, tmp_path: Path
) -> AsyncIterator[Begin]:
    opened: list[Previews] = []

    async def made(agent: str = AGENT, **limits: float) -> Tried:
        files = {"bot/agents/guest.py": agent, "bot/schemas/notes.py": NOTE}
        for name in ("bot/__init__.py", "bot/agents/__init__.py", "bot/schemas/__init__.py"):
            files[name] = ""
        settings = Settings(_env_file=None, llm_base_url=openai_server.url, llm_api_key="k", persais_home=tmp_path)
        home = workshops.at_home(database, tmp_path, files)
        coder = AiderCoder(venv=tmp_path / "no-aider")
        shop = workshops.joined(settings, database, coder=coder, sandbox=box, **home)
        ledger = shop.ledger
        previews = Previews(database, ledger, workshops.getting(shop), tmp_path / "previews", **limits)
        await previews.open()
        opened.append(previews)
        change = await a_change(database, await shop.repository.main())
        return Tried(database, ledger, shop, previews, tmp_path / "previews", sql, change, itertools.count(1))

    yield made
    for previews in opened:
        await previews.close()


async def a_change(database: Database, commit: str, plan: Plan | None = None) -> Change:
    """A delivered change, as `deliver` leaves it."""
    plan = plan or Plan(understood="A guest", create=(Part(kind="agent", name="guest"),))
    async with database.session() as session:
        row = ChangeRow(chat_id=LANE.chat_id, user_id=ANN.id, state=ChangeState.AWAITING_APPROVAL)
        session.add(row)
        await session.flush()
        change = Change(
            id=row.id or 0,
            chat_id=LANE.chat_id,
            user_id=ANN.id,
            language="en",
            request="A guest",
            state=ChangeState.AWAITING_APPROVAL,
            plan=plan,
            commit=commit,
        )
        change = change.model_copy(update={"buttons": approvals.issue(session, change, ("deploy", "abort", "try"))})
        row.body = change.model_dump(mode="json")
    return change


@pytest.fixture
async def tried(begin: Begin) -> Tried:
    """The guest, with a preview that runs in the lane."""
    made = await begin()
    assert await made.start() == (
        "👁 Preview of Guest: write to it; production does not know it yet\n"
        "Stop, or /stop, ends it. To correct it, write for example: /mechanic no, in lower case\n"
        "Its tables are its own: empty at first, and thrown away when the preview ends."
    )
    return made


async def test_what_is_said_in_the_lane_goes_to_the_candidate_and_comes_back_marked(tried: Tried) -> None:
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"
    assert await tried.say("who") == f"{MARK}{ANN.id} Ann en False"
    assert await tried.rows() == [(LANE.key, tried.change.id, tried.change.commit, "guest")]


async def test_other_lanes_and_other_commands_are_not_its_business(tried: Tried) -> None:
    assert await tried.say("Hello", OTHER) is None
    for command in ("/guest", "/status", "/mechanic make me rich", "/unknown@bot"):
        assert await tried.say(command) is None
    assert await tried.say("/stop", OTHER) is None


async def test_stop_ends_it_and_the_lane_is_free_again(tried: Tried) -> None:
    assert await tried.say("/STOP@persais_bot please") == "👁 Preview ended"
    assert await tried.say("Hello") is None
    assert await tried.say("/stop") is None
    assert (await tried.rows(), tried.left()) == ([], [])


async def test_the_button_ends_it_even_while_it_hangs(tried: Tried, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("Go on."))
    waiting = asyncio.create_task(tried.say("ask-and-hang now"))
    async with asyncio.timeout(60):
        while not openai_server.bodies:
            await asyncio.sleep(0.01)
    await tried.previews.stop(tried.change.id, LANE.chat_id, LANE.topic_id, "en")
    assert await waiting == f"{MARK}(no answer)"
    assert (await tried.told())[-1] == "👁 Preview ended"
    assert (await tried.rows(), tried.left()) == ([], [])
    await tried.previews.stop(tried.change.id, LANE.chat_id, LANE.topic_id, "en")
    assert "no preview of that change" in (await tried.told())[-1]


async def test_the_message_it_began_with_loses_its_button_at_the_end(tried: Tried) -> None:
    query = "select body->'buttons'->0->0->>'data' from persais.outbox where key like 'preview:%' order by id limit 1"
    assert await (await tried.sql.execute(query)).fetchone() == (f"p:{tried.change.id}",)
    await tried.say("/stop")
    assert await (await tried.sql.execute(query)).fetchone() == (None,)


async def test_its_records_live_as_long_as_it_does_and_are_nowhere_else(tried: Tried) -> None:
    await tried.say("note one")
    assert await tried.say("note two") == f"{MARK}two one"
    await tried.start(OTHER)
    assert await tried.say("note other", OTHER) == f"{MARK}other"
    await tried.start()  # in the place of the first
    assert await tried.say("note three") == f"{MARK}three"
    assert (len(tried.left()), len(await tried.rows())) == (2, 2)
    await tried.say("/stop")
    assert await tried.say("Hello", OTHER) == f"{MARK}Guest: Hello"


async def test_what_goes_wrong_in_an_answer_is_shown_and_the_preview_goes_on(tried: Tried) -> None:
    lines = AGENT.splitlines()
    at = {word: next(n for n, line in enumerate(lines, 1) if word in line) for word in ("return [][1]", "socket()")}
    for text, told in {
        "raise": f"⚠️ IndexError: list index out of range (bot/agents/guest.py:{at['return [][1]']})",
        "refuse": "⚠️ not today",
        "reach": f"⚠️ PermissionError: [Errno 1] Operation not permitted (bot/agents/guest.py:{at['socket()']})",
        "silence": "(no answer)",
        "odd": "ab",
        "worse": "?",
    }.items():
        assert await tried.say(text) == f"{MARK}{told}"
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("hang", "it did not answer within 1 s"),
        ("leave", "it ended with exit code 4"),
        ("eat", "it used more than 512 MB of memory"),
        ("flood", "it said more than 256 kB at once"),
    ],
)
async def test_a_candidate_that_hangs_or_crashes_is_told_once_and_ended(begin: Begin, text: str, cause: str) -> None:
    tried = await begin(thinking=1 if text == "hang" else 15)
    await tried.start()
    assert await tried.say(text) == f"👁 Preview ended: Guest was stopped because {cause}."
    assert await tried.say("Hello") is None
    assert len(await tried.told()) == 1
    assert (await tried.rows(), tried.left()) == ([], [])


async def test_a_crash_between_two_messages_is_told_too(tried: Tried) -> None:
    await tried.say("leave-later")
    await tried.until_told("Guest was stopped because it ended with exit code 5.")
    assert await tried.say("Hello") is None


async def test_a_prompt_agent_asks_the_model_out_here_and_it_is_booked_to_the_change(
    begin: Begin, openai_server: ScriptedOpenAI
) -> None:
    tried = await begin(POET)
    await tried.start()
    openai_server.script(says("Roses **are** red.", cost=0.25))
    reply = await tried.replies("A verse")
    assert reply is not None and reply[0].text == f"{MARK}\nRoses **are** red."
    assert not reply[0].plain
    openai_server.script(fails(500))
    assert "status 500" in (await tried.say("Lost") or "")
    openai_server.script(says("Violets.", cost=0.25))
    await tried.say("Another")
    assert [m["content"] for m in openai_server.bodies[0]["messages"]] == [
        "You are a poet.",
        "A verse",
        "Roses **are** red.",
        "Another",
    ]
    assert all("tools" not in body for body in openai_server.bodies)
    calls = await tried.sql.execute("select purpose, user_id, change_id, cost from persais.model_calls")
    assert await calls.fetchall() == [("preview", ANN.id, tried.change.id, 0.25)] * 2


async def test_a_model_that_fails_is_the_candidates_to_deal_with(tried: Tried, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(fails(500))
    assert "status 500" in (await tried.say("ask me") or "")
    openai_server.script(says("yes"))
    assert await tried.say("ask me") == f"{MARK}yes"
    assert await tried.say("ask-both") == f"{MARK}yes and yes"


async def test_questions_out_of_turn_do_no_harm(tried: Tried) -> None:
    assert await tried.say("ask-behind") == f"{MARK}sent"
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"


async def test_a_candidate_that_asks_for_ever_is_ended(tried: Tried, openai_server: ScriptedOpenAI) -> None:
    assert "it asked the model more than 8 times" in (await tried.say("ask-always") or "")
    assert len(openai_server.bodies) == 8
    assert await tried.say("Hello") is None


async def test_buttons_that_only_production_would_hear_of_are_told_as_text(tried: Tried) -> None:
    replies = await tried.replies("buttons")
    assert replies is not None
    assert [[button.url for button in row] for row in replies[0].buttons] == [["https://example.org"]]
    told = r"Buttons: x \_y · z (type one; they can be tapped once this is deployed)"
    assert replies[0].text == f"{MARK}\n**Pick**\n\n{told}"


async def test_files_without_words_are_declined_as_in_production(tried: Tried) -> None:
    assert "voice messages" in (await tried.say("", attachment="voice") or "")


async def test_it_is_the_delivered_commit_that_runs_not_what_lies_in_the_worktree(begin: Begin) -> None:
    tried = await begin()
    (tried.shop.repository.path / "bot/agents/guest.py").write_text("broken(")
    await tried.start()
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"


async def test_no_more_than_four_run_at_once(begin: Begin) -> None:
    tried = await begin()
    lanes = [Lane(chat_id=number + 1) for number in range(preview.MOST)]
    await asyncio.gather(*(tried.start(lane) for lane in lanes))
    assert "4 previews are running already" in await tried.start(OTHER)
    assert await tried.say("Hello", OTHER) is None
    assert len(tried.left()) == preview.MOST


@pytest.mark.parametrize(
    ("agent", "cause"),
    [
        ("import nothing_like_this", "bot/agents/guest.py cannot be imported"),
        ("", "there is no agent guest in it"),
        ("import os; os._exit(7)", "it ended with exit code 7"),
    ],
)
async def test_a_candidate_that_cannot_be_loaded_is_told_with_the_cause(begin: Begin, agent: str, cause: str) -> None:
    tried = await begin(agent)
    told = await tried.start()
    assert told.startswith("👁 The preview did not start: ")
    assert cause in told
    assert await tried.say("Hello") is None
    assert (await tried.rows(), tried.left()) == ([], [])


async def test_time_runs_out_for_one_that_nobody_uses(begin: Begin) -> None:
    tried = await begin(idle=0.5)
    await tried.start()
    await tried.until_told("the time of Guest is over")
    assert await tried.say("Hello") is None


async def test_time_runs_out_for_one_that_is_used_for_too_long(begin: Begin) -> None:
    tried = await begin(longest=1.0)
    await tried.start()
    await tried.until_told("the time of Guest is over")


async def test_whoever_speaks_to_one_that_a_restart_ended_is_told_so_once(tried: Tried) -> None:
    await tried.previews.close()
    assert tried.left() == []
    (tried.folder / "left-by-a-kill").mkdir(parents=True)
    await tried.previews.open()
    assert tried.left() == []
    assert "not running any more" in (await tried.say("Hello") or "")
    assert await tried.say("Hello") is None
    assert await tried.rows() == []


async def test_a_decision_ends_it_before_it_is_carried_out(tried: Tried) -> None:
    seen: list[object] = []

    async def decide(change: int, decision: str) -> None:
        seen.append((change, decision, tried.left()))

    await tried.previews.before(decide)(change=tried.change.id + 1, decision="deploy")
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"
    await tried.previews.before(decide)(change=tried.change.id, decision="deploy")
    assert seen[1] == (tried.change.id, "deploy", [])
    assert (await tried.told())[-1] == "👁 Preview ended, as the change was decided on."
    assert await tried.say("Hello") is None


async def test_a_change_that_was_decided_on_elsewhere_is_noticed_at_the_next_word(tried: Tried) -> None:
    await tried.ledger.update(tried.change.id, state=ChangeState.ABORTED)
    assert await tried.say("Hello") == "👁 Preview ended, as the change was decided on."
    assert await tried.say("Hello") is None
    assert "older state of the change" in await tried.start()


async def jobs(tried: Tried) -> list[tuple[str, dict[str, object]]]:
    query = "select task_name, args from procrastinate_jobs where task_name like '%preview' order by id"
    return await (await tried.sql.execute(query)).fetchall()


async def test_try_works_again_and_again_for_admins_only(begin: Begin) -> None:
    tried = await begin()
    data = tried.change.buttons["try"]

    async def press(user: User) -> str:
        return (await approvals.redeem(tried.database, tried.ledger, user=user, lane=LANE, data=data)).note

    assert await press(ANN.model_copy(update={"is_admin": False})) == "Only an admin of this bot may do that."
    assert await jobs(tried) == []
    for _ in range(2):
        assert await press(ANN) == "Starting the preview..."
    first, second = await jobs(tried)
    assert first[0] == second[0] == "preview"
    await tried.previews.begin(**first[1])  # type: ignore[arg-type]
    assert await tried.say("Hello") == f"{MARK}Guest: Hello"
    await tried.ledger.update(tried.change.id, commit="0" * 40)
    assert "older state" in await press(ANN)


async def test_a_forged_stop_is_refused(begin: Begin) -> None:
    tried = await begin()
    for data in ("p:", "p:x", "p:-1", "p:99999999999999999999", "p:٣", "p:1; drop"):
        async with tried.database.session() as session:
            assert not await preview.wish_end(session, data, LANE, "en")
    assert await jobs(tried) == []


async def test_stop_is_put_in_the_queue_beside_the_lane(tried: Tried) -> None:
    async with tried.database.session() as session:
        assert await preview.wish_end(session, f"{preview.PRESS}{tried.change.id}", LANE, "en")
    [(task, arguments)] = await jobs(tried)
    assert task == "stop_preview"
    await tried.previews.stop(**arguments)  # type: ignore[arg-type]
    assert await tried.say("Hello") is None


@pytest.mark.parametrize(
    ("plan", "agent"),
    [
        (Plan(understood="x", create=(Part(kind="schema", name="a"), Part(kind="agent", name="b"))), "b"),
        (Plan(understood="x", edit=("bot/schemas/a.py", "bot/agents/c.py")), "c"),
        (Plan(understood="x", create=(Part(kind="agent", name="b"),), edit=("bot/agents/c.py",)), "b"),
        (Plan(understood="x", edit=("bot/schemas/a.py", "tests/schemas/test_a.py")), "d"),
        (Plan(understood="x", create=(Part(kind="tool", name="a"),)), "d"),
        (Plan(understood="x", edit=("bot/schemas/unused.py",)), None),
        (None, None),
    ],
)
async def test_a_change_is_tried_by_its_agent_or_by_one_that_uses_what_it_changes(
    plan: Plan | None, agent: str | None, tmp_path: Path
) -> None:
    files = {
        "bot/schemas/a.py": "",
        "bot/schemas/unused.py": "",
        "bot/tools/a.py": "from ..schemas.a import A",
        "bot/agents/b.py": "def broken(:",
        "bot/agents/d.py": "from bot.tools import a",
        "bot/agents/e.py": "import bot.tools.a",
    }
    commit = repositories.commit_all(tmp_path, files)
    change = Change(id=1, chat_id=1, user_id=1, language="en", request="x", plan=plan)
    assert await agent_of(Repository(tmp_path), change, commit) == agent


def test_the_card_has_it_in_its_second_row() -> None:
    buttons = {"deploy": "c:1", "abort": "c:2", "view": "c:3", "try": "c:4"}
    change = Change(
        id=1,
        chat_id=1,
        user_id=1,
        language="ru",
        request="x",
        state=ChangeState.AWAITING_APPROVAL,
        commit="0" * 40,
        buttons=buttons,
    )
    assert [[button.data for button in row] for row in cards.card(change).buttons] == [["c:1", "c:2", "c:3"], ["c:4"]]
    assert cards.card(change).buttons[1][0].text == "Попробовать"
