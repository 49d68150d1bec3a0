"""The chat page in a real browser, with a bot played by calls to the Bot API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from local_bots import KEY, TOKEN, USER, Local, running

import browser
from persais_core.emulators.telegram import ChatClient, TelegramEmulator
from persais_core.emulators.telegram.serving import served

pytestmark = browser.marks()

CARD = {
    "inline_keyboard": [
        [{"text": "Deploy", "callback_data": "d"}, {"text": "Abort", "callback_data": "a"}],
        [{"text": "View PR", "url": "https://example.org/pr/1"}],
    ]
}


@dataclass
class Shown(Local):
    """With a browser that opens its page."""

    chromium: browser.Browser

    async def say(self, text: str, **more: Any) -> Any:
        return await self.ok("sendMessage", chat_id=USER, text=text, **more)

    async def page(self, **how: Any) -> browser.Page:
        page = await self.chromium.open(f"{self.base}/?key={KEY}", **how)
        await page.wait_for("['online', 'waiting'].includes(document.getElementById('status').dataset.state)")
        return page


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[browser.Browser]:
    async with browser.started() as made:
        yield made


@pytest.fixture
async def local(chromium: browser.Browser) -> AsyncIterator[Shown]:
    async with running() as made:
        yield Shown(made.emulator, made.base, made.http, made.person, chromium)


def texts(page: browser.Page) -> Any:
    return page.evaluate("[...document.querySelectorAll('[data-from] .text')].map(e => e.firstChild.textContent)")


async def test_first_visit_greets_and_a_chip_says_its_text(local: Shown) -> None:
    page = await local.page()
    assert await page.evaluate("location.href") == f"{local.base}/"
    assert await page.evaluate("document.cookie") == ""
    await page.click("[data-testid=chip]", "Create an agent")
    await page.wait_for("document.querySelector('[data-from=user]')")
    [update] = await local.ok("getUpdates")
    assert update["message"]["text"] == 'Create an agent "Echo" that repeats the user\'s messages'
    assert update["message"]["from"]["language_code"] == "en"
    assert await page.evaluate("document.getElementById('welcome').hidden")
    assert page.problems == []
    assert all(address.startswith(local.base) for address in page.requested if address != "about:blank")


async def test_russian_browser_gets_russian_words_and_tells_the_bot(local: Shown) -> None:
    page = await local.page(locale="ru-RU")
    await page.click("[data-testid=chip]", "Создай агента")
    await page.wait_for("document.querySelector('[data-from=user]')")
    [update] = await local.ok("getUpdates")
    assert update["message"]["from"]["language_code"] == "ru"
    await page.click("[data-testid=language-en]")
    await page.wait_for("document.getElementById('text').placeholder === 'Message'")
    await page.click("[data-testid=composer]")
    await page.type("hello")
    await page.key("Enter")
    await page.wait_for("document.querySelectorAll('[data-from=user]').length === 2")
    assert (await local.ok("getUpdates"))[1]["message"]["from"]["language_code"] == "en"


async def test_all_open_pages_show_the_persons_language_and_opening_one_does_not_change_it(local: Shown) -> None:
    first = await local.page(locale="ru-RU")
    second = await local.page(locale="en-US")
    await second.wait_for("document.getElementById('text').placeholder === 'Сообщение'")
    await second.click("[data-testid=language-en]")
    await first.wait_for("document.getElementById('text').placeholder === 'Message'")
    assert await first.evaluate("document.querySelector('[data-testid=language-en]').ariaPressed") == "true"


async def test_enter_sends_and_shift_enter_makes_a_line(local: Shown) -> None:
    page = await local.page()
    await page.click("[data-testid=composer]")
    await page.type("one")
    low = await page.evaluate("document.getElementById('text').offsetHeight")
    await page.key("Enter", shift=True)
    await page.type("two")
    assert await page.evaluate("document.getElementById('text').offsetHeight") > low
    await page.key("Enter")
    await page.wait_for("document.querySelector('[data-from=user]')")
    assert await texts(page) == ["one\ntwo"]
    assert await page.evaluate("document.getElementById('text').value") == ""
    assert await page.evaluate("document.getElementById('text').offsetHeight") == low


async def test_typing_then_message_then_edit_in_place(local: Shown) -> None:
    await local.person.send("/start")
    page = await local.page()
    await local.ok("sendChatAction", chat_id=USER, action="typing")
    await page.wait_for("document.getElementById('status').textContent === 'typing…'")
    sent = await local.say("working")
    await page.wait_for("document.querySelector('[data-from=bot]')")
    assert await page.evaluate("document.querySelector('.is-typing') === null")
    await local.ok("editMessageText", chat_id=USER, message_id=sent["message_id"], text="done")
    await page.wait_for("document.querySelector('[data-testid=edited]')")
    assert await texts(page) == ["/start", "done"]
    await local.ok("deleteMessage", chat_id=USER, message_id=sent["message_id"])
    await page.wait_for("!document.querySelector('[data-from=bot]')")


async def test_a_button_waits_for_its_answer_and_shows_it(local: Shown) -> None:
    await local.person.send("/start")
    await local.say("Ready?", reply_markup=CARD)
    page = await local.page()
    await page.click("[data-testid=inline-button]", "Deploy")
    await page.wait_for("document.querySelector('[data-testid=inline-button][aria-busy=true]')")
    query = (await local.ok("getUpdates"))[-1]["callback_query"]
    assert query["data"] == "d"
    await local.ok("answerCallbackQuery", callback_query_id=query["id"], text="Deploying…")
    await page.wait_for("document.querySelector('[data-testid=toast]')?.textContent === 'Deploying…'")
    assert await page.evaluate("document.querySelector('[aria-busy=true]') === null")
    link = "document.querySelector('a.key')"
    assert await page.evaluate(f"[{link}.href, {link}.target, {link}.rel]") == [
        "https://example.org/pr/1",
        "_blank",
        "noopener noreferrer",
    ]
    await page.click("[data-testid=inline-button]", "Abort")
    query = (await local.ok("getUpdates"))[-1]["callback_query"]
    await local.ok("answerCallbackQuery", callback_query_id=query["id"], text="Sure?", show_alert=True)
    await page.wait_for("document.getElementById('alert').open")
    await page.click("[data-testid=alert-close]")
    await page.wait_for("!document.getElementById('alert').open")


async def test_markup_and_script_in_a_message_stay_text(local: Shown) -> None:
    await local.person.send("/start")
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3)) here"
    code = {"type": "pre", "offset": 0, "length": 5, "language": "<b>py"}
    await local.say(evil, entities=[code])
    page = await local.page()
    await page.wait_for("document.querySelector('[data-from=bot]')")
    assert await page.evaluate("document.querySelectorAll('.log img, .log script, .log a, .log b').length") == 0
    assert await page.evaluate("document.querySelector('.code-head span').textContent") == "<b>py"
    assert "javascript:alert(3)" in await page.evaluate("document.querySelector('[data-from=bot] .text').textContent")
    assert page.problems == []


async def test_only_harmless_schemes_become_links(local: Shown) -> None:
    page = await local.page()
    given = (
        '["https://a.example/", "tg://user?id=1", "mailto:a@b.example", "javascript:alert(1)", "data:text/html,x", "x"]'
    )
    script = f"import('/chat/assets/formatting.js').then(made => {given}.map(made.safeAddress))"
    assert await page.evaluate(script) == [
        "https://a.example/",
        "tg://user?id=1",
        "mailto:a@b.example",
        None,
        None,
        None,
    ]


async def test_entities_nest_and_overlap_without_losing_text(local: Shown) -> None:
    await local.person.send("/start")
    text = "😀 bold italic code /go https://example.org spoiler"
    spans = [("bold", 3, 11), ("italic", 8, 11), ("code", 15, 4), ("spoiler", 44, 7)]
    await local.say(text, entities=[{"type": kind, "offset": at, "length": size} for kind, at, size in spans])
    page = await local.page()
    await page.wait_for("document.querySelector('[data-from=bot]')")
    body = "document.querySelector('[data-from=bot] .text')"
    shown = await page.evaluate(
        f"(() => {{ const c = {body}.cloneNode(true); c.lastChild.remove(); return c.textContent }})()"
    )
    assert shown == text
    assert await page.evaluate(f"{body}.querySelector('strong em').textContent") == "italic"
    assert await page.evaluate(f"{body}.querySelector('a').href") == "https://example.org/"
    await page.click(".spoiler")
    assert await page.evaluate(f"{body}.querySelector('.spoiler').classList.contains('shown')")
    await page.click(".log .command", "/go")
    await page.wait_for("document.querySelectorAll('[data-from=user]').length === 2")
    assert (await local.ok("getUpdates"))[-1]["message"]["text"] == "/go"


async def test_command_menu_is_filtered_walked_and_chosen_by_keys(local: Shown) -> None:
    page = await local.page()
    commands = [{"command": name, "description": f"About {name}"} for name in ("start", "status", "mechanic")]
    await local.ok("setMyCommands", commands=commands)
    await page.click("[data-testid=composer]")
    await page.type("/st")
    await page.wait_for("document.querySelectorAll('[data-testid=command-option]').length === 2")
    await page.key("ArrowDown")
    await page.key("Enter")
    await page.wait_for("document.querySelector('[data-from=user]')")
    assert (await local.ok("getUpdates"))[0]["message"]["text"] == "/status"
    await page.click("[data-testid=commands-button]")
    await page.click("[data-testid=command-option]", "/mechanic")
    await page.wait_for("document.querySelectorAll('[data-from=user]').length === 2")
    assert (await local.ok("getUpdates"))[-1]["message"]["text"] == "/mechanic"
    await page.click("[data-testid=commands-button]")
    await page.key("Escape")
    assert await page.evaluate("document.getElementById('menu').hidden")


async def test_reader_further_up_is_not_moved_and_can_jump(local: Shown) -> None:
    for number in range(40):
        await local.person.send(f"line {number}")
    page = await local.page()
    await page.wait_for("document.querySelectorAll('[data-from]').length === 40")
    await page.evaluate("document.getElementById('scroller').scrollTop = 100")
    await page.wait_for("!document.getElementById('jump').hidden")
    await local.say("news")
    await page.wait_for("document.querySelector('[data-from=bot]')")
    assert await page.evaluate("document.getElementById('scroller').scrollTop") == 100
    assert await page.evaluate("document.getElementById('unread').textContent") == "1"
    await page.click("[data-testid=jump]")
    await page.wait_for("document.getElementById('jump').hidden")
    await local.say("more news")
    await page.wait_for("document.querySelectorAll('[data-from=bot]').length === 2")
    await page.wait_for("document.getElementById('jump').hidden")


async def test_earlier_messages_are_fetched_on_request(local: Shown) -> None:
    for number in range(210):
        await local.person.send(str(number))
    page = await local.page()
    await page.wait_for("document.querySelectorAll('[data-from]').length === 200")
    await page.evaluate("document.getElementById('scroller').scrollTop = 0")
    await page.click("[data-testid=earlier]")
    await page.wait_for("document.querySelectorAll('[data-from]').length === 210")
    assert (await texts(page))[:2] == ["0", "1"]
    assert await page.evaluate("document.getElementById('earlier').hidden")


async def test_page_comes_back_by_itself_and_catches_up(chromium: browser.Browser, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = TelegramEmulator(token=TOKEN, client_key=KEY, state=state)
    async with served(first) as base, ChatClient(base, KEY) as person:
        await person.send("before")
        page = await chromium.open(f"{base}/?key={KEY}")
        await page.wait_for("document.querySelector('[data-from=user]')")
    await page.wait_for("document.getElementById('status').textContent === 'reconnecting…'")
    await page.click("[data-testid=composer]")
    await page.type("kept")
    await page.key("Enter")
    await page.wait_for("document.querySelector('[data-testid=toast]')")
    assert await page.evaluate("document.getElementById('text').value") == "kept"
    second = TelegramEmulator(token=TOKEN, client_key=KEY, state=state)
    port = httpx.URL(base).port
    assert port is not None
    async with served(second, port=port) as base, ChatClient(base, KEY) as person:
        await person.send("meanwhile")
        await page.wait_for("document.querySelectorAll('[data-from=user]').length === 2")
        assert await texts(page) == ["before", "meanwhile"]


async def test_without_the_key_the_page_says_how_to_get_in(local: Shown) -> None:
    page = await local.chromium.open(local.base)
    await page.wait_for("!document.getElementById('locked').hidden")
    assert await page.evaluate("document.getElementById('text').disabled")


@pytest.mark.parametrize("width", [360, 1100])
@pytest.mark.parametrize("dark", [False, True])
async def test_nothing_overflows_the_window(local: Shown, width: int, dark: bool) -> None:
    await local.person.send("x" * 500 + " مرحبا بالعالم")
    code = "class Echo(Agent): " + "very long line " * 20
    await local.say(code, entities=[{"type": "pre", "offset": 0, "length": len(code), "language": "python"}])
    buttons = {"inline_keyboard": [[{"text": "A button with many words " * 3, "callback_data": "a"}] * 3]}
    await local.say("card", reply_markup=buttons)
    page = await local.page(width=width, height=740, dark=dark)
    await page.wait_for("document.querySelectorAll('[data-from]').length === 3")
    boxes = "[document.documentElement, document.getElementById('scroller')]"
    assert await page.evaluate(f"{boxes}.every(e => e.scrollWidth <= e.clientWidth)")
    surface = await page.evaluate("getComputedStyle(document.querySelector('.bar')).backgroundColor")
    assert surface == ("rgb(23, 33, 43)" if dark else "rgb(255, 255, 255)")


async def test_a_file_is_offered_for_download_with_its_name(local: Shown) -> None:
    await local.person.send("/start")
    files = {"document": ("change 1.diff", b"+1\n", "text/x-diff")}
    await local.http.post(f"/bot{TOKEN}/sendDocument", data={"chat_id": USER}, files=files)
    page = await local.page()
    link = "document.querySelector('[data-testid=attachment]')"
    await page.wait_for(link)
    assert await page.evaluate(f"{link}.download") == "change 1.diff"
    assert await page.evaluate(f"fetch({link}.href).then(answer => answer.text())") == "+1\n"


async def test_presence_follows_the_bot(local: Shown) -> None:
    page = await local.page()
    assert await page.evaluate("document.getElementById('status').dataset.state") == "waiting"
    poll = asyncio.create_task(local.ok("getUpdates", timeout=30))
    await page.wait_for("document.getElementById('status').dataset.state === 'online'")
    await local.person.send("thanks")
    with contextlib.suppress(asyncio.CancelledError):
        await poll
