"""A real browser for tests and demonstrations: headless Chromium, driven over its DevTools protocol.

async with browser.started() as chromium:
    page = await chromium.open(url, width=390, height=844, dark=True)
    await page.click("[data-testid=composer]")
    await page.type("hello")
    await page.wait_for("document.querySelectorAll('[data-from=bot]').length > 0")
    await page.screenshot(path)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
    "--remote-debugging-port=0",
)
KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Tab": ("Tab", 9, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "Backspace": ("Backspace", 8, ""),
    "Space": ("Space", 32, " "),
}


def marks() -> list[pytest.MarkDecorator]:
    """For tests that need a browser: skipped by name where there is none, unless PERSAIS_REQUIRE_BROWSER is set."""
    missing = find_chromium() is None and not os.environ.get("PERSAIS_REQUIRE_BROWSER")
    return [pytest.mark.browser, pytest.mark.skipif(missing, reason="no Chromium on PATH, so no page was driven")]


class BrowserError(Exception):
    """The browser or the page did not do what was asked."""


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """Run a browser with a fresh profile while the block runs."""
    program = find_chromium()
    if program is None:
        raise BrowserError("no Chromium on PATH (chromium, chromium-browser or google-chrome)")
    with tempfile.TemporaryDirectory(prefix="persais-browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(  # noqa: ASYNC220
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            address = await _address(process, Path(profile) / "DevToolsActivePort")
            async with connect(address, max_size=None, proxy=None) as socket:
                browser = Browser(socket)
                try:
                    yield browser
                finally:
                    await browser.aclose()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _address(process: subprocess.Popen[bytes], note: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BrowserError(f"Chromium ended at once with exit code {process.returncode}")
        if note.exists() and len(lines := note.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.05)
    raise BrowserError("Chromium did not open its DevTools port")


class Browser:
    """One running Chromium."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One DevTools call."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        await self._socket.send(json.dumps(message))
        return await asyncio.wait_for(answer, 60)

    async def open(
        self, url: str, width: int = 1100, height: int = 800, dark: bool = False, locale: str = "en-US"
    ) -> Page:
        """Open an address in a new page with storage and cookies of its own; sizes in CSS pixels."""
        context = await self.call("Target.createBrowserContext")
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context["browserContextId"])
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"], target["targetId"])
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable")
        is_phone = width < 600
        await page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.call("Emulation.setEmulatedMedia", features=[scheme])
        agent = (await self.call("Browser.getVersion"))["userAgent"]
        await page.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=locale)
        await page.go(url)
        return page

    async def aclose(self) -> None:
        """Stop listening to the browser."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        async for raw in self._socket:
            message = json.loads(raw)
            if (answer := self._waiting.pop(message.get("id"), None)) and not answer.done():
                if "error" in message:
                    answer.set_exception(BrowserError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            elif page := self._pages.get(message.get("sessionId", "")):
                page.note(message)


class Page:
    """One open page."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.problems: list[str] = []
        """Exceptions of the page's scripts and errors on its console, in order."""
        self.requested: list[str] = []
        """Addresses the page asked for."""

    def note(self, message: dict[str, Any]) -> None:
        """Keep what the page reports."""
        kind, details = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            thrown = details["exceptionDetails"]
            self.problems.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif kind == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.problems.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
        elif kind == "Network.requestWillBeSent":
            self.requested.append(details["request"]["url"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools call to this page."""
        return await self._browser.call(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        """Go to an address and wait until the document is complete."""
        answer = await self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        await self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def wait_for(self, script: str, timeout: float = 20.0) -> Any:
        """Wait until an expression is true and return its value."""
        deadline = time.monotonic() + timeout
        # An element cannot be carried over as a value; that it is there is what is asked.
        asked = f"(found => found instanceof Node ? true : found)({script})"
        while True:
            with contextlib.suppress(BrowserError):  # while a page is being replaced, nothing can be evaluated
                if value := await self.evaluate(asked):
                    return value
            if time.monotonic() > deadline:
                raise BrowserError(f"never became true: {script}; problems: {self.problems[-3:]}")
            await asyncio.sleep(0.04)

    async def click(self, selector: str, text: str | None = None) -> None:
        """Click the middle of the (last) visible element that matches, and contains a text if one is given."""
        wanted = json.dumps(text)
        find = (
            f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.getClientRects().length"
            f" && ({wanted} === null || e.textContent.includes({wanted}))).at(-1)"
        )
        await self.wait_for(f"!!({find})")
        spot = await self.evaluate(
            f"(() => {{ const e = {find}; e.scrollIntoView({{block: 'nearest'}});"
            " const r = e.getClientRects()[0]; return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            await self.call("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], **pressed)

    async def type(self, text: str) -> None:
        """Write into the element that has the focus; line ends are written as text, not as Enter."""
        await self.call("Input.insertText", text=text)

    async def key(self, name: str, *, shift: bool = False) -> None:
        """Press one key of `KEYS`."""
        code, number, text = KEYS[name]
        common = {"key": " " if name == "Space" else name, "code": code, "windowsVirtualKeyCode": number}
        modifiers = 8 if shift else 0
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, modifiers=modifiers, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **common)

    async def screenshot(self, path: Path) -> None:
        """Write what is visible as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))

    async def close(self) -> None:
        """Close the page."""
        await self._browser.call("Target.closeTarget", targetId=self._target)
