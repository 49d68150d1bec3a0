"""Thirty replies as models write them, in both languages: whatever they do, all of it arrives and is well-formed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import browser
from persais_core.channels.telegram import render
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.domain.chats import Lane, Reply
from persais_core.emulators.telegram import ChatClient
from persais_core.emulators.telegram.values import ChatMessage

REPLIES = sorted((Path(__file__).parent / "replies").glob("*.md"))
FENCE = re.compile(r"^( *)(`{3,})(\w*)\n(.*?)(?:^ *\2 *$|\Z)", re.MULTILINE | re.DOTALL)
# Shown as something else than it was written: mathematics, and the ticks of a list of tasks.
TURNED = {"frac", "pm", "sqrt", "ax", "4ac", "2a", "2", "x"}
driven, where_possible = browser.marks()
each_reply = pytest.mark.parametrize("file", REPLIES, ids=lambda file: file.stem)


def covered(text: str, entity: dict[str, Any]) -> str:
    raw = text.encode("utf-16-le")
    return raw[2 * entity["offset"] : 2 * (entity["offset"] + entity["length"])].decode("utf-16-le")


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text)) - TURNED


def squeezed(text: str) -> str:
    return "".join(text.split())


def bare_lines(code: str) -> list[str]:
    return [line.strip() for line in code.splitlines() if line.strip()]


def pieces(file: Path) -> list[render.Piece]:
    return render.pieces(Reply(text=file.read_text("utf-8")))


def test_there_are_thirty_of_them() -> None:
    assert len(REPLIES) == 30
    assert max(len(file.read_text("utf-8")) for file in REPLIES) > 11_000


@each_reply
def test_no_word_of_a_reply_is_lost(file: Path) -> None:
    made = pieces(file)
    shown = " ".join(text for text, _ in made)
    targets = " ".join(str(e.get("url", "")) + " " + str(e.get("language", "")) for _, es in made for e in es)
    assert words(file.read_text("utf-8").replace("&amp;", "&")) - words(shown) - words(targets) == set()


@each_reply
def test_each_piece_is_one_that_telegram_takes(file: Path) -> None:
    for text, entities in pieces(file):
        assert 1 <= render.units(text) <= render.MAX_UTF16
        assert render.is_shown(text)
        assert len(entities) <= 100
        for entity in entities:
            assert entity["length"] > 0
            assert 0 <= entity["offset"] <= entity["offset"] + entity["length"] <= render.units(text)
            covered(text, entity).encode()  # an end inside an emoji would leave half of it
        quotes = [e for e in entities if e["type"] == "blockquote"]
        ends = [e["offset"] + e["length"] for e in quotes]
        assert all(later["offset"] >= end for end, later in zip(ends, quotes[1:], strict=False))


@each_reply
def test_each_code_block_is_whole_and_keeps_its_language_in_every_piece(file: Path) -> None:
    fences = [(language, code) for _, _, language, code in FENCE.findall(file.read_text("utf-8"))]
    blocks = [
        (e.get("language") or "", covered(text, e)) for text, es in pieces(file) for e in es if e["type"] == "pre"
    ]
    for language, code in fences:
        lines = bare_lines(code)
        same = [bare_lines(block) for name, block in blocks if name == language]
        begun = next(number for number, block in enumerate(same) if block[0] == lines[0])
        joined: list[str] = []
        for block in same[begun:]:
            joined += block
            if len(joined) >= len(lines):
                break
        assert joined == lines
    outside = "".join(text if not any(e["type"] in ("pre", "code") for e in es) else "" for text, es in pieces(file))
    assert "```" not in outside


async def bots(person: ChatClient) -> list[ChatMessage]:
    return [message for message in await person.history() if message.from_bot]


async def test_telegram_takes_every_one_with_all_its_formatting(channel: TelegramChannel, person: ChatClient) -> None:
    for file in REPLIES:
        numbers = await channel.put(Lane(chat_id=1000001), Reply(text=file.read_text("utf-8")))
        messages = [message for message in await bots(person) if message.id in numbers]
        for message, (text, entities) in zip(messages, pieces(file), strict=True):
            assert message.text == text.strip("\n").rstrip() or message.text == text.strip()
            kept = [entity.type for entity in message.entities]
            assert all(kept.count(e["type"]) >= sum(o["type"] == e["type"] for o in entities) for e in entities)


@driven
@where_possible
async def test_the_page_shows_all_of_it_too(channel: TelegramChannel, person: ChatClient, telegram_url: str) -> None:
    made: list[render.Piece] = []
    for file in REPLIES:
        await channel.put(Lane(chat_id=1000001), Reply(text=file.read_text("utf-8")))
        made += pieces(file)
    async with browser.started() as chromium:
        page = await chromium.open(f"{telegram_url}/?key=client-key", width=390, height=844)
        await page.wait_for(f"document.querySelectorAll('[data-from=bot]').length === {len(made)}")
        shown = await page.evaluate(
            "[...document.querySelectorAll('[data-from=bot]')].map(m => [m.textContent, "
            "m.querySelectorAll('.code').length, m.querySelectorAll('blockquote').length])"
        )
        assert not await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert page.problems == []
    for (text, entities), (content, blocks, quotes) in zip(made, shown, strict=True):
        kinds = [entity["type"] for entity in entities]
        assert (blocks, quotes) == (kinds.count("pre"), kinds.count("blockquote"))
        # Behind the words stand the time and, in a block, its language and a button; between them nothing is lost.
        assert [word for word in words(text) if word not in content] == []
        if not blocks:
            assert squeezed(text) in squeezed(content)
