"""The human side of the emulator: saying, tapping, watching, and who is let in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import telegram
from local_bots import KEY, TOKEN, USER, Local, running
from telegram.request import HTTPXRequest

from persais_core.emulators.telegram import ChatClient, TelegramEmulator, client
from persais_core.emulators.telegram.serving import served
from persais_core.emulators.telegram.wording import split, units

CARD = {"inline_keyboard": [[{"text": "🚀 Deploy", "callback_data": "d"}, {"text": "Abort", "callback_data": "a"}]]}


@pytest.fixture
async def local() -> AsyncIterator[Local]:
    async with running() as made:
        yield made


async def test_a_tap_reaches_the_bot_and_its_answer_the_person(local: Local) -> None:
    await local.person.send("/start")
    sent = await local.ok("sendMessage", chat_id=USER, text="card", reply_markup=CARD)
    card = await local.person.wait_for(lambda message: bool(message.buttons))
    tap = await local.person.press(card, "Deploy")
    query = (await local.ok("getUpdates"))[-1]["callback_query"]
    assert (query["id"], query["data"], query["message"]["message_id"]) == (tap, "d", sent["message_id"])
    waiting = asyncio.create_task(local.person.wait_for_answer(tap))
    await local.ok("answerCallbackQuery", callback_query_id=tap, text="On it", show_alert=True)
    answer = await waiting
    assert (answer.text, answer.alert) == ("On it", True)
    assert await local.person.wait_for_answer(tap) == answer


async def test_a_tap_on_a_button_that_is_gone_is_refused(local: Local) -> None:
    await local.person.send("/start")
    await local.ok("sendMessage", chat_id=USER, text="card", reply_markup=CARD)
    card = await local.person.wait_for(lambda message: bool(message.buttons))
    with pytest.raises(client.ButtonGoneError, match="no button 'Diff'"):
        await local.person.press(card, "Diff")
    await local.ok("editMessageReplyMarkup", chat_id=USER, message_id=card.id)
    with pytest.raises(client.ButtonGoneError, match="no such button any more"):
        await local.person.press(card, "Abort")
    await local.ok("deleteMessage", chat_id=USER, message_id=card.id)
    with pytest.raises(client.ButtonGoneError, match="not there any more"):
        await local.person.press(card, "Abort")


async def test_wait_for_sees_edits_made_before_it_looked_and_nothing_older(local: Local) -> None:
    await local.person.send("/start")
    old = await local.ok("sendMessage", chat_id=USER, text="hello")
    await local.person.send("again")
    with pytest.raises(client.NoAnswerError, match="the bot said: nothing"):
        await local.person.wait_for(lambda message: "hello" in message.text, timeout=0.3)
    await local.ok("editMessageText", chat_id=USER, message_id=old["message_id"], text="hello again")
    assert (await local.person.wait_for(lambda message: "hello" in message.text)).edited


async def test_the_stream_tells_each_kind_of_change(local: Local) -> None:
    async with contextlib.aclosing(local.person.events()) as stream:
        first = await anext(stream)
        assert (first.kind, first.messages, first.bot, first.online) == ("reset", (), "Persais", False)
        await local.person.send("hi")
        sent = await local.ok("sendMessage", chat_id=USER, text="1")
        where = {"chat_id": USER, "message_id": sent["message_id"]}
        await local.ok("sendChatAction", chat_id=USER, action="typing")
        await local.ok("editMessageText", text="2", **where)
        await local.ok("setMyCommands", commands=[{"command": "go", "description": "Go"}])
        await local.ok("deleteMessage", **where)
        await local.ok("getUpdates")
        seen: list[str] = []
        async for event in stream:
            seen.append(event.kind)
            if event.kind == "presence":
                break
        assert seen == ["message", "message", "typing", "edit", "commands", "delete", "presence"]
        assert event.online


async def test_a_reader_that_was_away_catches_up_with_one_reset() -> None:
    emulator = TelegramEmulator(token=TOKEN, client_key=KEY, state=None)
    async with served(emulator) as base, ChatClient(base, KEY) as person:
        for number in range(250):
            await person.send(str(number))
        async with contextlib.aclosing(person.events()) as stream:
            first = await anext(stream)
        assert [message.text for message in first.messages] == [str(number) for number in range(50, 250)]
        assert first.has_earlier
        earlier = await person.history(before=first.messages[0].id)
        assert [message.text for message in earlier] == [str(number) for number in range(50)]


async def test_strangers_have_chats_of_their_own(local: Local) -> None:
    async with ChatClient(local.base, KEY, user=42, name="Eve", language="ru") as eve:
        await local.person.send("mine")
        await eve.send("hers")
        assert [message.text for message in await eve.history()] == ["hers"]
        senders = [update["message"]["from"] for update in await local.ok("getUpdates")]
        assert senders[1] == {"id": 42, "is_bot": False, "first_name": "Eve", "language_code": "ru"}
        await local.ok("sendMessage", chat_id=42, text="for Eve")
        assert (await eve.wait_for(lambda message: True)).text == "for Eve"
        assert [message.text for message in await local.person.history()] == ["mine"]


async def test_a_person_has_one_language_in_all_windows_and_a_window_that_opens_only_guesses(local: Local) -> None:
    async with contextlib.aclosing(local.person.events()) as stream:
        await anext(stream)  # this client told its language before
        async with ChatClient(local.base, KEY, language="ru", is_guess=True) as other:
            await other.send("one")
            await other.set_language("ru")
            await other.send("two")
        told = [(await anext(stream)) for _ in range(3)]
        assert [(event.kind, event.language) for event in told] == [
            ("message", ""),
            ("commands", "ru"),
            ("message", ""),
        ]
    spoken = [update["message"]["from"]["language_code"] for update in await local.ok("getUpdates")]
    assert spoken == ["en", "ru"]
    stranger = ChatClient(local.base, KEY, user=43, language="ru", is_guess=True)
    async with stranger, contextlib.aclosing(stranger.events()) as stream:
        assert (await anext(stream)).language == "ru"


async def test_the_person_at_this_computer_has_its_owners_name_until_another_is_told() -> None:
    async with running(local_name="Ann Lee") as local:
        await local.person.send("one")
        async with ChatClient(local.base, KEY, user=USER, name="Anna") as named:
            await named.send("two")
        await local.person.send("three")
        async with ChatClient(local.base, KEY, user=43) as guest:
            await guest.send("four")
        called = [update["message"]["from"]["first_name"] for update in await local.ok("getUpdates")]
        assert called == ["Ann Lee", "Anna", "Anna", "Guest"]


async def test_a_long_text_is_split_as_clients_do(local: Local) -> None:
    line = "слово " * 200
    last = await local.person.send((line + "\n") * 8)
    messages = await local.person.history()
    assert len(messages) == 3
    assert last == messages[-1]
    assert all(units(message.text) <= 4096 for message in messages)
    assert " ".join(message.text for message in messages).split() == ("слово " * 1600).split()


@pytest.mark.parametrize("text", ["", " ", "x" * 4096, "😀" * 5000, "a" * 9000, "\n".join(["row" * 900] * 5)])
def test_split_loses_no_character_but_space(text: str) -> None:
    pieces = split(text.strip())
    assert all(0 < units(piece) <= 4096 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


async def test_nothing_to_send_is_refused(local: Local) -> None:
    with pytest.raises(client.ChatRefusedError, match="write something first"):
        await local.person.send("  \n")


# --- the door --------------------------------------------------------------------------------------------------------


async def test_without_the_key_nothing_is_told(local: Local) -> None:
    for path in ("history", "events", "file?id=x"):
        assert (await local.http.get(f"/chat/api/{path}")).status_code == 401
    for path in ("send", "press", "language"):
        assert (await local.http.post(f"/chat/api/{path}", json={"text": "x"})).status_code == 401
    with pytest.raises(client.ChatRefusedError, match="link that the terminal printed"):
        await ChatClient(local.base, "wrong").send("x")


@pytest.mark.parametrize("path", ["/", "/chat/assets/chat.js", "/chat/api/history", f"/bot{TOKEN}/getMe"])
async def test_a_foreign_host_name_is_refused_everywhere(local: Local, path: str) -> None:
    port = httpx.URL(local.base).port
    for host in (f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}", ""):
        answer = await local.http.get(path, headers={"Host": host, "X-Chat-Key": KEY})
        assert answer.status_code == 403, host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert (await local.http.get(path, headers={"Host": host, "X-Chat-Key": KEY})).status_code == 200


async def test_other_pages_are_refused_even_with_the_cookie(local: Local) -> None:
    cookie = {"Cookie": f"persais_chat={KEY}"}
    port = httpx.URL(local.base).port
    assert (await local.http.get("/chat/api/history", headers=cookie)).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"http://localhost:{port}"):
        answer = await local.http.post("/chat/api/send", json={"text": "x"}, headers=cookie | {"Origin": origin})
        assert answer.status_code == 403, origin
    for site in ("cross-site", "same-site"):
        headers = cookie | {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        assert (await local.http.get("/chat/api/history", headers=headers)).status_code == 403
    form = await local.http.post("/chat/api/send", content=b'{"text": "x"}', headers=cookie)
    assert form.status_code == 415


async def test_the_key_in_the_address_becomes_a_cookie_and_leaves_the_address(local: Local) -> None:
    answer = await local.http.get("/", params={"key": KEY})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await local.http.get("/", params={"key": "wrong"})).status_code == 403


async def test_pages_are_closed_to_scripts_and_frames_from_elsewhere(local: Local) -> None:
    headers = (await local.http.get("/")).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


async def test_junk_is_a_plain_refusal(local: Local) -> None:
    headers = {"X-Chat-Key": KEY, "Content-Type": "application/json"}
    bodies = (b"", b"[", b"[]", b"7", b'{"text": 3}', b'{"user": -1, "text": "x"}', b'{"user": 3.5}', b"[" * 5000)
    for body in bodies:
        answer = await local.http.post("/chat/api/send", content=body, headers=headers)
        assert answer.status_code == 400, body
        assert answer.json()["error"]["code"] in {"invalid", "empty"}
    answer = await local.http.get("/chat/api/history?user=abc", headers=headers)
    assert answer.status_code == 400
    answer = await local.http.post("/chat/api/language", json={"language_code": "<b>"}, headers={"X-Chat-Key": KEY})
    assert answer.status_code == 400


# --- with the library the bot uses -----------------------------------------------------------------------------------


async def test_python_telegram_bot_works_unchanged(local: Local) -> None:
    request = HTTPXRequest(httpx_kwargs={"trust_env": False})
    polling = HTTPXRequest(httpx_kwargs={"trust_env": False})
    bot = telegram.Bot(
        TOKEN,
        base_url=f"{local.base}/bot",
        base_file_url=f"{local.base}/file/bot",
        request=request,
        get_updates_request=polling,
    )
    async with bot:
        assert bot.username == "persais_bot"
        await bot.set_my_commands([telegram.BotCommand("go", "Go")], scope=telegram.BotCommandScopeAllPrivateChats())
        await local.person.send("/go", attachment="document")
        [update] = await bot.get_updates(timeout=5, allowed_updates=["message", "callback_query"])
        assert update.message.document.file_name == "notes.txt"
        file = await update.message.document.get_file()
        assert b"small file" in bytes(await file.download_as_bytearray())
        keyboard = telegram.InlineKeyboardMarkup([[telegram.InlineKeyboardButton("Deploy", callback_data="d")]])
        sent = await bot.send_message(
            USER,
            "Ready: feat/echo",
            entities=[telegram.MessageEntity("code", 7, 9)],
            reply_markup=keyboard,
            link_preview_options=telegram.LinkPreviewOptions(is_disabled=True),
        )
        assert sent.parse_entities() == {sent.entities[0]: "feat/echo"}
        card = await local.person.wait_for(lambda message: bool(message.buttons))
        tap = await local.person.press(card, "Deploy")
        [tapped] = await bot.get_updates(offset=update.update_id + 1, timeout=5)
        assert tapped.callback_query.data == "d"
        await tapped.callback_query.answer("Deploying")
        await tapped.callback_query.edit_message_text("🚀 Deployed!")
        assert (await local.person.wait_for_answer(tap)).text == "Deploying"
        await local.person.wait_for(lambda message: message.text == "🚀 Deployed!" and not message.buttons)
        with pytest.raises(telegram.error.BadRequest, match="not modified"):
            await bot.edit_message_text("🚀 Deployed!", USER, sent.message_id)
        local.emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests", retry_after=7)
        with pytest.raises(telegram.error.RetryAfter):
            await bot.send_message(USER, "x")
        local.emulator.fail_next("sendMessage", error_code=403, description="Forbidden: bot was blocked by the user")
        with pytest.raises(telegram.error.Forbidden):
            await bot.send_message(USER, "x")
        document = await bot.send_document(USER, b"+1", caption="diff", filename="change.diff")
        assert document.document.file_name == "change.diff"
        await bot.send_chat_action(USER, "typing")
        assert await bot.delete_message(USER, sent.message_id)
