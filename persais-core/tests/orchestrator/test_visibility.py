"""An agent is there for everybody, or for its owner alone."""

from __future__ import annotations

import psycopg
import pytest

from persais_core import errors
from persais_core.agents import visibility
from persais_core.agents.registry import Registry
from persais_core.agents.visibility import Roster
from persais_core.db.engine import Database
from persais_core.domain.chats import User
from persais_core.orchestrator import sharing
from scripted_openai import ScriptedOpenAI, says
from talks import ANN, Begin, Echo, Poet, Talk

BOB = User(id=1000002, name="Bob")
ADMIN = User(id=1000003, name="Ada", is_admin=True)


@pytest.fixture
async def roster(database: Database) -> Roster:
    async with database.session() as session:
        await visibility.give(session, ["echo"], owner=BOB.id)
    return Roster(Registry([Echo(), Poet()]), database)


async def names(roster: Roster, user: User | None) -> list[str]:
    return [agent.name for agent in await roster.seen_by(user)]


async def test_an_agent_is_shared_until_its_owner_makes_it_private(
    roster: Roster, sql: psycopg.AsyncConnection
) -> None:
    assert await names(roster, ANN) == ["echo", "poet"]
    await roster.set_visibility("echo", "private", actor=BOB)
    assert await names(roster, BOB) == ["echo", "poet"]
    assert await names(roster, ANN) == await names(roster, ADMIN) == await names(roster, None) == ["poet"]
    await roster.set_visibility("echo", "shared", actor=ADMIN)
    assert await names(roster, ANN) == ["echo", "poet"]
    rows = await (await sql.execute("select actor, subject from persais.audit order by id")).fetchall()
    assert rows == [(BOB.id, "agent echo"), (ADMIN.id, "agent echo")]


@pytest.mark.parametrize(
    ("name", "actor", "told"),
    [
        ("echo", ANN, "no agent echo"), ("nobody", ADMIN, "no agent nobody"), ("master", ADMIN, "no agent master"),
        ("poet", ADMIN, "nobody owns poet"),
    ],
)  # fmt: skip
async def test_nobody_else_may_hide_an_agent(roster: Roster, name: str, actor: User, told: str) -> None:
    with pytest.raises(errors.AgentError, match=told):
        await roster.set_visibility(name, "private", actor=actor)


async def test_the_first_owner_stays(roster: Roster, database: Database) -> None:
    async with database.session() as session:
        await visibility.give(session, ["echo"], owner=ANN.id)
    await roster.set_visibility("echo", "private", actor=BOB)
    assert await names(roster, ANN) == ["poet"]


async def test_a_private_agent_is_no_command_no_keyword_and_no_choice_for_others(
    begin: Begin, roster: Roster, openai_server: ScriptedOpenAI
) -> None:
    talk: Talk = await begin(Echo(), Poet())
    await talk.say("/echo")
    await roster.set_visibility("echo", "private", actor=BOB)
    openai_server.script(says('{"decision": "switch", "agent": "echo"}'), says("Master here."))
    # The lane was Echo's, and a keyword calls it.
    gone = "Echo is not here any more; Master answers from here on."
    assert await talk.say("be a parrot") == [gone, "Master here."]
    assert "echo" not in openai_server.bodies[0]["messages"][1]["content"]
    [told] = await talk.say("/echo")
    assert "/echo" in told
    assert await talk.agent() == "master"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("echo private", "yours alone"), ("/Echo SHARED", "for everybody"), ("echo", "private (yours alone) or shared"),
        ("echo secret", "private (yours alone) or shared"), ("", "for example"), ("poet private", "nobody owns poet"),
    ],
)  # fmt: skip
async def test_the_command_says_what_it_did_or_how_it_is_meant(roster: Roster, words: str, told: str) -> None:
    assert told in (await sharing.answer(roster, words=words, user=BOB)).text
