"""`persais chat`, run as a program with its input piped, against a real emulator and a small bot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from persais_core.emulators.telegram import ChatClient, TelegramEmulator, terminal
from persais_core.emulators.telegram.serving import served
from persais_core.emulators.telegram.terminal import formatted
from persais_core.emulators.telegram.values import ChatMessage

PROGRAM = "from persais_core.cli import chat; chat.app()"
CARD = {"inline_keyboard": [[{"text": "Deploy", "callback_data": "d"}, {"text": "Abort", "callback_data": "a"}]]}


async def work(bot: httpx.AsyncClient, chat: int) -> None:
    """What a request to the Mechanic looks like, with a silence that is longer than the end of an answer."""
    sent = await bot.post("sendMessage", json={"chat_id": chat, "text": "🤔 Reading your request..."})
    where = {"chat_id": chat, "message_id": sent.json()["result"]["message_id"]}
    for text in (
        "I will make Echo",
        "I will make Echo\n\n⏳ Working...",
        "I will make Echo\n\n✅ Tests\n⏳ Working...",
    ):
        await bot.post("editMessageText", json={**where, "text": text})
    await asyncio.sleep(terminal.QUIET * 1.5)
    await bot.post("editMessageText", json={**where, "text": "I will make Echo\n\n✅ Tests\n✅ Types"})
    await bot.post("sendMessage", json={"chat_id": chat, "text": "PR is ready", "reply_markup": CARD})


async def answer(bot: httpx.AsyncClient, update: dict[str, Any]) -> None:
    if query := update.get("callback_query"):
        where = {"chat_id": query["from"]["id"], "message_id": query["message"]["message_id"]}
        await bot.post("answerCallbackQuery", json={"callback_query_id": query["id"], "text": "On it"})
        await bot.post("editMessageText", json={**where, "text": f"pressed {query['data']}"})
        return
    chat, text = update["message"]["chat"]["id"], update["message"]["text"]
    if text == "work":
        await work(bot, chat)
    elif text == "language":
        spoken = update["message"]["from"]["language_code"]
        await bot.post("sendMessage", json={"chat_id": chat, "text": spoken})
    elif text == "abort":
        for told in ("On it", "PR is ready"):
            sent = await bot.post("sendMessage", json={"chat_id": chat, "text": told})
            where = {"chat_id": chat, "message_id": sent.json()["result"]["message_id"]}
            await bot.post("editMessageText", json={**where, "text": f"{told}\nChange 1 was aborted."})
    elif text == "card":
        await bot.post("sendMessage", json={"chat_id": chat, "text": "Ready?", "reply_markup": CARD})
    else:
        await bot.post("sendChatAction", json={"chat_id": chat, "action": "typing"})
        await bot.post("sendMessage", json={"chat_id": chat, "text": f"Echo: {text}"})


async def echo(base: str) -> None:
    async with httpx.AsyncClient(base_url=f"{base}/bot1:T/", trust_env=False, timeout=60) as bot:
        offset = 0
        while True:
            reply = await bot.post("getUpdates", json={"offset": offset, "timeout": 20})
            for update in reply.json()["result"]:
                offset = update["update_id"] + 1
                await answer(bot, update)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Path]:
    emulator = TelegramEmulator(token="1:T", client_key="k", state=None)
    async with served(emulator) as base:
        (tmp_path / "desk.json").write_text(json.dumps({"url": base, "key": "k"}))
        bot = asyncio.create_task(echo(base))
        yield tmp_path
        bot.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bot


async def chat(home: Path, said: str, *words: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "--home",
        str(home),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(said.encode()), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_piped_lines_are_said_in_turn_and_each_answer_is_printed(desk: Path) -> None:
    code, out, err = await chat(desk, "Hello World\n\nпривет\n")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["> Hello World", "● Echo: Hello World", "> привет", "● Echo: привет"]


async def test_what_is_under_way_is_waited_for_and_of_an_edited_message_only_new_lines_are_printed(desk: Path) -> None:
    _, out, _ = await chat(desk, "work\nbye\n")
    assert out.splitlines() == [
        "> work",
        "● 🤔 Reading your request...",
        "✎ I will make Echo",
        "✎ ⏳ Working...",
        "✎ ✅ Tests",
        "✎ ✅ Types",
        "● PR is ready",
        "  [1] Deploy  [2] Abort",
        "> bye",
        "● Echo: bye",
    ]


async def test_a_colon_begins_a_command_and_two_a_message(desk: Path) -> None:
    _, out, _ = await chat(desk, ":x\n::x\n:)\n")
    assert out.splitlines() == [
        "> :x",
        "there is no command :x; :help shows what there is, and ::x sends it as a message",
        "> ::x",
        "● Echo: :x",
        "> :)",
        "● Echo: :)",
    ]


async def test_buttons_are_numbered_and_pressed_by_number(desk: Path) -> None:
    code, out, _ = await chat(desk, "card\n:2\n:1\n:q\nnever said\n")
    assert code == 0
    assert out.splitlines() == [
        "> card",
        "● Ready?",
        "  [1] Deploy  [2] Abort",
        "> :2",
        "(On it)",
        "✎ pressed a",
        "> :1",
        "there is no such button; :help shows how to press one",
    ]


async def test_earlier_buttons_can_be_pressed_in_a_new_session(desk: Path) -> None:
    await chat(desk, "card\n")
    _, out, _ = await chat(desk, ":1\n")
    assert "✎ pressed d" in out


async def test_help_is_told(desk: Path) -> None:
    _, out, _ = await chat(desk, ":help\n")
    assert ":q" in out


async def test_without_a_note_or_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    expected = (
        "persais: no bot is running here; start one with `persais dev`, or name where one keeps its state with --home\n"
    )
    assert await chat(tmp_path, "x\n") == (1, "", expected)
    (tmp_path / "desk.json").write_text('{"url": "http://127.0.0.1:9", "key": "k"}')
    assert await chat(tmp_path, "x\n") == (1, "", expected)
    (tmp_path / "desk.json").write_text("[]")
    assert await chat(tmp_path, "x\n") == (1, "", expected)


async def test_the_terminals_language_counts_until_one_is_chosen(desk: Path) -> None:
    assert "● ru" in (await chat(desk, "language\n", LANG="ru_RU.UTF-8"))[1]
    assert "● ru" in (await chat(desk, "language\n", LANG="en_US.UTF-8"))[1]
    assert "● en" in (await chat(desk, "language\n", "--language", "en", LANG="ru_RU.UTF-8"))[1]
    assert "● en" in (await chat(desk, "language\n", LC_ALL="C", LANG="ru_RU.UTF-8"))[1]
    code, _, err = await chat(desk, "", "--language", "de")
    assert (code, "en and ru" in err) == (2, True)


async def test_what_is_written_into_several_messages_is_printed_once(desk: Path) -> None:
    _, out, _ = await chat(desk, "abort\nabort\n")
    once = ["> abort", "● On it", "✎ Change 1 was aborted.", "● PR is ready"]
    assert out.splitlines() == [*once, *once]


async def test_wrong_key_is_a_plain_sentence(desk: Path) -> None:
    note = json.loads((desk / "desk.json").read_text())
    (desk / "desk.json").write_text(json.dumps(note | {"key": "old"}))
    code, _, err = await chat(desk, "x\n")
    assert (code, err) == (1, "persais: open the chat with the link that the terminal printed\n")


async def test_formatting_survives_and_terminal_controls_do_not() -> None:
    emulator = TelegramEmulator(token="1:T", client_key="k", state=None)
    async with served(emulator) as base, ChatClient(base, "k") as person:
        message = await person.send("😀 /start")
    entity = {"type": "text_link", "offset": 3, "length": 6, "url": "https://example.org"}
    changed = message.model_dump() | {"text": "😀 docs\u009b31m", "entities": [entity | {"length": 4}]}
    shown = formatted(ChatMessage.model_validate(changed))
    assert shown.plain == "😀 docs <https://example.org>31m"


async def test_a_diff_is_coloured_by_line() -> None:
    diff = "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same"
    entity = {"type": "pre", "offset": 3, "length": len(diff), "language": "diff"}
    said = {"id": 1, "text": f"😀 {diff}", "entities": [entity], "from_bot": True, "date": "2026-01-01T00:00:00Z"}
    shown = formatted(ChatMessage.model_validate(said))
    assert shown.plain == f"😀 {diff}"
    styles = {shown.plain[span.start : span.end]: str(span.style) for span in shown.spans}
    assert (styles["-old"], styles["+new"]) == ("red", "green") and styles["+++ b"] != "green"
