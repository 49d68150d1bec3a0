"""With the model away a whole bot still answers what needs none, says so where it does, and can be watched."""

from __future__ import annotations

import json

import httpx
import pytest
from whole_bots import said

import minds
from persais_core.testing import live


@pytest.mark.parametrize(
    ("language", "told"), [("en", "The language model does not answer"), ("ru", "Языковая модель не отвечает")]
)
async def test_a_turn_that_needs_the_model_gets_one_sentence_and_all_others_their_answers(
    bot: live.Live, mind: minds.Mind, language: str, told: str
) -> None:
    mind.forget()
    async with bot.person(language=language) as person:
        await said(person, "/reset")  # which runs beside the chat's turns, so the next one might come before it
        mind.talk = [404]
        asked = await person.send("a private remark about nobody")
        first = await person.wait_for(lambda m: m.id > asked.id and ("404" in m.text or told in m.text))
        assert first.text.startswith(told)
        await said(person, "/parrot Hello", "Hello")
        await said(person, "/status", "test-model")
        later = [m.text for m in await person.history() if m.id > first.id]
        assert not [text for text in later if told in text]
        await person.send("/master are you back?")
        await person.wait_for(lambda m: m.id > first.id and ("offline" in m.text or "офлайн" in m.text))
    mind.forget()


async def test_a_turn_is_seen_in_the_figures_and_the_log_and_its_words_are_not(bot: live.Live) -> None:
    words = "the quick brown secretary"
    async with bot.person() as person:
        await said(person, f"/parrot {words}", words)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{bot.public_port}") as http:
        assert (await http.get("/health/live")).json() == {"status": "ok"}
        figures = (await http.get("/metrics")).text
    assert 'persais_turns_total{agent="parrot",outcome="answered"}' in figures
    assert "persais_turn_seconds_count" in figures
    lines = [json.loads(line) for line in bot.log().splitlines() if line.startswith("{")]
    answered = [line for line in lines if line["event"] == "a turn was answered" and line["agent"] == "parrot"]
    assert {"turn", "chat", "user", "job_id"} <= answered[-1].keys()
    assert words not in bot.log()
