"""Our Markdown as Telegram shows it."""

from __future__ import annotations

import pytest

from persais_core import texts
from persais_core.channels.telegram import render
from persais_core.domain.chats import Reply


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def shown(text: str, *, plain: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """The one piece of a short reply: its text, and (kind, what it covers) of each entity."""
    [(whole, entities)] = render.pieces(Reply(text=text, plain=plain))
    raw = whole.encode("utf-16-le")
    return whole, [
        (e["type"], raw[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")) for e in entities
    ]


def test_markdown_becomes_entities_and_leaves_no_signs() -> None:
    text, entities = shown("**bold** and `code` and [link](https://example.org)")
    assert text.strip() == "bold and code and link"
    assert ("bold", "bold") in entities
    assert ("code", "code") in entities
    assert ("text_link", "link") in entities


def test_entities_cover_the_right_words_behind_emoji() -> None:
    _, entities = shown("🧩👩‍👩‍👧 **важно** 🎭 `x = 1`")
    assert entities == [("bold", "важно"), ("code", "x = 1")]


def test_a_code_block_keeps_its_indentation_and_language() -> None:
    [(text, entities)] = render.pieces(Reply(text="```python\ndef f():\n    return '**not bold**'\n```"))
    assert "def f():\n    return '**not bold**'" in text
    [block] = entities
    assert (block["type"], block["language"]) == ("pre", "python")


def test_a_heading_gets_no_emoji() -> None:
    text, entities = shown("# Title\n\ntext")
    assert text.startswith("Title")
    assert ("bold", "Title") in [(kind, words.strip()) for kind, words in entities]


@pytest.mark.parametrize(
    "text", ["<b>not bold</b>", "a < b && c > d", "<script>alert(1)</script>", "&lt;tag&gt; &amp;", "<a href='x'>y</a>"]
)
def test_html_stays_what_was_written_or_at_least_makes_no_entity(text: str) -> None:
    whole, entities = shown(text, plain=True)
    assert (whole, entities) == (text, [])
    _, rendered = shown(text)
    assert rendered == []


@pytest.mark.parametrize(
    "text",
    [
        "<b>hi</b>", "a < b && c > d", "<script>alert(1)</script>", "List<int> or <your-name>", "a <!-- c --> b",
        "<br>", "<div>\nblock\n</div>", "<https://example.org>",
    ],
)  # fmt: skip
def test_html_within_markdown_is_shown_literally(text: str) -> None:
    whole, _ = shown(text)
    assert whole.strip() == text


@pytest.mark.parametrize(
    "text",
    ["*", "**open", "`open", "```\nopen", "[a](b", "[](", "***", "_ _ _", "~~", "> ", "| a |", "\\", "$x$", "<", "#"],
)
def test_broken_markdown_is_shown_somehow(text: str) -> None:
    pieces = render.pieces(Reply(text=text))
    assert pieces
    assert all(part.strip() for part, _ in pieces)


@pytest.mark.parametrize(
    "text", ["**a** _b_ `c`", "  spaces  kept ", "\\*x\\*", "# no heading", "tab\tend", "a\n\n\nb"]
)
def test_plain_text_is_shown_exactly_as_it_is(text: str) -> None:
    assert render.pieces(Reply(text=text, plain=True)) == [(text, [])]


def test_html_within_code_and_behind_formatting_is_shown_literally() -> None:
    text, entities = shown("**bold** <i>x</i> `Map<K, V>` end")
    assert text.strip() == "bold <i>x</i> Map<K, V> end"
    assert entities == [("bold", "bold"), ("code", "Map<K, V>")]


def test_right_to_left_text_keeps_its_order_and_formatting() -> None:
    text, entities = shown("**שלום** עולם مرحبا")
    assert text.strip() == "שלום עולם مرحبا"
    assert entities == [("bold", "שלום")]


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    "text", ["x" * 9000, "🎭" * 5000, "строка\n" * 2000, "👩‍👩‍👧" * 1200, "слово " * 3000, "a" * 4095 + "🎭" + "b" * 10]
)
def test_long_text_is_split_within_the_limit_and_nothing_is_lost(text: str, plain: bool) -> None:
    pieces = render.pieces(Reply(text=text, plain=plain))
    assert len(pieces) >= 2
    assert all(1 <= units(part) <= render.MAX_UTF16 for part, _ in pieces)
    for part, _ in pieces:
        part.encode("utf-8")  # a cut inside an emoji would leave half a surrogate pair
    joined = "".join("".join(part.split()) for part, _ in pieces)
    assert joined == "".join(text.split())


@pytest.mark.parametrize("marks", ["1. ", "> ", ">", "- ", "* > "])
def test_marks_within_each_other_without_end_are_shown_as_they_stand(marks: str) -> None:
    text = marks * 4000 + "end"  # read as Markdown, it would hold up everything for minutes
    assert "".join(part for part, _ in render.pieces(Reply(text=text))) == text


def test_what_is_far_longer_than_any_chat_is_read_no_further_than_it_is_shown() -> None:
    text = "**bold** " + "word " * 200_000
    start, whole = render.parts(Reply(text=text))
    assert isinstance(start, tuple) and start[0].startswith("bold ") and start[1][0]["type"] == "bold"
    assert isinstance(whole, render.Document) and whole.file.text == text


def test_long_plain_text_is_cut_at_line_ends() -> None:
    lines = "".join(f"line {number}\n" for number in range(1000))
    pieces = [part for part, _ in render.pieces(Reply(text=lines, plain=True))]
    assert "".join(pieces) == lines
    assert all(part.endswith("\n") for part in pieces)


def test_entities_of_a_long_text_stay_within_their_piece() -> None:
    text = "".join(f"**word{number}** and `code{number}` 🎭\n\n" for number in range(600))
    pieces = render.pieces(Reply(text=text))
    assert len(pieces) > 1
    for part, entities in pieces:
        assert entities
        assert all(e["offset"] >= 0 and e["offset"] + e["length"] <= units(part) for e in entities)


def test_a_text_of_exactly_the_limit_is_one_message() -> None:
    assert len(render.pieces(Reply(text="🎭" * 2048, plain=True))) == 1
    assert len(render.pieces(Reply(text="🎭" * 2048 + "x", plain=True))) == 2


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\t"])
@pytest.mark.parametrize("plain", [True, False])
def test_nothing_to_say_is_still_one_message(text: str, plain: bool) -> None:
    [(part, entities)] = render.pieces(Reply(text=text, plain=plain))
    assert part.strip()
    assert entities == []


@pytest.mark.parametrize(
    "words", ["remove <name>", "x < y > z", "<b>bold</b>", "a | b || c", "*b* _i_ `c` [x](y) #1 ~~s~~", "back\\slash"]
)
def test_words_of_others_stand_in_our_messages_as_they_were_said(words: str) -> None:
    assert render.parts(Reply(text=texts.escaped(words))) == [(words, [])]
