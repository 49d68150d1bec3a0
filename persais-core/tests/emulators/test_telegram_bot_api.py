"""The Bot API of the emulator, called as any library would call it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from local_bots import KEY, TOKEN, USER, Local, running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from persais_core.emulators.telegram import TelegramEmulator
from persais_core.emulators.telegram.client import ChatRefusedError
from persais_core.emulators.telegram.refusals import ChatStateError


@pytest.fixture
async def local() -> AsyncIterator[Local]:
    async with running() as made:
        await made.person.send("/start")
        yield made


async def test_get_me_tells_the_id_of_the_token(local: Local) -> None:
    me = await local.ok("getMe")
    assert (me["id"], me["is_bot"], me["first_name"]) == (77, True, "Persais")


async def test_wrong_token_is_401_and_unknown_method_404(local: Local) -> None:
    assert (await local.http.get("/bot77:OTHER/getMe")).status_code == 401
    assert (await local.call("sendSticker"))["error_code"] == 404


async def test_parameters_may_come_as_query_form_multipart_or_json(local: Local) -> None:
    url, values = f"/bot{TOKEN}/sendMessage", {"chat_id": str(USER), "text": "x"}
    markup = json.dumps({"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]})
    for answer in (
        await local.http.get(url, params=values),
        await local.http.post(url, data=values | {"reply_markup": markup}),
        await local.http.post(url, data=values, files={"unused": ("a.txt", b"a")}),
        await local.http.post(url, json=values),
    ):
        assert answer.json()["result"]["text"] == "x"
    assert [len(m.buttons) for m in await local.person.history()] == [0, 0, 1, 0, 0]


async def test_malformed_json_is_a_400(local: Local) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await local.http.post(f"/bot{TOKEN}/sendMessage", content=b"{", headers=headers)
    assert answer.status_code == 400
    assert "reply_markup" in await local.refused("sendMessage", chat_id=USER, text="x", reply_markup="{")


async def test_update_of_a_command_carries_its_entity_and_the_person(local: Local) -> None:
    await local.ok("getUpdates", offset=2**40)
    await local.person.set_language("ru")
    await local.person.send("😀 /start@persais_bot now, see /usr/bin and https://example.org/a.")
    [update] = await local.ok("getUpdates")
    message = update["message"]
    assert message["entities"] == [
        {"type": "bot_command", "offset": 3, "length": 18},
        {"type": "url", "offset": 44, "length": 21},
    ]
    assert message["from"] == {"id": USER, "is_bot": False, "first_name": "Владелец", "language_code": "ru"}
    assert message["chat"] == {"id": USER, "first_name": "Владелец", "type": "private"}


async def test_offset_confirms_and_unconfirmed_updates_come_again(local: Local) -> None:
    await local.person.send("two")
    first = await local.ok("getUpdates")
    assert first == await local.ok("getUpdates", limit=2)
    assert [item["message"]["text"] for item in first] == ["/start", "two"]
    assert await local.ok("getUpdates", offset=first[0]["update_id"] + 1) == first[1:]
    assert await local.ok("getUpdates", offset=first[1]["update_id"] + 1) == []


async def test_negative_offset_keeps_only_the_last_updates(local: Local) -> None:
    await local.person.send("two")
    await local.person.send("three")
    assert [item["message"]["text"] for item in await local.ok("getUpdates", offset=-1)] == ["three"]
    assert len(await local.ok("getUpdates")) == 1


async def polling(local: Local) -> tuple[dict[str, Any], asyncio.Task[dict[str, Any]]]:
    """Two bots that wait for news: what the one is told that came first, and the one that goes on waiting."""
    both = {asyncio.create_task(local.call("getUpdates", timeout=50)) for _ in range(2)}
    [ended], [waiting] = await asyncio.wait(both, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    return await ended, waiting


async def test_long_poll_returns_when_something_is_said(local: Local) -> None:
    await local.ok("getUpdates", offset=2**40)
    _, poll = await polling(local)
    await local.person.send("wake up")
    assert [item["message"]["text"] for item in (await poll)["result"]] == ["wake up"]


async def test_second_poller_ends_the_first_with_409(local: Local) -> None:
    await local.ok("getUpdates", offset=2**40)
    answer, newer = await polling(local)
    assert answer["error_code"] == 409
    assert answer["description"].startswith("Conflict: terminated by other getUpdates request")
    await local.person.send("wake up")
    assert (await newer)["ok"]


async def test_update_kinds_that_are_not_allowed_are_not_queued(local: Local) -> None:
    await local.ok("getUpdates", offset=2**40, allowed_updates=["callback_query"])
    await local.person.send("unheard")
    assert await local.ok("getUpdates") == []


async def test_restart_keeps_history_commands_and_unconfirmed_updates(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "telegram.sqlite"
    async with running(state) as local:
        await local.person.send("one")
        await local.person.send("two")
        [first, second] = await local.ok("getUpdates")
        await local.ok("getUpdates", offset=second["update_id"])
        await local.ok("setMyCommands", commands=[{"command": "go", "description": "Go"}])
    assert state.stat().st_mode & 0o077 == 0
    async with running(state) as local:
        assert [item["message"]["text"] for item in await local.ok("getUpdates")] == ["two"]
        await local.ok("getUpdates", offset=second["update_id"] + 1)
        sent = await local.person.send("three")
        [third] = await local.ok("getUpdates")
        assert third["update_id"] > second["update_id"] > first["update_id"]
        assert [message.text for message in await local.person.history()] == ["one", "two", "three"]
        assert sent.revision == 3
        assert await local.ok("getMyCommands") == [{"command": "go", "description": "Go"}]


async def test_unusable_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"no database" * 1000)
    with pytest.raises(ChatStateError, match="move it away"):
        TelegramEmulator(token=TOKEN, client_key=KEY, state=tmp_path / "state")


async def test_closing_ends_waiting_polls_and_streams_at_once() -> None:
    async with running() as local:
        _, poll = await polling(local)
        stream = local.person.events()
        await anext(stream)
        async with local.http.stream("GET", "/chat/api/events", headers={"X-Chat-Key": KEY}) as raw:
            lines = raw.aiter_lines()
            assert (await anext(lines)).startswith("retry:")
            await local.emulator.aclose()
            assert (await asyncio.wait_for(poll, 30))["result"] == []
            async with asyncio.timeout(30):  # its end
                [_ async for _ in lines]
        assert (await local.call("getUpdates"))["error_code"] == 502
        with pytest.raises(ChatRefusedError, match="shutting down"):
            await local.person.send("too late")
        await stream.aclose()


# --- webhook ---------------------------------------------------------------------------------------------------------


@dataclass
class Hook:
    url: str
    received: list[dict[str, Any]]
    secrets: list[str | None]
    answers: list[int]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook("", [], [], [])

    async def receive(request: Request) -> Response:
        made.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        made.received.append(await request.json())
        return Response(status_code=made.answers.pop(0) if made.answers else 200)

    app = Starlette(routes=[Route("/hook", receive, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        made.url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        yield made
        server.should_exit = True
        await task


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_webhook_gets_updates_in_order_with_the_secret_and_again_after_a_failure(
    local: Local, hook: Hook
) -> None:
    hook.answers += [500, 503]
    await local.ok("setWebhook", url=hook.url, secret_token="s3cret")
    await local.person.send("two")
    await local.person.send("three")
    await until(lambda: len(hook.received) >= 5)
    assert [item["message"]["text"] for item in hook.received] == ["/start", "/start", "/start", "two", "three"]
    assert set(hook.secrets) == {"s3cret"}
    info = await local.ok("getWebhookInfo")
    assert info["last_error_message"] == "Wrong response from the webhook: 503 Service Unavailable"
    assert info["url"] == hook.url


async def test_polling_is_refused_while_a_webhook_is_set(local: Local, hook: Hook) -> None:
    await local.ok("setWebhook", url=hook.url)
    assert "webhook is active" in await local.refused("getUpdates")
    await local.ok("deleteWebhook", drop_pending_updates=True)
    assert await local.ok("getUpdates") == []


async def test_webhook_is_served_again_after_a_restart(tmp_path: Path, hook: Hook) -> None:
    hook.answers += [500] * 50
    async with running(tmp_path / "state") as local:
        await local.ok("setWebhook", url=hook.url)
        await local.person.send("patience")
        await until(lambda: hook.received)
    hook.answers.clear()
    hook.received.clear()
    async with running(tmp_path / "state") as local:
        await local.ok("getMe")
        await until(lambda: hook.received)
        assert hook.received[0]["message"]["text"] == "patience"


async def test_webhook_elsewhere_must_be_https(local: Local) -> None:
    assert "HTTPS URL must be provided" in await local.refused("setWebhook", url="http://example.org/hook")
    assert "unallowed characters" in await local.refused("setWebhook", url="https://example.org", secret_token="ä")


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "description"),
    [
        ({"text": " \n "}, "Bad Request: message text is empty"),
        ({"text": "x" * 4097}, "Bad Request: message is too long"),
        ({"text": "😀" * 2049}, "Bad Request: message is too long"),
        ({"text": "x", "chat_id": 5}, "Bad Request: chat not found"),
        ({"text": "x", "chat_id": "@name"}, "Bad Request: chat not found"),
        ({"text": "x", "chat_id": None}, "Bad Request: chat_id is empty"),
        (
            {"text": "hello", "entities": [{"type": "bold", "offset": 3, "length": 5}]},
            "Bad Request: entity beginning at UTF-16 offset 3 ends after the end of the text at UTF-16 offset 8",
        ),
        (
            {"text": "hello", "entities": [{"type": "bold", "offset": 9, "length": 1}]},
            "Bad Request: entity begins after the end of the text at UTF-16 offset 9",
        ),
        (
            {"text": "😀", "entities": [{"type": "bold", "offset": 1, "length": 1}]},
            "Bad Request: entity begins or ends in a middle of a UTF-16 symbol",
        ),
        (
            {"text": "x", "entities": [{"type": "sparkle", "offset": 0, "length": 1}]},
            "Bad Request: can't parse MessageEntity: Unsupported type specified",
        ),
        (
            {"text": "x", "entities": [{"type": "text_link", "offset": 0, "length": 1, "url": "javascript:a.b"}]},
            "Bad Request: entity URL 'javascript:a.b' is invalid: Wrong HTTP URL",
        ),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "A", "callback_data": "я" * 33}]]}},
            "Bad Request: BUTTON_DATA_INVALID",
        ),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "A", "url": "javascript:alert(1)"}]]}},
            "Bad Request: inline keyboard button URL 'javascript:alert(1)' is invalid: Unsupported URL protocol",
        ),
        ({"text": "x", "reply_parameters": {"message_id": 999}}, "Bad Request: message to be replied not found"),
        ({"text": "x", "parse_mode": "HTML"}, "Bad Request: the local chat takes entities, not parse_mode"),
    ],
)
async def test_a_message_is_refused_in_the_words_of_the_service(
    local: Local, parameters: dict[str, Any], description: str
) -> None:
    assert await local.refused("sendMessage", **{"chat_id": USER, **parameters}) == description
    assert len(await local.person.history()) == 1


async def test_a_message_of_exactly_the_limit_is_sent_trimmed(local: Local) -> None:
    sent = await local.ok("sendMessage", chat_id=USER, text="😀" * 2048 + "  \n", message_thread_id=3)
    assert sent["text"] == "😀" * 2048


async def test_leading_space_is_cut_and_entities_move_along(local: Local) -> None:
    bold = {"type": "bold", "offset": 3, "length": 7}
    sent = await local.ok("sendMessage", chat_id=USER, text="\n\n bold   ", entities=[bold])
    assert (sent["text"], sent["entities"]) == ("bold", [{"type": "bold", "offset": 0, "length": 4}])


async def test_control_characters_become_spaces(local: Local) -> None:
    # Written by hand: libraries refuse to send half a surrogate pair, JSON does not.
    body = b'{"chat_id": 1000001, "text": "a\\u0000b\\u001bc\\ud800d"}'
    headers = {"Content-Type": "application/json"}
    sent = (await local.http.post(f"/bot{TOKEN}/sendMessage", content=body, headers=headers)).json()["result"]
    assert sent["text"] == "a b c\ufffdd"


async def test_edit_changes_in_place_and_refuses_what_changes_nothing(local: Local) -> None:
    sent = await local.ok("sendMessage", chat_id=USER, text="working")
    where = {"chat_id": USER, "message_id": sent["message_id"]}
    assert (await local.refused("editMessageText", text="working", **where)).startswith(
        "Bad Request: message is not modified"
    )
    await local.ok("editMessageText", text="done", **where)
    message = (await local.person.history())[-1]
    assert (message.id, message.text, message.edited) == (sent["message_id"], "done", True)
    other = {"chat_id": USER, "message_id": 999}
    assert await local.refused("editMessageText", text="x", **other) == "Bad Request: message to edit not found"
    theirs = {"chat_id": USER, "message_id": 1}
    assert await local.refused("editMessageText", text="x", **theirs) == "Bad Request: message can't be edited"


async def test_taking_the_buttons_away_is_not_shown_as_an_edit(local: Local) -> None:
    markup = {"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}
    sent = await local.ok("sendMessage", chat_id=USER, text="card", reply_markup=markup)
    await local.ok("editMessageReplyMarkup", chat_id=USER, message_id=sent["message_id"])
    message = (await local.person.history())[-1]
    assert (message.buttons, message.edited) == ((), False)


async def test_deleted_message_is_gone_and_its_id_is_not_used_again(local: Local) -> None:
    sent = await local.ok("sendMessage", chat_id=USER, text="oops")
    where = {"chat_id": USER, "message_id": sent["message_id"]}
    await local.ok("deleteMessage", **where)
    assert await local.refused("deleteMessage", **where) == "Bad Request: message to delete not found"
    assert (await local.ok("sendMessage", chat_id=USER, text="next"))["message_id"] > sent["message_id"]


async def test_document_reaches_the_person_and_can_be_sent_again_by_id(local: Local) -> None:
    answer = await local.http.post(
        f"/bot{TOKEN}/sendDocument",
        data={"chat_id": USER, "caption": "The diff", "document": "attach://one"},
        files={"one": ("a b.diff", b"+1\n-1\n", "text/x-diff")},
    )
    document = answer.json()["result"]["document"]
    assert (document["file_name"], document["file_size"]) == ("a b.diff", 6)
    message = (await local.person.history())[-1]
    assert message.text == "The diff"
    assert await local.person.download(message) == b"+1\n-1\n"
    assert (await local.ok("sendDocument", chat_id=USER, document=document["file_id"]))["document"] == document
    assert "there is no document" in await local.refused("sendDocument", chat_id=USER)
    assert "caption is too long" in await local.refused(
        "sendDocument", chat_id=USER, document=document["file_id"], caption="x" * 1025
    )


@pytest.mark.parametrize(("kind", "field"), [("voice", "voice"), ("photo", "photo"), ("document", "document")])
async def test_an_attachment_of_a_person_can_be_fetched_by_the_bot(local: Local, kind: str, field: str) -> None:
    await local.ok("getUpdates", offset=2**40)
    await local.person.send("look", attachment=kind)
    message = (await local.ok("getUpdates"))[0]["message"]
    sent = message[field][-1] if kind == "photo" else message[field]
    assert message["caption"] == "look"
    file = await local.ok("getFile", file_id=sent["file_id"])
    content = (await local.http.get(f"/file/bot{TOKEN}/{file['file_path']}")).content
    assert len(content) == sent["file_size"] > 0


async def test_command_menu_follows_scope_and_language(local: Local) -> None:
    async def menu() -> list[str]:
        async with contextlib.aclosing(local.person.events()) as stream:
            return [item.command for item in (await anext(stream)).commands]

    def one(name: str) -> list[dict[str, str]]:
        return [{"command": name, "description": "What it does"}]

    await local.ok("setMyCommands", commands=one("all"))
    await local.ok("setMyCommands", commands=one("russian"), language_code="ru")
    assert await menu() == ["all"]
    await local.person.set_language("ru-RU")
    assert await menu() == ["russian"]
    await local.ok("setMyCommands", commands=one("mine"), scope={"type": "chat", "chat_id": str(USER)})
    assert await menu() == ["mine"]
    await local.ok("deleteMyCommands", scope={"type": "chat", "chat_id": USER})
    assert await menu() == ["russian"]
    assert await local.refused("setMyCommands", commands=[{"command": "Bad-1", "description": "x"}]) == (
        "Bad Request: BOT_COMMAND_INVALID"
    )


async def test_ordered_failures_come_before_the_call_does_anything(local: Local) -> None:
    local.emulator.fail_next(
        "sendMessage", times=2, error_code=429, description="Too Many Requests: retry after 3", retry_after=3
    )
    for _ in range(2):
        body = await local.call("sendMessage", chat_id=USER, text="x")
        assert (body["error_code"], body["parameters"]) == (429, {"retry_after": 3})
    await local.ok("sendMessage", chat_id=USER, text="x")
    assert len(await local.person.history()) == 2


async def test_small_methods_answer(local: Local) -> None:
    assert (await local.ok("getChat", chat_id=USER))["type"] == "private"
    assert await local.ok("logOut") is True
    assert await local.ok("close") is True
    assert await local.ok("sendChatAction", chat_id=USER, action="typing") is True
    assert "wrong parameter action" in await local.refused("sendChatAction", chat_id=USER, action="dancing")
    assert "query is too old" in await local.refused("answerCallbackQuery", callback_query_id="1")
