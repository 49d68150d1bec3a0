"""What the bot says: once, in order, and not lost, whatever the chat service answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from persais_core.channels.base import Channel
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.chats import Button, Lane, Language, Reply
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.queue import outbox
from persais_core.queue.outbox import Outbox

CHAT, OTHER = 1000001, 1000002


async def put(database: Database, text: str, *, key: str | None = None, chat: int = CHAT, **options: bool) -> None:
    async with database.session() as session:
        await outbox.put(session, Lane(chat_id=chat), Reply(text=text, **options), key=key or text)


async def show(database: Database, text: str, *buttons: Button) -> None:
    async with database.session() as session:
        reply = Reply(text=text, buttons=(buttons,) if buttons else ())
        await outbox.show(session, Lane(chat_id=CHAT), reply, key="card")


async def said(person: ChatClient) -> list[str]:
    return [message.text for message in await person.history() if message.from_bot]


async def rows(sql: psycopg.AsyncConnection) -> list[tuple[str, str]]:
    return await (await sql.execute("select key, state from persais.outbox order by id")).fetchall()  # type: ignore[return-value]


async def new_turn(sql: psycopg.AsyncConnection) -> int:
    query = "insert into persais.turns (chat_id, user_id, state) values (%s, %s, 'waiting') returning id"
    found = await (await sql.execute(query, (CHAT, CHAT))).fetchone()
    assert found
    return int(found[0])


async def turns(sql: psycopg.AsyncConnection) -> list[tuple[str, str | None, bool]]:
    """(state, agent, whether it says when it ended) of all turns."""
    query = "select state, agent, finished_at is not null from persais.turns order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def waiting_jobs(sql: psycopg.AsyncConnection) -> list[tuple[str, bool]]:
    """(lock, whether it is only due later) of the jobs that would deliver."""
    query = "select lock, coalesce(scheduled_at > now(), false) from procrastinate_jobs order by id"
    return await (await sql.execute(query)).fetchall()  # type: ignore[return-value]


async def clear_jobs(sql: psycopg.AsyncConnection) -> None:
    await sql.execute("delete from procrastinate_jobs")


@pytest.fixture
async def other(telegram_url: str) -> ChatClient:
    made = ChatClient(telegram_url, "client-key", user=OTHER, name="Other")
    await made.send("/start")
    return made


async def test_a_reply_is_said_once_for_its_key_in_the_order_it_was_put(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    for text in ("one", "two", "three", "two"):
        await put(database, text)
    await put(database, "other words under the same key", key="one")
    await Outbox(database, channel).deliver(CHAT)
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["one", "two", "three"]
    assert await rows(sql) == [("one", "sent"), ("two", "sent"), ("three", "sent")]


async def test_the_answer_to_a_turn_is_said_in_order_and_ends_it_however_often_it_is_given(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    turn = await new_turn(sql)
    replies = [Reply(text=str(number), plain=True) for number in range(12)]
    for _ in range(2):
        await outbox.answer(database, turn, Lane(chat_id=CHAT), replies, agent="echo", failed=False)
    assert await rows(sql) == [(f"turn:{turn}:{number}", "queued") for number in range(12)]
    assert await turns(sql) == [("done", "echo", True)]
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == [str(number) for number in range(12)]


@pytest.mark.parametrize(("failed", "state"), [(True, "failed"), (False, "done")])
async def test_a_turn_without_a_reply_ends_and_wakes_nobody(
    database: Database, sql: psycopg.AsyncConnection, failed: bool, state: str
) -> None:
    await outbox.answer(database, await new_turn(sql), Lane(chat_id=CHAT), [], agent=None, failed=failed)
    assert await turns(sql) == [(state, None, True)]
    assert await waiting_jobs(sql) == []


async def test_an_answer_that_cannot_be_stored_leaves_its_turn_waiting(
    database: Database, sql: psycopg.AsyncConnection
) -> None:
    turn = await new_turn(sql)
    await sql.execute("alter table persais.outbox add constraint no_more check (chat_id < 0)")
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await outbox.answer(database, turn, Lane(chat_id=CHAT), [Reply(text="a")], agent="echo", failed=False)
    finally:
        await sql.execute("alter table persais.outbox drop constraint no_more")
    assert await turns(sql) == [("waiting", None, False)]
    assert await waiting_jobs(sql) == []


async def test_jobs_of_one_chat_share_a_lock(database: Database, sql: psycopg.AsyncConnection) -> None:
    await put(database, "a")
    await put(database, "b", chat=OTHER)
    assert await waiting_jobs(sql) == [(f"out:{CHAT}", False), (f"out:{OTHER}", False)]


async def test_a_flood_limit_holds_up_its_own_chat_only(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    other: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await put(database, "two")
    await put(database, "elsewhere", chat=OTHER)
    await clear_jobs(sql)
    emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests: retry after 600", retry_after=600)
    box = Outbox(database, channel)
    await box.deliver(CHAT)
    await box.deliver(OTHER)
    assert await said(person) == []
    assert await said(other) == ["elsewhere"]
    assert await rows(sql) == [("one", "queued"), ("two", "queued"), ("elsewhere", "sent")]
    assert await waiting_jobs(sql) == [(f"out:{CHAT}", True)]
    await box.deliver(CHAT)
    assert await said(person) == ["one", "two"]
    await other.aclose()


async def test_refused_formatting_is_said_as_plain_text(
    database: Database, channel: TelegramChannel, emulator: TelegramEmulator, person: ChatClient
) -> None:
    await put(database, "**bold**")
    emulator.fail_next("sendMessage", error_code=400, description="Bad Request: can't parse entities")
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["**bold**"]


async def test_a_refused_link_button_leaves_the_others(
    database: Database, channel: TelegramChannel, person: ChatClient
) -> None:
    await show(database, "card", Button(text="Go", data="go"), Button(text="Look", url="ftp://nowhere"))
    await Outbox(database, channel).deliver(CHAT)
    [message] = [m for m in await person.history() if m.from_bot]
    assert [[button.text for button in row] for row in message.buttons] == [["Go"]]


async def test_a_flood_limit_on_the_plain_text_ends_the_round_too(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "**bold**")
    await put(database, "next")
    await clear_jobs(sql)
    emulator.fail_next("sendMessage", error_code=400, description="Bad Request: can't parse entities")
    emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests", retry_after=600)
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == []
    assert await waiting_jobs(sql) == [(f"out:{CHAT}", True)]


async def test_a_network_failure_on_the_plain_text_loses_nothing(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "**bold**")
    emulator.fail_next("sendMessage", error_code=400, description="Bad Request: can't parse entities")
    emulator.fail_next("sendMessage", error_code=502, description="Bad Gateway")
    await Outbox(database, channel).deliver(CHAT)
    assert await rows(sql) == [("**bold**", "queued")]
    await Outbox(database, channel).deliver(CHAT)
    assert len(await said(person)) == 1


async def test_what_is_refused_even_as_plain_text_fails_and_the_next_goes(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "bad")
    await put(database, "good")
    emulator.fail_next("sendMessage", times=2, error_code=400, description="Bad Request: no")
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["good"]
    assert await rows(sql) == [("bad", "failed"), ("good", "sent")]


async def test_a_blocked_bot_gives_up_that_message_and_goes_on(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "lost")
    await put(database, "next")
    emulator.fail_next("sendMessage", error_code=403, description="Forbidden: bot was blocked by the user")
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["next"]
    assert await rows(sql) == [("lost", "failed"), ("next", "sent")]
    [(error,)] = await (await sql.execute("select error from persais.outbox where key = 'lost'")).fetchall()
    assert "blocked" in error


async def test_an_unreachable_service_keeps_everything_for_later_in_order(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await put(database, "two")
    await clear_jobs(sql)
    emulator.fail_next("sendMessage", times=3, error_code=502, description="Bad Gateway")
    box = Outbox(database, channel)
    for round_ in (1, 2, 3):
        await box.deliver(CHAT)
        assert await rows(sql) == [("one", "queued"), ("two", "queued")]
        assert len(await waiting_jobs(sql)) == round_
    await box.deliver(CHAT)
    assert await said(person) == ["one", "two"]


async def test_after_many_failures_a_message_is_given_up_and_the_next_is_tried(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await put(database, "two")
    emulator.fail_next("sendMessage", times=outbox.MAX_ATTEMPTS, error_code=502, description="Bad Gateway")
    for _ in range(outbox.MAX_ATTEMPTS):
        await Outbox(database, channel).deliver(CHAT)
    assert await rows(sql) == [("one", "failed"), ("two", "sent")]
    assert await said(person) == ["two"]


async def test_a_card_is_edited_in_place_and_overtaken_versions_are_never_sent(
    database: Database, channel: TelegramChannel, person: ChatClient
) -> None:
    box = Outbox(database, channel)
    await show(database, "step 1")
    await box.deliver(CHAT)
    [before] = [m for m in await person.history() if m.from_bot]
    for number in range(2, 7):
        await show(database, f"step {number}")
    await box.deliver(CHAT)
    [after] = [m for m in await person.history() if m.from_bot]
    assert (after.id, after.text, after.edited) == (before.id, "step 6", True)
    assert after.revision == before.revision + 1


async def test_a_card_that_did_not_change_is_not_touched(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await show(database, "same")
    await Outbox(database, channel).deliver(CHAT)
    await show(database, "same")
    assert await rows(sql) == [("card", "sent")]


async def test_a_card_that_its_reader_deleted_is_shown_again(
    database: Database, channel: TelegramChannel, person: ChatClient
) -> None:
    await show(database, "first")
    await Outbox(database, channel).deliver(CHAT)
    [message] = [m for m in await person.history() if m.from_bot]
    await channel.bot.delete_message(CHAT, message.id)
    await show(database, "second")
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["second"]


async def test_what_waited_for_a_sender_that_died_is_woken_at_the_start(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await put(database, "one")
    await put(database, "two", chat=OTHER)
    await put(database, "three")
    await sql.execute("update persais.outbox set state = 'sending' where key = 'one'")
    await clear_jobs(sql)
    await Outbox(database, channel).start_over()
    assert sorted(lock for lock, _ in await waiting_jobs(sql)) == [f"out:{CHAT}", f"out:{OTHER}"]
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == ["one", "three"]


class _Through:
    """A channel that does something of the test's after a message went out."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def after(self) -> None:
        raise NotImplementedError

    async def send(self, lane: Lane, reply: Reply) -> list[int]:
        sent = await self._channel.send(lane, reply)
        await self.after()
        return sent

    async def edit(self, lane: Lane, message_ids: Sequence[int], reply: Reply) -> list[int]:
        return await self._channel.edit(lane, message_ids, reply)

    async def typing(self, lane: Lane) -> None:
        await self._channel.typing(lane)

    async def answer_press(self, press_id: str, text: str = "", *, alert: bool = False) -> None:
        await self._channel.answer_press(press_id, text, alert=alert)

    async def set_menu(self, commands: Sequence[tuple[str, str]], language: Language | None) -> None:
        await self._channel.set_menu(commands, language)


class DyingChannel(_Through):
    """Its process ends when a message is out and not marked yet."""

    async def after(self) -> None:
        raise asyncio.CancelledError


async def test_a_death_between_sending_and_marking_repeats_that_one_message_at_most(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    for text in ("one", "two", "three"):
        await put(database, text)
    with pytest.raises(asyncio.CancelledError):
        await Outbox(database, DyingChannel(channel)).deliver(CHAT)
    assert await rows(sql) == [("one", "sending"), ("two", "queued"), ("three", "queued")]
    box = Outbox(database, channel)
    await box.start_over()
    await box.deliver(CHAT)
    assert await said(person) == ["one", "one", "two", "three"]


class NewsChannel(_Through):
    """A newer version of the card comes while the first is on its way."""

    def __init__(self, channel: Channel, database: Database) -> None:
        super().__init__(channel)
        self._database = database

    async def after(self) -> None:
        await show(self._database, "newer")


async def test_a_version_that_comes_while_the_card_is_sent_is_not_forgotten(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await show(database, "older")
    await Outbox(database, NewsChannel(channel, database)).deliver(CHAT)
    messages: list[ChatMessage] = [m for m in await person.history() if m.from_bot]
    assert [(m.text, m.edited) for m in messages] == [("newer", True)]
    assert await rows(sql) == [("card", "sent")]
