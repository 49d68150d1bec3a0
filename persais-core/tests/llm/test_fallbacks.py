"""A model that does not answer is replaced by the next one, left alone when it keeps failing, and always paid for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from starlette.responses import JSONResponse

from persais_core import errors, texts
from persais_core.breakers import FAILURES, Breakers
from persais_core.db.engine import Database
from persais_core.llm.models import Booking, Models, Said
from persais_core.llm.options import ModelOptions
from persais_core.metrics import Metrics
from persais_core.settings import Settings
from scripted_openai import KEY, Answer, ScriptedOpenAI, fails, junk, says

HELLO: list[Said] = [("user", "Hello")]
BOOKING = Booking(purpose="answer", user_id=5, turn_id=6, agent="echo")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


Make = Callable[..., Models]


@pytest.fixture
def make(openai_server: ScriptedOpenAI, database: Database, metrics: Metrics) -> Make:
    def made(fallbacks: str = "second, third", rest: float = 30.0, within: float = 90.0, **changes: Any) -> Models:
        given = {"llm_base_url": openai_server.url, "llm_api_key": KEY, "default_model": "first", **changes}
        settings = Settings(_env_file=None, fallback_models=fallbacks, **given)
        breakers = Breakers(metrics, rest_seconds=rest)
        return Models(settings, database, breakers=breakers, metrics=metrics, timeout_seconds=within)

    return made


def by_model(**answers: Answer) -> Answer:
    """Each model has an answer of its own."""
    return lambda body: answers[body["model"]](body)


def asked(server: ScriptedOpenAI) -> list[str]:
    return [body["model"] for body in server.bodies]


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (fails(429), 3), (fails(500), 3), (fails(503), 3), (fails(404), 1), (fails(402), 1), (fails(400), 1),
        (junk(b"<html>"), 1), (junk(b"{}"), 1), (says(""), 1),
    ],
    ids=["429", "500", "503", "404", "402", "400", "page", "junk", "silence"],
)  # fmt: skip
async def test_whatever_keeps_a_model_from_answering_the_next_one_does(
    make: Make, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection, failure: Answer, times: int
) -> None:
    openai_server.script(by_model(first=failure, second=says("I am second.")))
    assert await make().ask(HELLO, BOOKING) == "I am second."
    assert asked(openai_server) == ["first"] * times + ["second"]
    row = await (await sql.execute("select model, agent from persais.model_calls order by id desc limit 1")).fetchone()
    assert row == ("second", "echo")


async def test_a_model_that_hangs_leaves_time_for_the_next_one(make: Make, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(None, says("I am second."))
    assert await make(within=3.0).ask(HELLO, BOOKING) == "I am second."


async def test_when_none_answers_the_cause_of_the_first_is_told(make: Make, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(by_model(first=fails(404), second=fails(400), third=says("")))
    with pytest.raises(errors.ModelUnavailableError, match="no model first") as caught:
        await make().ask(HELLO, BOOKING)
    assert "first" in texts.explain("ru", caught.value)
    assert asked(openai_server) == ["first", "second", "third"]


@pytest.mark.parametrize("gone", [False, True], ids=["key refused", "nobody there"])
async def test_a_server_that_is_away_is_not_asked_for_its_other_models(
    make: Make, openai_server: ScriptedOpenAI, gone: bool
) -> None:
    openai_server.script(fails(401))
    models = make(**({"llm_base_url": "http://127.0.0.1:1/v1"} if gone else {}))
    with pytest.raises(errors.ModelUnavailableError, match="cannot be reached" if gone else "refuses the key"):
        await models.ask(HELLO, BOOKING)
    assert asked(openai_server) == ([] if gone else ["first"])


async def test_a_short_pause_that_the_server_asks_for_is_waited_a_long_one_is_not(
    make: Make, openai_server: ScriptedOpenAI
) -> None:
    def busy(seconds: str) -> Answer:
        return lambda _: JSONResponse({"error": {"message": "busy"}}, 429, headers={"retry-after": seconds})

    openai_server.script(busy("0.01"), says("I am back."))
    assert await make().ask(HELLO, BOOKING) == "I am back."
    assert asked(openai_server) == ["first", "first"]
    openai_server.script(busy("60"), says("I am second."))
    assert await make().ask(HELLO, BOOKING) == "I am second."
    assert asked(openai_server) == ["first", "second"]


async def test_who_tries_one_model_gets_no_other(make: Make, openai_server: ScriptedOpenAI) -> None:
    openai_server.script(by_model(nameless=fails(404), second=says("I am second.")))
    with pytest.raises(errors.ModelUnavailableError, match="no model nameless"):
        await make().ask(HELLO, BOOKING, options=ModelOptions(model="nameless"), falls_back=False)


async def test_options_reach_the_server(make: Make, openai_server: ScriptedOpenAI) -> None:
    await make().ask(HELLO, BOOKING, model="big", options=ModelOptions(model="own", temperature=0.0, max_tokens=50))
    await make().ask(HELLO, BOOKING, model="big", options=ModelOptions(temperature=1.5))
    first, second = openai_server.bodies
    assert (first["model"], first["temperature"]) == ("own", 0.0)
    assert first.get("max_tokens", first.get("max_completion_tokens")) == 50
    assert (second["model"], second["temperature"]) == ("big", 1.5)
    assert "max_tokens" not in second


async def test_a_model_that_keeps_failing_is_left_alone_and_tried_again_later(
    make: Make, openai_server: ScriptedOpenAI, metrics: Metrics
) -> None:
    models = make(fallbacks="", rest=0.2)
    openai_server.script(fails(404))
    for _ in range(FAILURES):
        with pytest.raises(errors.ModelUnavailableError, match="no model first"):
            await models.ask(HELLO, BOOKING)
    openai_server.script(says("I am well."))
    with pytest.raises(errors.ModelUnavailableError, match="left alone") as caught:
        await models.ask(HELLO, BOOKING)
    assert texts.explain("en", caught.value)
    assert openai_server.bodies == []
    shown = (await metrics.text(None)).decode()
    assert 'persais_breaker_state{service="model first"} 2.0' in shown
    assert 'persais_model_calls_total{model="first",outcome="resting"} 1.0' in shown
    while True:  # until its rest is over
        try:
            assert await models.ask(HELLO, BOOKING) == "I am well."
            break
        except errors.ModelUnavailableError:
            continue
    assert 'persais_breaker_state{service="model first"} 0.0' in (await metrics.text(None)).decode()


async def test_a_request_at_fault_says_nothing_against_the_model(make: Make, openai_server: ScriptedOpenAI) -> None:
    models = make(fallbacks="")
    openai_server.script(fails(400))
    for _ in range(FAILURES + 1):
        with pytest.raises(errors.ModelUnavailableError, match="status 400"):
            await models.ask(HELLO, BOOKING)
    assert len(openai_server.bodies) == FAILURES + 1


async def test_a_model_whose_server_names_no_cost_is_paid_by_the_price_list(
    make: Make, openai_server: ScriptedOpenAI, sql: psycopg.AsyncConnection, metrics: Metrics
) -> None:
    openai_server.script(says("Hi", prompt_tokens=1_000_000, completion_tokens=100_000))
    models = make(model_prices="vendor/x=1/2, first=3/15", max_cost_per_day=4.5)
    await models.ask(HELLO, BOOKING)
    assert await models.spent_today() == pytest.approx(4.5)
    assert 'persais_model_cost_dollars_total{model="first"} 4.5' in (await metrics.text(None)).decode()
    with pytest.raises(errors.BudgetError) as caught:
        await models.ask(HELLO, BOOKING)
    assert "4.50" in texts.explain("ru", caught.value)
    assert len(openai_server.bodies) == 1


def test_prices_are_read_by_model() -> None:
    settings = Settings(_env_file=None, model_prices="a/b:free=0/0 odd=name=0.5/1.5")  # type: ignore[arg-type]
    assert settings.prices_of("a/b:free") == (0, 0)
    assert settings.prices_of("odd=name") == (5e-07, 1.5e-06)
    assert settings.prices_of("unknown") is None


@pytest.mark.parametrize("value", ["x", "x=1", "x=1/", "=1/2", "x=-1/2", "x=a/b", "x=nan/1", "x=inf/1"])
def test_a_price_list_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="US dollars per million tokens"):
        Settings(_env_file=None, model_prices=value)  # type: ignore[arg-type]
