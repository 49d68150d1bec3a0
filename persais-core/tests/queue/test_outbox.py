"""What the bot says: once, in order, and not lost, whatever the chat service answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import psycopg.sql
import pytest
import structlog.testing

from persais_core import errors, texts
from persais_core.channels.base import Channel, Noted
from persais_core.channels.telegram.send import TelegramChannel
from persais_core.db.engine import Database
from persais_core.domain.chats import Button, Lane, Language, Reply
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.values import ChatMessage
from persais_core.queue import outbox
from persais_core.queue.outbox import Outbox
from persais_core.queue.outbox.messages import Row

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


async def column(sql: psycopg.AsyncConnection, name: str) -> list[int]:
    """One column of all messages, in the order they were put."""
    query = psycopg.sql.SQL("select {} from persais.outbox order by id").format(psycopg.sql.Identifier(name))
    return [value for (value,) in await (await sql.execute(query)).fetchall()]


async def letters(sql: psycopg.AsyncConnection) -> list[tuple[str, str, str]]:
    """(kind, subject, state) of what was set aside."""
    query = "select kind, subject, state from persais.dead_letters order by id"
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


async def test_a_flood_limit_holds_up_its_own_chat_only_and_until_it_is_over(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    other: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await put(database, "elsewhere", chat=OTHER)
    await clear_jobs(sql)
    emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests: retry after 600", retry_after=600)
    box = Outbox(database, channel)
    await box.deliver(CHAT)
    await box.deliver(OTHER)
    assert await waiting_jobs(sql) == [(f"out:{CHAT}", True)]
    await put(database, "two")
    await box.deliver(CHAT)  # what is new wakes the chat, and must not break the pause
    assert await said(person) == []
    assert await said(other) == ["elsewhere"]
    assert await rows(sql) == [("one", "queued"), ("elsewhere", "sent"), ("two", "queued")]
    await sql.execute("update persais.send_limits set paused_until = now()")
    await box.deliver(CHAT)
    assert await said(person) == ["one", "two"]
    assert await column(sql, "attempts") == [1, 1, 1]  # being asked to wait is no failure
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


async def test_what_is_refused_even_as_plain_text_is_set_aside_and_told_and_the_next_goes(
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
    assert await said(person) == ["good", texts.say("en", "set-aside-message")]
    assert await rows(sql) == [("bad", "failed"), ("good", "sent"), ("dead:bad", "sent")]
    assert await letters(sql) == [("send", "bad", "waiting")]


async def test_that_something_was_set_aside_is_not_told_about_itself(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "bad")
    emulator.fail_next("sendMessage", times=4, error_code=400, description="Bad Request: no")
    await Outbox(database, channel).deliver(CHAT)
    assert await said(person) == []
    assert await letters(sql) == [("send", "bad", "waiting"), ("send", "dead:bad", "dropped")]


async def test_who_blocked_the_bot_is_noted_until_something_arrives_again(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, '', 'en', false, false)",
        [CHAT],
    )
    await put(database, "lost")
    emulator.fail_next("sendMessage", error_code=403, description="Forbidden: bot was blocked by the user")
    box = Outbox(database, channel)
    await box.deliver(CHAT)
    blocked = "select blocked_at is not null from persais.people"
    assert await (await sql.execute(blocked)).fetchall() == [(True,)]
    assert await letters(sql) == [("send", "lost", "dropped")]  # nobody can do anything about it
    await put(database, "next")
    await box.deliver(CHAT)
    assert await (await sql.execute(blocked)).fetchall() == [(False,)]
    assert await said(person) == ["next"]
    assert await rows(sql) == [("lost", "failed"), ("next", "sent")]


async def test_what_waits_for_a_group_follows_it_to_its_supergroup(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    other: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await put(database, "two")
    await clear_jobs(sql)
    emulator.fail_next("sendMessage", error_code=400, description="Bad Request: upgraded", migrate_to=OTHER)
    box = Outbox(database, channel)
    await box.deliver(CHAT)
    assert await waiting_jobs(sql) == [(f"out:{OTHER}", False)]
    await box.deliver(OTHER)
    assert await said(other) == ["one", "two"]
    await other.aclose()


async def test_a_message_whose_answer_was_lost_is_sent_again_and_counted(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    emulator.fail_next("sendMessage", error_code=502, description="Bad Gateway")
    emulator.lose_next("sendMessage")
    box = Outbox(database, channel)
    for _ in range(3):
        await box.deliver(CHAT)
    assert await said(person) == ["one", "one"]
    assert await column(sql, "doubts") == [1]  # a refusal is no doubt
    assert (await outbox.counts(database)).doubts == 1


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
    assert await rows(sql) == [("one", "failed"), ("two", "sent"), ("dead:one", "sent")]
    assert await said(person) == ["two", texts.say("en", "set-aside-message")]


async def test_a_card_is_edited_in_place_and_overtaken_versions_are_never_sent(
    database: Database, channel: TelegramChannel, person: ChatClient
) -> None:
    box = Outbox(database, channel, edit_pause=0)
    await show(database, "step 1")
    await box.deliver(CHAT)
    [before] = [m for m in await person.history() if m.from_bot]
    for number in range(2, 7):
        await show(database, f"step {number}")
    await box.deliver(CHAT)
    [after] = [m for m in await person.history() if m.from_bot]
    assert (after.id, after.text, after.edited) == (before.id, "step 6", True)
    assert after.revision == before.revision + 1


class Late(Outbox):
    """One that is held up each time it finds nothing to send."""

    async def _next(self, chat: int) -> Row | None:
        found = await super()._next(chat)
        if found is None:
            await asyncio.sleep(2 * self._edit_pause)
        return found


async def test_an_edit_that_becomes_due_while_its_sender_makes_up_its_mind_to_leave_is_sent(
    database: Database, channel: TelegramChannel, person: ChatClient
) -> None:
    await show(database, "planning")
    await Outbox(database, channel).deliver(CHAT)
    await show(database, "ready")
    await Late(database, channel, edit_pause=0.3).deliver(CHAT)
    assert await said(person) == ["ready"]


async def test_edits_of_a_card_keep_a_distance_and_what_is_new_goes_before_them(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    box = Outbox(database, channel, edit_pause=1.5)
    await show(database, "step 1")
    await box.deliver(CHAT)
    await show(database, "step 2")
    task = asyncio.create_task(box.deliver(CHAT))
    await put(database, "final")
    while "final" not in await said(person):
        await asyncio.sleep(0.02)
    assert await said(person) == ["step 1", "final"]
    await show(database, "step 3")
    await task
    assert await said(person) == ["step 3", "final"]
    [(distance,)] = await (
        await sql.execute("select sent_at - created_at > interval '1.5 s' from persais.outbox where key = 'card'")
    ).fetchall()
    assert distance
    card, final = (m for m in await person.history() if m.from_bot)
    assert card.revision == final.revision + 1  # version 2 was overtaken


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
    box = Outbox(database, channel, edit_pause=0)
    await box.deliver(CHAT)
    [message] = [m for m in await person.history() if m.from_bot]
    await channel.bot.delete_message(CHAT, message.id)
    await show(database, "second")
    await box.deliver(CHAT)
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

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        async def noted_and_after(so_far: list[int]) -> None:
            if noted is not None:
                await noted(so_far)
            await self.after()

        sent = await self._channel.put(lane, reply, ids=ids, done=done, noted=noted_and_after)
        if not ids:
            await self.after()
        return sent

    async def answers(self) -> bool:
        return await self._channel.answers()

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
    assert await column(sql, "doubts") == [1, 0, 0]


async def test_a_death_between_two_pieces_repeats_neither(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await put(database, "a" * 4000 + "\n\n" + "b" * 4000, key="long", plain=True)
    with pytest.raises(asyncio.CancelledError):
        await Outbox(database, DyingChannel(channel)).deliver(CHAT)
    assert [text[0] for text in await said(person)] == ["a"]
    await Outbox(database, channel).deliver(CHAT)
    assert [text[0] for text in await said(person)] == ["a", "b"]


class UnpluggedChannel(_Through):
    """Nothing leads to the chat service until the line is there again."""

    is_there = False
    tries = 0

    async def put(
        self, lane: Lane, reply: Reply, *, ids: Sequence[int] = (), done: int = 0, noted: Noted | None = None
    ) -> list[int]:
        self.tries += 1
        if not self.is_there:
            raise errors.ChannelError("there is no line")
        return await self._channel.put(lane, reply, ids=ids, done=done, noted=noted)

    async def answers(self) -> bool:
        return self.is_there


async def test_while_the_service_is_away_nothing_is_given_up_and_its_end_lets_every_chat_go_on(
    database: Database, channel: TelegramChannel, person: ChatClient, other: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    line = UnpluggedChannel(channel)
    box = Outbox(database, line)
    with structlog.testing.capture_logs() as logs:
        for number in range(2 * outbox.MAX_ATTEMPTS):
            await put(database, f"one {number}")
            for until in ("0 hours", "1 hour"):  # the pause is over; and something is said while it lasts
                await sql.execute(f"update persais.send_limits set paused_until = now() + interval '{until}'")
                await box.deliver(CHAT)
            assert [job for job in await waiting_jobs(sql) if job[1]] == [(f"out:{CHAT}", True)]
            await clear_jobs(sql)
        await put(database, "dead:two", chat=OTHER)
        await clear_jobs(sql)
        await box.deliver(OTHER)
        assert set(await column(sql, "attempts")) == {0} and line.tries == 1
        assert {state for _, state in await rows(sql)} == {"queued"} and await letters(sql) == []
        line.is_there = True
        await clear_jobs(sql)
        await box.deliver(CHAT)
        assert await waiting_jobs(sql) == [(f"out:{CHAT}", False), (f"out:{OTHER}", False)]
        await box.deliver(OTHER)
    assert await said(person) == [f"one {number}" for number in range(2 * outbox.MAX_ATTEMPTS)]
    assert await said(other) == ["dead:two"]
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["event"].partition(";")[0] for entry in warnings] == [
        "the chat service cannot be reached",
        "the chat service can be reached again",
    ]
    await other.aclose()


async def test_what_may_have_arrived_is_not_sent_again_before_the_service_answers(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    emulator.lose_next("sendMessage")
    emulator.fail_next("getMe", times=3, error_code=502, description="Bad Gateway")
    box = Outbox(database, channel)
    for _ in range(3):
        await box.deliver(CHAT)
        await sql.execute("update persais.send_limits set paused_until = now()")
        assert await said(person) == ["one"]
        assert (await column(sql, "attempts"), await column(sql, "doubts")) == ([1], [1])
    await box.deliver(CHAT)
    assert await said(person) == ["one", "one"]


async def test_what_may_have_arrived_each_time_keeps_its_limit_also_while_the_service_is_away(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    await put(database, "one")
    await sql.execute("update persais.outbox set attempts = %s", [outbox.MAX_ATTEMPTS - 1])
    emulator.lose_next("sendMessage")
    emulator.fail_next("getMe", error_code=502, description="Bad Gateway")
    await Outbox(database, channel).deliver(CHAT)
    assert await rows(sql) == [("one", "failed"), ("dead:one", "queued")]
    assert await letters(sql) == [("send", "one", "waiting")]


class BuggyChannel(_Through):
    """It breaks over every message."""

    async def after(self) -> None:
        raise ValueError("a bug of ours")


async def test_a_message_that_breaks_its_sender_does_not_hold_up_its_chat(
    database: Database, channel: TelegramChannel, person: ChatClient, sql: psycopg.AsyncConnection
) -> None:
    await put(database, "one")
    await put(database, "dead:two")
    await Outbox(database, BuggyChannel(channel)).deliver(CHAT)
    assert [state for _, state in await rows(sql)] == ["failed"] * 3
    assert (await letters(sql))[0] == ("send", "one", "waiting")


async def test_among_many_faults_each_message_arrives_or_is_set_aside(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> None:
    """Every message of forty, five kinds of faults in between, as one chat meets them on a bad day."""
    wanted = [f"message **{number}**" for number in range(40)]
    for text in wanted:
        await put(database, text)
    refused = {"error_code": 400, "description": "Bad Request: can't parse entities"}
    for _ in range(3):
        emulator.fail_next("sendMessage", error_code=502, description="Bad Gateway")
        emulator.fail_next("sendMessage", **refused)
        emulator.lose_next("sendMessage")
        emulator.fail_next("sendMessage", error_code=429, description="Too Many Requests", retry_after=1)
        emulator.fail_next("sendMessage", times=2, **refused)
        emulator.fail_next("sendMessage", error_code=403, description="Forbidden: bot was blocked by the user")
        emulator.fail_next("sendMessage", error_code=500, description="Internal Server Error")
    box = Outbox(database, channel)
    while (await outbox.counts(database)).waiting:
        await box.deliver(CHAT)
        await sql.execute("update persais.send_limits set paused_until = null")
    numbers = [int(text.replace("*", "").split()[1]) for text in await said(person) if text.startswith("message")]
    lost = {int(subject.split("**")[1]) for kind, subject, _ in await letters(sql) if kind == "send"}
    assert len(lost) == 6
    assert set(numbers) | lost == set(range(40))
    # Each doubt is a message that stands there although there was another try.
    doubled = len(numbers) - len(set(numbers)) + len(set(numbers) & lost)
    assert doubled == (await outbox.counts(database)).doubts == 3
    assert numbers == sorted(numbers)


class RefusedLaterChannel(_Through):
    """The second piece of a message is refused for its formatting, and the one after that has to wait."""

    def __init__(self, channel: Channel, emulator: TelegramEmulator) -> None:
        super().__init__(channel)
        self._emulator = emulator
        self._faults = [
            {"error_code": 400, "description": "Bad Request: can't parse entities"},
            {"error_code": 502, "description": "Bad Gateway"},
        ]

    async def after(self) -> None:
        if self._faults:
            self._emulator.fail_next("sendMessage", **self._faults.pop(0))


async def test_what_is_refused_in_its_middle_is_said_as_plain_text_from_its_beginning(
    database: Database, channel: TelegramChannel, emulator: TelegramEmulator, person: ChatClient
) -> None:
    text = "\n\n".join(f"[link {number}](https://example.org/{number}) " + "word " * 90 for number in range(20))
    await put(database, text, key="long")
    box = Outbox(database, RefusedLaterChannel(channel, emulator))
    while (await outbox.counts(database)).waiting:
        await box.deliver(CHAT)
    assert "".join("".join(await said(person)).split()) == "".join(text.split())


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
    await Outbox(database, NewsChannel(channel, database), edit_pause=0).deliver(CHAT)
    messages: list[ChatMessage] = [m for m in await person.history() if m.from_bot]
    assert [(m.text, m.edited) for m in messages] == [("newer", True)]
    assert await rows(sql) == [("card", "sent")]
