"""Settings of agents: tried, stored, in force at the next turn, shown, and taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from persais_core.agents import config
from persais_core.agents.base import Agent
from persais_core.agents.config import AgentConfigs
from persais_core.agents.master import Master
from persais_core.agents.registry import Registry
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Message, Turn, User
from persais_core.domain.configs import SETTINGS, AgentConfig, ConfigChange
from persais_core.llm.models import Models
from persais_core.orchestrator import configuring
from persais_core.settings import Settings
from scripted_openai import KEY, ScriptedOpenAI, fails, says

ANN = User(id=7, name="Ann", is_admin=True)


class Poet(Agent):
    """Answers in verse."""

    name = "poet"
    keywords = ("verse",)
    prompt = "You are a poet."


REGISTRY = Registry([Master(), Poet()])


@pytest.fixture
def configs(database: Database, openai_server: ScriptedOpenAI) -> AgentConfigs:
    settings = Settings(llm_base_url=openai_server.url, llm_api_key=KEY, default_model="usual", fallback_models=("b",))
    return AgentConfigs(database, Models(settings, database), REGISTRY)


async def told(configs: AgentConfigs, words: str) -> str:
    turn = Turn(id=1, lane=Lane(chat_id=7), user=ANN, messages=(Message(text=words),))
    return (await configuring.answer(configs, REGISTRY, turn)).text


async def test_a_setting_is_tried_stored_noted_and_taken_back(
    configs: AgentConfigs, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection[Any]
) -> None:
    openai_server.script(says("ok"))
    assert "model `x/tiny-1`, temperature 0" in await told(configs, "/config poet model=x/tiny-1 temperature=0")
    [trial] = openai_server.bodies
    assert (trial["model"], trial["temperature"]) == ("x/tiny-1", 0)
    assert await configs.all() == {"poet": AgentConfig(model="x/tiny-1", temperature=0)}
    assert "/poet — model `x/tiny-1`, temperature 0" in await told(configs, "/config")
    assert "temperature 0." in await told(configs, "/config /Poet model=default")
    await told(configs, "/config poet default")
    assert await configs.all() == {}
    rows = await sql.execute("select actor, subject, outcome, detail from persais.audit order by id")
    assert await rows.fetchall() == [
        (7, "agent poet", "ok", {"model": "x/tiny-1", "temperature": 0.0}),
        (7, "agent poet", "ok", {"temperature": 0.0}),
        (7, "agent poet", "ok", {}),
    ]


async def test_what_two_admins_set_at_once_is_both_set(configs: AgentConfigs, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(says("ok"))
    words = ["model=x/tiny-1", "temperature=0", "max_tokens=500", "enabled=no"]
    await asyncio.gather(*(told(configs, f"/config poet {word}") for word in words))
    expected = AgentConfig(model="x/tiny-1", temperature=0, max_tokens=500, enabled=False)
    assert await configs.all() == {"poet": expected}


async def test_a_model_that_does_not_answer_is_not_stored_and_no_other_answers_for_it(
    configs: AgentConfigs, openai_server: ScriptedOpenAI
) -> None:
    openai_server.script(fails(404), says("I am the fallback"))
    answer = await told(configs, "/config poet model=nobody/knows-1")
    assert answer.startswith("Nothing was changed: ")
    assert "nobody/knows-1" in answer
    assert await configs.all() == {}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("/config nobody model=x", "there is no agent nobody"),
        ("/config nobody", "there is no agent nobody"),
        ("/config mechanic model=x", "CODER\\_MODEL"),
        ("/config master enabled=no", "Master cannot be switched off"),
        ("/config peot temperature=3", "there is no agent peot, did you mean poet?"),
        ("/config poet temperature=9", "`temperature` is a number from 0 to 2, not 9."),
        ("/config poet temperature=nan", "`temperature` is a number from 0 to 2, not nan."),
        ("/config poet temperature", "`temperature` has no value: `temperature` is a number from 0 to 2."),
        ("/config poet max_tokens=0", "`max_tokens` is a whole number from 1 to 100000, not 0."),
        ("/config poet max_tokens=many", "`max_tokens` is a whole number from 1 to 100000, not many."),
        ("/config poet model=x;rm", "`model` is a name as the model's server knows it"),
        ("/config poet model=x model", "`model` is named twice."),
        ("/config poet enabled=perhaps", "`enabled` is `yes` or `no`, not perhaps."),
        (f"/config poet keywords={'k' * 41}", "`keywords` are at most 20 words"),
        ("/config poet temperature=1 colour=red size", "there is no setting colour, size; there are `model`, `temp"),
        ("/config poet =", "there is no setting =;"),
    ],
)
async def test_what_cannot_be_set_is_told_without_asking_a_model(
    configs: AgentConfigs, openai_server: ScriptedOpenAI, words: str, answer: str
) -> None:
    openai_server.script(says("ok"))
    assert answer in await told(configs, words)
    assert openai_server.bodies == []
    assert await configs.all() == {}


async def test_what_is_wrong_is_told_in_the_language_of_whoever_wrote_it_and_all_at_once(
    configs: AgentConfigs,
) -> None:
    turn = Turn(
        id=1,
        lane=Lane(chat_id=7),
        user=ANN.model_copy(update={"language": "ru"}),
        messages=(Message(text="/config poet temperature=9 max_tokens=0 enabled=no"),),
    )
    assert (await configuring.answer(configs, REGISTRY, turn)).text == (
        "Ничего не изменилось: `temperature` — число от 0 до 2, а не 9; "
        "`max_tokens` — целое число от 1 до 100000, а не 0."
    )
    assert await configs.all() == {}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("temperature = 0,5", {"temperature": 0.5}),
        ("temperature 1 enabled=нет", {"temperature": 1.0, "enabled": False}),
        ("keywords=раз, два три max_tokens=5", {"keywords": ("раз", "два три"), "max_tokens": 5}),
        ("Temperature=default max_tokens=5", {"default": ("temperature",), "max_tokens": 5}),
    ],
)
def test_settings_are_read_as_people_write_them(words: str, wanted: dict[str, Any]) -> None:
    assert configuring.read("poet", words, "en") == ConfigChange(agent="poet", **wanted)


async def test_an_agent_that_is_switched_off_is_gone_and_keywords_are_the_owners(configs: AgentConfigs) -> None:
    await configs.update(ConfigChange(agent="poet", keywords=("rhyme",)), actor=7)
    seen = REGISTRY.configured(await configs.all())
    assert (seen.by_keyword("a verse, please"), seen.by_keyword("a rhyme, please")) == (None, seen.find("poet"))
    await configs.update(ConfigChange(agent="poet", enabled=False), actor=7)
    assert REGISTRY.configured(await configs.all()).find("poet") is None
    await configs.update(ConfigChange(agent="poet", default=SETTINGS), actor=7)
    assert REGISTRY.configured(await configs.all()).find("poet") is not None


def test_options_are_only_those_that_differ() -> None:
    assert config.options(AgentConfig(enabled=False)) is None
    asked = config.options(AgentConfig(temperature=0))
    assert asked is not None
    assert asked.model_dump(exclude_none=True) == {"temperature": 0}


@pytest.mark.parametrize("given", [{}, {"model": "x", "default": ("model",)}, {"default": ("colour",)}])
def test_a_change_says_something_and_nothing_twice(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ConfigChange.model_validate({"agent": "poet", **given})
