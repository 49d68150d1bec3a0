"""Sending, polling and the webhook, against the local Telegram."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
import structlog.testing

from local_telegram import TOKEN
from persais_core import errors
from persais_core.channels.base import BlockedError, FloodError, MovedError, RejectedError, UnsureError
from persais_core.channels.telegram import webhook
from persais_core.channels.telegram.connections import RenewedRequest
from persais_core.channels.telegram.poll import LONGEST_PAUSE, pause_after, poll
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.domain.chats import Button, File, Lane, Reply
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.values import ChatMessage

LANE = Lane(chat_id=1000001)


async def bots(person: ChatClient) -> list[ChatMessage]:
    return [message for message in await person.history() if message.from_bot]


async def test_an_open_channel_knows_its_bot(channel: TelegramChannel) -> None:
    assert channel.bot_id == 77
    assert channel.username == (await channel.bot.get_me()).username
    assert await channel.answers()


async def test_a_wrong_token_names_the_setting_and_not_the_token(telegram_url: str) -> None:
    wrong = TelegramChannel("78:WRONG-TOKEN", telegram_url)
    with pytest.raises(errors.SettingsError, match="TELEGRAM_BOT_TOKEN") as caught:
        await wrong.open()
    assert "WRONG" not in str(caught.value)
    await wrong.close()


async def test_an_unreachable_service_is_a_channel_error_without_the_token() -> None:
    dead = TelegramChannel("77:HIDDEN-TOKEN", "http://127.0.0.1:1")
    with pytest.raises(errors.ChannelError, match="cannot be reached") as caught:
        await dead.open()
    assert "HIDDEN" not in str(caught.value) and "httpx" not in str(caught.value)
    assert "check the network" in str(caught.value)
    assert not await dead.answers()
    await dead.close()


async def test_a_reply_arrives_with_its_formatting_and_buttons(channel: TelegramChannel, person: ChatClient) -> None:
    reply = Reply(text="**Hi** there", buttons=((Button(text="Yes", data="y"), Button(text="No", data="n")),))
    [number] = await channel.put(LANE, reply)
    [message] = await bots(person)
    assert (message.id, message.text.strip()) == (number, "Hi there")
    assert [(e.type, e.offset, e.length) for e in message.entities] == [("bold", 0, 2)]
    assert [[b.text for b in row] for row in message.buttons] == [["Yes", "No"]]


async def test_a_long_reply_becomes_several_messages_with_the_buttons_under_the_last(
    channel: TelegramChannel, person: ChatClient
) -> None:
    reply = Reply(text="🎭 word\n" * 1000, plain=True, buttons=((Button(text="Ok", data="ok"),),))
    numbers = await channel.put(LANE, reply)
    messages = await bots(person)
    assert [m.id for m in messages] == numbers
    assert len(numbers) > 1
    assert [bool(m.buttons) for m in messages] == [False] * (len(numbers) - 1) + [True]


async def test_an_edit_may_grow_and_shrink_a_reply(channel: TelegramChannel, person: ChatClient) -> None:
    numbers = await channel.put(LANE, Reply(text="short", plain=True))
    grown = await channel.put(LANE, Reply(text="x" * 5000, plain=True), ids=numbers)
    assert grown[0] == numbers[0]
    assert [m.id for m in await bots(person)] == grown
    assert len(grown) == 2
    shrunk = await channel.put(LANE, Reply(text="short again", plain=True), ids=grown)
    assert shrunk == numbers
    assert [m.text for m in await bots(person)] == ["short again"]


async def test_an_edit_to_the_same_is_no_failure(channel: TelegramChannel, person: ChatClient) -> None:
    numbers = await channel.put(LANE, Reply(text="same"))
    assert await channel.put(LANE, Reply(text="same"), ids=numbers) == numbers


async def test_pieces_that_are_out_are_not_sent_again_and_each_is_told(
    channel: TelegramChannel, person: ChatClient
) -> None:
    reply = Reply(text="\n\n".join(f"{number} " + "x" * 3000 for number in range(3)), plain=True)
    told: list[list[int]] = []

    async def noted(ids: list[int]) -> None:
        told.append(ids)

    [first] = await channel.put(LANE, Reply(text="0 " + "x" * 3000, plain=True))
    numbers = await channel.put(LANE, reply, ids=[first], done=1, noted=noted)
    assert [m.text[0] for m in await bots(person)] == ["0", "1", "2"]
    assert told == [numbers[:2]]
    assert numbers[0] == first


async def test_a_very_long_reply_comes_as_a_file_with_its_beginning_in_the_chat(
    channel: TelegramChannel, person: ChatClient, telegram_url: str
) -> None:
    text = "\n\n".join(f"**{number}** " + "слово " * 100 for number in range(40))
    await channel.put(LANE, Reply(text=text, buttons=((Button(text="Ok", data="ok"),),)))
    start, whole = await bots(person)
    assert start.text.startswith("0 слово")
    assert not start.buttons
    assert whole.attachment is not None
    assert (whole.attachment.name, whole.attachment.size) == ("reply.md", len(text.encode()))
    assert [[b.text for b in row] for row in whole.buttons] == [["Ok"]]


async def test_words_with_a_file_stand_under_it_or_before_it_and_are_never_cut(
    channel: TelegramChannel, person: ChatClient
) -> None:
    file = File(name="a.diff", text="+1")
    await channel.put(LANE, Reply(text="**short**", file=file))
    await channel.put(LANE, Reply(text="long " * 400, file=file, plain=True))
    short, before, alone = await bots(person)
    assert (short.text, [e.type for e in short.entities]) == ("short", ["bold"])
    assert short.attachment is not None
    assert before.text.count("long") == 400
    assert (alone.text, alone.attachment is not None) == ("", True)


async def test_a_chat_that_moved_says_where(channel: TelegramChannel, emulator: TelegramEmulator) -> None:
    emulator.fail_next(
        "sendMessage",
        error_code=400,
        description="Bad Request: group chat was upgraded to a supergroup chat",
        migrate_to=-1001234,
    )
    with pytest.raises(MovedError) as caught:
        await channel.put(LANE, Reply(text="x"))
    assert caught.value.chat_id == -1001234


async def test_a_lost_answer_is_no_plain_failure_as_the_message_may_stand_there(
    channel: TelegramChannel, person: ChatClient, emulator: TelegramEmulator
) -> None:
    emulator.lose_next("sendMessage")
    with pytest.raises(UnsureError):
        await channel.put(LANE, Reply(text="x"))
    [message] = await bots(person)
    emulator.lose_next("editMessageText")
    with pytest.raises(errors.ChannelError) as caught:
        await channel.put(LANE, Reply(text="y"), ids=[message.id])
    assert type(caught.value) is errors.ChannelError  # an edit made twice shows the same


async def test_each_call_that_shows_something_asks_for_its_turn(telegram_url: str, person: ChatClient) -> None:
    asked: list[int] = []

    async def pace(chat_id: int) -> None:
        asked.append(chat_id)

    made = TelegramChannel("77:LOCAL-BOT", telegram_url, pace)
    await made.open()
    numbers = await made.put(LANE, Reply(text="x" * 5000, plain=True))
    await made.put(LANE, Reply(text="y"), ids=numbers[:1])
    await made.typing(LANE)
    await made.close()
    assert asked == [LANE.chat_id] * 3


@pytest.mark.parametrize(
    ("code", "description", "wait", "expected"),
    [
        (429, "Too Many Requests: retry after 7", 7, FloodError),
        (403, "Forbidden: bot was blocked by the user", None, BlockedError),
        (400, "Bad Request: chat not found", None, BlockedError),
        (403, "Forbidden: user is deactivated", None, BlockedError),
        (400, "Bad Request: can't parse entities", None, RejectedError),
        (502, "Bad Gateway", None, errors.ChannelError),
        (500, "Internal Server Error", None, errors.ChannelError),
        (409, "Conflict: terminated", None, errors.ChannelError),
        (401, "Unauthorized", None, errors.ChannelError),
    ],
)
async def test_each_refusal_is_translated(
    channel: TelegramChannel,
    person: ChatClient,
    emulator: TelegramEmulator,
    code: int,
    description: str,
    wait: int | None,
    expected: type[errors.ChannelError],
) -> None:
    emulator.fail_next("sendMessage", error_code=code, description=description, retry_after=wait)
    with pytest.raises(errors.ChannelError) as caught:
        await channel.put(LANE, Reply(text="x"))
    assert type(caught.value) is expected
    if isinstance(caught.value, FloodError):
        assert caught.value.seconds == wait
    assert "LOCAL-BOT" not in str(caught.value)


async def test_typing_and_answers_to_taps_never_raise(channel: TelegramChannel, emulator: TelegramEmulator) -> None:
    for method in ("sendChatAction", "answerCallbackQuery"):
        emulator.fail_next(method, error_code=400, description="Bad Request: query is too old")
    await channel.typing(LANE)
    await channel.answer_press("no-such-tap", "x" * 500)


async def test_the_answer_to_a_tap_reaches_who_tapped(channel: TelegramChannel, person: ChatClient) -> None:
    await channel.put(LANE, Reply(text="choose", buttons=((Button(text="Yes", data="y"),),)))
    [message] = await bots(person)
    tap = await person.press(message, "Yes")
    await channel.answer_press(tap, "Thank you", alert=True)
    answer = await person.wait_for_answer(tap)
    assert (answer.text, answer.alert) == ("Thank you", True)


async def test_the_menu_is_cut_to_what_telegram_takes(channel: TelegramChannel) -> None:
    await channel.set_menu([(f"agent_{n}", "д" * 400) for n in range(150)], "ru")
    menu = await channel.bot.get_my_commands(language_code="ru")
    assert len(menu) == 100
    assert {len(command.description) for command in menu} == {256}


async def test_a_person_may_have_a_menu_of_their_own(channel: TelegramChannel, person: ChatClient) -> None:
    await channel.set_menu([("help", "Help")], None)
    await channel.set_menu([("help", "Help"), ("deploy", "Deploy")], None, user_id=person.user)
    async with contextlib.aclosing(person.events()) as stream:
        first = await anext(stream)
    assert [item.command for item in first.commands] == ["help", "deploy"]
    assert len(await channel.bot.get_my_commands()) == 1


@contextlib.asynccontextmanager
async def polling(channel: TelegramChannel, accept: Any) -> Any:
    task = asyncio.create_task(poll(channel.bot, accept))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def pending(channel: TelegramChannel) -> int:
    return (await channel.bot.get_webhook_info()).pending_update_count


async def test_updates_come_in_order_and_as_they_were_sent(channel: TelegramChannel, person: ChatClient) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()
    async with polling(channel, seen.put):
        await person.send("one")
        await person.send("two")
        updates = [await asyncio.wait_for(seen.get(), 20) for _ in range(3)]
    assert [update["message"]["text"] for update in updates] == ["/start", "one", "two"]
    assert await pending(channel) == 0


async def test_an_update_that_could_not_be_stored_comes_again(channel: TelegramChannel, person: ChatClient) -> None:
    tries: list[str] = []
    done = asyncio.Event()

    async def accept(update: Any) -> None:
        tries.append(update["message"]["text"])
        if len(tries) == 2:
            raise OSError("the database is away")
        if tries[-1] == "two":
            done.set()

    await person.send("one")
    await person.send("two")
    async with polling(channel, accept):
        await asyncio.wait_for(done.wait(), 20)
    assert tries == ["/start", "one", "one", "two"]


async def test_nothing_is_confirmed_before_it_is_stored(channel: TelegramChannel, person: ChatClient) -> None:
    storing = asyncio.Event()

    async def accept(update: Any) -> None:
        storing.set()
        await asyncio.Event().wait()

    await person.send("one")
    async with polling(channel, accept):
        await asyncio.wait_for(storing.wait(), 20)
        assert await pending(channel) == 2
    assert await pending(channel) == 2


async def test_polling_outlives_failures_of_telegram_and_tells_each_cause_once(
    channel: TelegramChannel, person: ChatClient, emulator: TelegramEmulator
) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()
    emulator.fail_next("deleteWebhook", error_code=500, description="Internal Server Error")
    emulator.fail_next("getUpdates", times=2, error_code=502, description="Bad Gateway")
    with structlog.testing.capture_logs() as logs:
        async with polling(channel, seen.put):
            assert (await asyncio.wait_for(seen.get(), 20))["message"]["text"] == "/start"
            await person.send("next")
            await asyncio.wait_for(seen.get(), 20)
    told = [entry["event"] for entry in logs if entry["event"].startswith("polling")]
    assert told == ["polling failed, and is tried again", "polling goes on"]
    assert [pause_after(failures) for failures in (1, 100_000)] == [0.6, LONGEST_PAUSE]


async def test_updates_come_after_requests_that_were_cancelled_before_they_were_connected(
    channel: TelegramChannel, person: ChatClient
) -> None:
    """Each of these takes the only connection with it, and does not give it back."""
    asked = [asyncio.create_task(channel.bot.do_api_request("getUpdates")) for _ in range(2)]
    for _ in range(10):
        await asyncio.sleep(0)
    for request in asked:
        request.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    seen: asyncio.Queue[Any] = asyncio.Queue()
    async with polling(channel, seen.put):
        await person.send("can you hear me?")
        updates = [await asyncio.wait_for(seen.get(), 60) for _ in range(2)]
    assert [update["message"]["text"] for update in updates] == ["/start", "can you hear me?"]


async def test_a_request_that_finds_no_connection_free_is_made_on_another_and_disturbs_none(
    telegram_url: str, person: ChatClient
) -> None:
    await person.send("one")
    async with RenewedRequest(1, patience=20) as request:
        bot = f"{telegram_url}/bot{TOKEN}"
        _, had = await request.do_request(f"{bot}/getUpdates", "GET")
        fresh = json.loads(had)["result"][-1]["update_id"] + 1
        waiting = asyncio.create_task(request.do_request(f"{bot}/getUpdates?offset={fresh}&timeout=20", "GET"))
        await asyncio.sleep(0.1)
        assert (await request.do_request(f"{bot}/getMe", "GET"))[0] == 200
        assert not waiting.done()
        await person.send("two")
        assert b"two" in (await waiting)[1]


async def test_a_webhook_is_registered_with_its_secret(channel: TelegramChannel) -> None:
    await webhook.register(channel.bot, "https://bot.example.org/telegram/webhook", "secret-1")
    info = await channel.bot.get_webhook_info()
    assert info.url == "https://bot.example.org/telegram/webhook"


async def test_a_refused_webhook_says_which_setting_to_check(channel: TelegramChannel) -> None:
    with pytest.raises(errors.ChannelError, match="check APP_BASE_URL"):
        await webhook.register(channel.bot, "http://bot.example.org/x", "secret-1")


async def test_a_webhook_that_is_not_taken_at_first_is_registered_again_and_each_cause_is_told_once(
    channel: TelegramChannel, emulator: TelegramEmulator
) -> None:
    url = "https://bot.example.org/telegram/webhook"
    emulator.fail_next("setWebhook", times=2, error_code=502, description="Bad Gateway")
    with structlog.testing.capture_logs() as logs:
        receiving = asyncio.create_task(channel.receive(ignored, posted_to=url, secret="secret-1"))
        async with asyncio.timeout(20):
            while (await channel.bot.get_webhook_info()).url != url:
                await asyncio.sleep(0.05)
        assert not receiving.done()
        receiving.cancel()
        await asyncio.wait([receiving])
    assert [entry["log_level"] for entry in logs] == ["error", "warning"]
    assert "Bad Gateway" in logs[0]["cause"]


async def ignored(update: Any) -> None:
    """Nothing is fetched where updates are posted."""
