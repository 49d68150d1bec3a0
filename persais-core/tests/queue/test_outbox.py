"""What the bot says: once, in order, and not lost, whatever the chat service answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest
import structlog.testing

from local_telegram import CLIENT_KEY
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
from persais_core.security.redact import Redactor

CHAT, OTHER = 1000001, 1000002


@dataclass
class Chat:
    """One person's chat with the bot, from what is put into the outbox to what they read."""

    database: Database
    channel: TelegramChannel
    emulator: TelegramEmulator
    person: ChatClient
    sql: psycopg.AsyncConnection

    def box(self, channel: Channel | None = None, **options: float) -> Outbox:
        """A sender, through another channel if one is given."""
        return Outbox(self.database, channel or self.channel, Redactor(), **options)

    async def put(self, text: str, *, key: str | None = None, chat: int = CHAT, **options: bool) -> None:
        async with self.database.session() as session:
            await outbox.put(session, Lane(chat_id=chat), Reply(text=text, **options), key=key or text)

    async def show(self, text: str, *buttons: Button) -> None:
        async with self.database.session() as session:
            reply = Reply(text=text, buttons=(buttons,) if buttons else ())
            await outbox.show(session, Lane(chat_id=CHAT), reply, key="card")

    async def messages(self) -> list[ChatMessage]:
        """What the person reads."""
        return [message for message in await self.person.history() if message.from_bot]

    async def said(self) -> list[str]:
        return await said(self.person)

    async def ask(self, query: LiteralString, *values: object) -> list[Any]:
        return await (await self.sql.execute(query, values)).fetchall()

    async def rows(self) -> list[tuple[str, str]]:
        return await self.ask("select key, state from persais.outbox order by id")

    async def new_turn(self) -> int:
        query = "insert into persais.turns (chat_id, user_id, state) values (%s, %s, 'waiting') returning id"
        [(number,)] = await self.ask(query, CHAT, CHAT)
        return int(number)

    async def turns(self) -> list[tuple[str, str | None, bool]]:
        """(state, agent, whether it says when it ended) of all turns."""
        return await self.ask("select state, agent, finished_at is not null from persais.turns order by id")

    async def waiting_jobs(self) -> list[tuple[str, bool]]:
        """(lock, whether it is only due later) of the jobs that would deliver."""
        return await self.ask("select lock, coalesce(scheduled_at > now(), false) from procrastinate_jobs order by id")

    async def clear_jobs(self) -> None:
        await self.sql.execute("delete from procrastinate_jobs")

    async def column(self, name: LiteralString) -> list[int]:
        """One column of all messages, in the order they were put."""
        return [value for (value,) in await self.ask(f"select {name} from persais.outbox order by id")]

    async def letters(self) -> list[tuple[str, str, str]]:
        """(kind, subject, state) of what was set aside."""
        return await self.ask("select kind, subject, state from persais.dead_letters order by id")

    def refuse_next(self, error_code: int, description: str, **more: int) -> None:
        """The service answers the next message with an error."""
        self.emulator.fail_next("sendMessage", error_code=error_code, description=description, **more)


@pytest.fixture
async def chat(
    database: Database,
    channel: TelegramChannel,
    emulator: TelegramEmulator,
    person: ChatClient,
    sql: psycopg.AsyncConnection,
) -> Chat:
    return Chat(database, channel, emulator, person, sql)


@pytest.fixture
async def other(telegram_url: str) -> AsyncIterator[ChatClient]:
    """Somebody else, with a chat of their own."""
    async with ChatClient(telegram_url, CLIENT_KEY, user=OTHER, name="Other") as made:
        await made.send("/start")
        yield made


async def said(person: ChatClient) -> list[str]:
    return [message.text for message in await person.history() if message.from_bot]


async def test_a_reply_is_said_once_for_its_key_in_the_order_it_was_put(chat: Chat) -> None:
    for text in ("one", "two", "three", "two"):
        await chat.put(text)
    await chat.put("other words under the same key", key="one")
    await chat.box().deliver(CHAT)
    await chat.box().deliver(CHAT)
    assert await chat.said() == ["one", "two", "three"]
    assert await chat.rows() == [("one", "sent"), ("two", "sent"), ("three", "sent")]


async def test_the_answer_to_a_turn_is_said_in_order_and_ends_it_however_often_it_is_given(chat: Chat) -> None:
    turn = await chat.new_turn()
    replies = [Reply(text=str(number), plain=True) for number in range(12)]
    for _ in range(2):
        await outbox.answer(chat.database, turn, Lane(chat_id=CHAT), replies, agent="echo", failed=False)
    assert await chat.rows() == [(f"turn:{turn}:{number}", "queued") for number in range(12)]
    assert await chat.turns() == [("done", "echo", True)]
    await chat.box().deliver(CHAT)
    assert await chat.said() == [str(number) for number in range(12)]


@pytest.mark.parametrize(("failed", "state"), [(True, "failed"), (False, "done")])
async def test_a_turn_without_a_reply_ends_and_wakes_nobody(chat: Chat, failed: bool, state: str) -> None:
    await outbox.answer(chat.database, await chat.new_turn(), Lane(chat_id=CHAT), [], agent=None, failed=failed)
    assert await chat.turns() == [(state, None, True)]
    assert await chat.waiting_jobs() == []


async def test_an_answer_that_cannot_be_stored_leaves_its_turn_waiting(chat: Chat) -> None:
    turn = await chat.new_turn()
    await chat.sql.execute("alter table persais.outbox add constraint no_more check (chat_id < 0)")
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await outbox.answer(chat.database, turn, Lane(chat_id=CHAT), [Reply(text="a")], agent="echo", failed=False)
    finally:
        await chat.sql.execute("alter table persais.outbox drop constraint no_more")
    assert await chat.turns() == [("waiting", None, False)]
    assert await chat.waiting_jobs() == []


async def test_jobs_of_one_chat_share_a_lock(chat: Chat) -> None:
    await chat.put("a")
    await chat.put("b", chat=OTHER)
    assert await chat.waiting_jobs() == [(f"out:{CHAT}", False), (f"out:{OTHER}", False)]


async def test_a_flood_limit_holds_up_its_own_chat_only_and_until_it_is_over(chat: Chat, other: ChatClient) -> None:
    await chat.put("one")
    await chat.put("elsewhere", chat=OTHER)
    await chat.clear_jobs()
    chat.refuse_next(429, "Too Many Requests: retry after 600", retry_after=600)
    box = chat.box()
    await box.deliver(CHAT)
    await box.deliver(OTHER)
    assert await chat.waiting_jobs() == [(f"out:{CHAT}", True)]
    await chat.put("two")
    await box.deliver(CHAT)  # what is new wakes the chat, and must not break the pause
    assert await chat.said() == []
    assert await said(other) == ["elsewhere"]
    assert await chat.rows() == [("one", "queued"), ("elsewhere", "sent"), ("two", "queued")]
    await chat.sql.execute("update persais.send_limits set paused_until = now()")
    await box.deliver(CHAT)
    assert await chat.said() == ["one", "two"]
    assert await chat.column("attempts") == [1, 1, 1]  # being asked to wait is no failure


async def test_refused_formatting_is_said_as_plain_text(chat: Chat) -> None:
    await chat.put("**bold**")
    chat.refuse_next(400, "Bad Request: can't parse entities")
    await chat.box().deliver(CHAT)
    assert await chat.said() == ["**bold**"]


async def test_a_refused_link_button_leaves_the_others(chat: Chat) -> None:
    await chat.show("card", Button(text="Go", data="go"), Button(text="Look", url="ftp://nowhere"))
    await chat.box().deliver(CHAT)
    [message] = await chat.messages()
    assert [[button.text for button in row] for row in message.buttons] == [["Go"]]


async def test_a_flood_limit_on_the_plain_text_ends_the_round_too(chat: Chat) -> None:
    await chat.put("**bold**")
    await chat.put("next")
    await chat.clear_jobs()
    chat.refuse_next(400, "Bad Request: can't parse entities")
    chat.refuse_next(429, "Too Many Requests", retry_after=600)
    await chat.box().deliver(CHAT)
    assert await chat.said() == []
    assert await chat.waiting_jobs() == [(f"out:{CHAT}", True)]


async def test_a_network_failure_on_the_plain_text_loses_nothing(chat: Chat) -> None:
    await chat.put("**bold**")
    chat.refuse_next(400, "Bad Request: can't parse entities")
    chat.refuse_next(502, "Bad Gateway")
    await chat.box().deliver(CHAT)
    assert await chat.rows() == [("**bold**", "queued")]
    await chat.box().deliver(CHAT)
    assert len(await chat.said()) == 1


async def test_what_is_refused_even_as_plain_text_is_set_aside_and_told_and_the_next_goes(chat: Chat) -> None:
    await chat.put("bad")
    await chat.put("good")
    chat.refuse_next(400, "Bad Request: no", times=2)
    await chat.box().deliver(CHAT)
    assert await chat.said() == ["good", texts.say("en", "set-aside-message")]
    assert await chat.rows() == [("bad", "failed"), ("good", "sent"), ("set-aside:bad", "sent")]
    assert await chat.letters() == [("send", "bad", "waiting")]


async def test_that_something_was_set_aside_is_not_told_about_itself(chat: Chat) -> None:
    await chat.put("bad")
    chat.refuse_next(400, "Bad Request: no", times=4)
    await chat.box().deliver(CHAT)
    assert await chat.said() == []
    assert await chat.letters() == [("send", "bad", "waiting"), ("send", "set-aside:bad", "dropped")]


async def test_who_blocked_the_bot_is_noted_until_something_arrives_again(chat: Chat) -> None:
    await chat.sql.execute(
        "insert into persais.people (id, name, language, is_owner, is_admin) values (%s, '', 'en', false, false)",
        [CHAT],
    )
    await chat.put("lost")
    chat.refuse_next(403, "Forbidden: bot was blocked by the user")
    box = chat.box()
    await box.deliver(CHAT)
    blocked = "select blocked_at is not null from persais.people"
    assert await chat.ask(blocked) == [(True,)]
    assert await chat.letters() == [("send", "lost", "dropped")]  # nobody can do anything about it
    await chat.put("next")
    await box.deliver(CHAT)
    assert await chat.ask(blocked) == [(False,)]
    assert await chat.said() == ["next"]
    assert await chat.rows() == [("lost", "failed"), ("next", "sent")]


async def test_what_waits_for_a_group_follows_it_to_its_supergroup(chat: Chat, other: ChatClient) -> None:
    await chat.put("one")
    await chat.put("two")
    await chat.clear_jobs()
    chat.refuse_next(400, "Bad Request: upgraded", migrate_to=OTHER)
    box = chat.box()
    await box.deliver(CHAT)
    assert await chat.waiting_jobs() == [(f"out:{OTHER}", False)]
    await box.deliver(OTHER)
    assert await said(other) == ["one", "two"]


async def test_a_message_whose_answer_was_lost_is_sent_again_and_counted(chat: Chat) -> None:
    await chat.put("one")
    chat.refuse_next(502, "Bad Gateway")
    chat.emulator.lose_next("sendMessage")
    box = chat.box()
    for _ in range(3):
        await box.deliver(CHAT)
    assert await chat.said() == ["one", "one"]
    assert await chat.column("doubts") == [1]  # a refusal is no doubt
    assert (await outbox.counts(chat.database)).doubts == 1


async def test_an_unreachable_service_keeps_everything_for_later_in_order(chat: Chat) -> None:
    await chat.put("one")
    await chat.put("two")
    await chat.clear_jobs()
    chat.refuse_next(502, "Bad Gateway", times=3)
    box = chat.box()
    for round_ in (1, 2, 3):
        await box.deliver(CHAT)
        assert await chat.rows() == [("one", "queued"), ("two", "queued")]
        assert len(await chat.waiting_jobs()) == round_
    await box.deliver(CHAT)
    assert await chat.said() == ["one", "two"]


async def test_after_many_failures_a_message_is_given_up_and_the_next_is_tried(chat: Chat) -> None:
    await chat.put("one")
    await chat.put("two")
    chat.refuse_next(502, "Bad Gateway", times=outbox.MAX_ATTEMPTS)
    for _ in range(outbox.MAX_ATTEMPTS):
        await chat.box().deliver(CHAT)
    assert await chat.rows() == [("one", "failed"), ("two", "sent"), ("set-aside:one", "sent")]
    assert await chat.said() == ["two", texts.say("en", "set-aside-message")]


async def test_a_card_is_edited_in_place_and_overtaken_versions_are_never_sent(chat: Chat) -> None:
    box = chat.box(edit_pause=0)
    await chat.show("step 1")
    await box.deliver(CHAT)
    [before] = await chat.messages()
    for number in range(2, 7):
        await chat.show(f"step {number}")
    await box.deliver(CHAT)
    [after] = await chat.messages()
    assert (after.id, after.text, after.edited) == (before.id, "step 6", True)
    assert after.revision == before.revision + 1


class Late(Outbox):
    """One that is held up each time it finds nothing to send."""

    async def _next(self, chat: int) -> Row | None:
        found = await super()._next(chat)
        if found is None:
            await asyncio.sleep(2 * self._edit_pause)
        return found


async def test_an_edit_that_becomes_due_while_its_sender_makes_up_its_mind_to_leave_is_sent(chat: Chat) -> None:
    await chat.show("planning")
    await chat.box().deliver(CHAT)
    await chat.show("ready")
    await Late(chat.database, chat.channel, Redactor(), edit_pause=0.3).deliver(CHAT)
    assert await chat.said() == ["ready"]
    assert await chat.ask("select sent_at - created_at > interval '0.3 s' from persais.outbox") == [(True,)]


async def test_edits_of_a_card_keep_a_distance_and_what_is_new_goes_before_them(chat: Chat) -> None:
    box = chat.box(edit_pause=600)
    await chat.show("step 1")
    await box.deliver(CHAT)
    await chat.show("step 2")
    task = asyncio.create_task(box.deliver(CHAT))
    await chat.put("final")
    async with asyncio.timeout(60):
        while "final" not in await chat.said():
            await asyncio.sleep(0.02)
    assert await chat.said() == ["step 1", "final"]
    await chat.show("step 3")
    await chat.sql.execute("update persais.outbox set sent_at = sent_at - interval '600 s' where key = 'card'")
    await task
    assert await chat.said() == ["step 3", "final"]
    card, final = await chat.messages()
    assert card.revision == final.revision + 1  # version 2 was overtaken


async def test_a_card_that_did_not_change_is_not_touched(chat: Chat) -> None:
    await chat.show("same")
    await chat.box().deliver(CHAT)
    await chat.show("same")
    assert await chat.rows() == [("card", "sent")]


async def test_a_card_that_its_reader_deleted_is_shown_again(chat: Chat) -> None:
    await chat.show("first")
    box = chat.box(edit_pause=0)
    await box.deliver(CHAT)
    [message] = await chat.messages()
    await chat.channel.bot.delete_message(CHAT, message.id)
    await chat.show("second")
    await box.deliver(CHAT)
    assert await chat.said() == ["second"]


async def test_what_waited_for_a_sender_that_died_is_woken_at_the_start(chat: Chat) -> None:
    await chat.put("one")
    await chat.put("two", chat=OTHER)
    await chat.put("three")
    await chat.sql.execute("update persais.outbox set state = 'sending' where key = 'one'")
    await chat.clear_jobs()
    await chat.box().start_over()
    assert sorted(lock for lock, _ in await chat.waiting_jobs()) == [f"out:{CHAT}", f"out:{OTHER}"]
    await chat.box().deliver(CHAT)
    assert await chat.said() == ["one", "three"]


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

    async def set_menu(
        self, commands: Sequence[tuple[str, str]], language: Language | None, *, user_id: int | None = None
    ) -> None:
        await self._channel.set_menu(commands, language, user_id=user_id)


class DyingChannel(_Through):
    """Its process ends when a message is out and not marked yet."""

    async def after(self) -> None:
        raise asyncio.CancelledError


async def test_a_death_between_sending_and_marking_repeats_that_one_message_at_most(chat: Chat) -> None:
    for text in ("one", "two", "three"):
        await chat.put(text)
    with pytest.raises(asyncio.CancelledError):
        await chat.box(DyingChannel(chat.channel)).deliver(CHAT)
    assert await chat.rows() == [("one", "sending"), ("two", "queued"), ("three", "queued")]
    box = chat.box()
    await box.start_over()
    await box.deliver(CHAT)
    assert await chat.said() == ["one", "one", "two", "three"]
    assert await chat.column("doubts") == [1, 0, 0]


async def test_a_death_between_two_pieces_repeats_neither(chat: Chat) -> None:
    await chat.put("a" * 4000 + "\n\n" + "b" * 4000, key="long", plain=True)
    with pytest.raises(asyncio.CancelledError):
        await chat.box(DyingChannel(chat.channel)).deliver(CHAT)
    assert [text[0] for text in await chat.said()] == ["a"]
    await chat.box().deliver(CHAT)
    assert [text[0] for text in await chat.said()] == ["a", "b"]


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
    chat: Chat, other: ChatClient
) -> None:
    line = UnpluggedChannel(chat.channel)
    box = chat.box(line)
    with structlog.testing.capture_logs() as logs:
        for number in range(2 * outbox.MAX_ATTEMPTS):
            await chat.put(f"one {number}")
            for until in ("0 hours", "1 hour"):  # the pause is over; and something is said while it lasts
                await chat.sql.execute(f"update persais.send_limits set paused_until = now() + interval '{until}'")
                await box.deliver(CHAT)
            assert [job for job in await chat.waiting_jobs() if job[1]] == [(f"out:{CHAT}", True)]
            await chat.clear_jobs()
        await chat.put("set-aside:two", chat=OTHER)
        await chat.clear_jobs()
        await box.deliver(OTHER)
        assert set(await chat.column("attempts")) == {0} and line.tries == 1
        assert {state for _, state in await chat.rows()} == {"queued"} and await chat.letters() == []
        line.is_there = True
        await chat.clear_jobs()
        await box.deliver(CHAT)
        assert await chat.waiting_jobs() == [(f"out:{CHAT}", False), (f"out:{OTHER}", False)]
        await box.deliver(OTHER)
    assert await chat.said() == [f"one {number}" for number in range(2 * outbox.MAX_ATTEMPTS)]
    assert await said(other) == ["set-aside:two"]
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["event"].partition(";")[0] for entry in warnings] == [
        "the chat service cannot be reached",
        "the chat service can be reached again",
    ]


async def test_what_may_have_arrived_is_not_sent_again_before_the_service_answers(chat: Chat) -> None:
    await chat.put("one")
    chat.emulator.lose_next("sendMessage")
    chat.emulator.fail_next("getMe", times=3, error_code=502, description="Bad Gateway")
    box = chat.box()
    for _ in range(3):
        await box.deliver(CHAT)
        await chat.sql.execute("update persais.send_limits set paused_until = now()")
        assert await chat.said() == ["one"]
        assert (await chat.column("attempts"), await chat.column("doubts")) == ([1], [1])
    await box.deliver(CHAT)
    assert await chat.said() == ["one", "one"]


async def test_what_may_have_arrived_each_time_keeps_its_limit_also_while_the_service_is_away(chat: Chat) -> None:
    await chat.put("one")
    await chat.sql.execute("update persais.outbox set attempts = %s", [outbox.MAX_ATTEMPTS - 1])
    chat.emulator.lose_next("sendMessage")
    chat.emulator.fail_next("getMe", error_code=502, description="Bad Gateway")
    await chat.box().deliver(CHAT)
    assert await chat.rows() == [("one", "failed"), ("set-aside:one", "queued")]
    assert await chat.letters() == [("send", "one", "waiting")]


class BuggyChannel(_Through):
    """It breaks over every message."""

    async def after(self) -> None:
        raise ValueError("a bug of ours")


async def test_a_message_that_breaks_its_sender_does_not_hold_up_its_chat(chat: Chat) -> None:
    await chat.put("one")
    await chat.put("set-aside:two")
    await chat.box(BuggyChannel(chat.channel)).deliver(CHAT)
    assert [state for _, state in await chat.rows()] == ["failed"] * 3
    assert (await chat.letters())[0] == ("send", "one", "waiting")


async def test_among_many_faults_each_message_arrives_or_is_set_aside(chat: Chat) -> None:
    """Every message of forty, five kinds of faults in between, as one chat meets them on a bad day."""
    wanted = [f"message **{number}**" for number in range(40)]
    for text in wanted:
        await chat.put(text)
    for _ in range(3):
        chat.refuse_next(502, "Bad Gateway")
        chat.refuse_next(400, "Bad Request: can't parse entities")
        chat.emulator.lose_next("sendMessage")
        chat.refuse_next(429, "Too Many Requests", retry_after=1)
        chat.refuse_next(400, "Bad Request: can't parse entities", times=2)
        chat.refuse_next(403, "Forbidden: bot was blocked by the user")
        chat.refuse_next(500, "Internal Server Error")
    box = chat.box()
    while (await outbox.counts(chat.database)).waiting:
        await box.deliver(CHAT)
        await chat.sql.execute("update persais.send_limits set paused_until = null")
    numbers = [int(text.replace("*", "").split()[1]) for text in await chat.said() if text.startswith("message")]
    lost = {int(subject.split("**")[1]) for kind, subject, _ in await chat.letters() if kind == "send"}
    assert len(lost) == 6
    assert set(numbers) | lost == set(range(40))
    # Each doubt is a message that stands there although there was another try.
    doubled = len(numbers) - len(set(numbers)) + len(set(numbers) & lost)
    assert doubled == (await outbox.counts(chat.database)).doubts == 3
    assert numbers == sorted(numbers)


class RefusedLaterChannel(_Through):
    """The second piece of a message is refused for its formatting, and the one after that has to wait."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat.channel)
        self._chat = chat
        self._faults = [(400, "Bad Request: can't parse entities"), (502, "Bad Gateway")]

    async def after(self) -> None:
        if self._faults:
            self._chat.refuse_next(*self._faults.pop(0))


async def test_what_is_refused_in_its_middle_is_said_as_plain_text_from_its_beginning(chat: Chat) -> None:
    text = "\n\n".join(f"[link {number}](https://example.org/{number}) " + "word " * 90 for number in range(20))
    await chat.put(text, key="long")
    box = chat.box(RefusedLaterChannel(chat))
    while (await outbox.counts(chat.database)).waiting:
        await box.deliver(CHAT)
    assert "".join("".join(await chat.said()).split()) == "".join(text.split())


class NewsChannel(_Through):
    """A newer version of the card comes while the first is on its way."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat.channel)
        self._chat = chat

    async def after(self) -> None:
        await self._chat.show("newer")


async def test_a_version_that_comes_while_the_card_is_sent_is_not_forgotten(chat: Chat) -> None:
    await chat.show("older")
    await chat.box(NewsChannel(chat), edit_pause=0).deliver(CHAT)
    assert [(m.text, m.edited) for m in await chat.messages()] == [("newer", True)]
    assert await chat.rows() == [("card", "sent")]
