"""The local chat in a terminal.

It is one more client of the chat that the page shows: same person, same history. On a terminal it prints what comes as
it comes; with its input piped it shows and says each line, waits until the bot has gone quiet and has nothing under
way, and leaves at the end of the input, so that a script can hold a conversation. Of a message that is edited, only the
lines that are new are printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import sys
import threading
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from persais_core import errors
from persais_core.domain.chats import Button
from persais_core.emulators.telegram import client
from persais_core.emulators.telegram.values import ChatEvent, ChatMessage

FIRST_WORD = 60.0  # seconds a piped line waits for the bot's first sign
QUIET = 1.2  # seconds without a sign after which the bot has said what it had to say
BUSY = 6.0  # seconds of quiet to wait for after "typing", which the bot repeats every five or so
UNDER_WAY = 900.0  # seconds without a sign for which that is waited for which the bot says that it is under way
SHOWN_BEFORE = 5  # earlier messages shown at the start

HELP = """\
Write a message and press Enter.
  :1 :2 ...   press the button with that number under the last message that has buttons
  :help       this
  :q          leave (so does Ctrl-D)
  ::text      send a message that begins with one colon"""

COMMAND = re.compile(r":\w")  # a smiley such as :) is a message
AT_WORK = re.compile(r"^(⏳|🤔.*(\.\.\.|…)$)", re.MULTILINE)
"""How a line begins that the bot will replace when it is done; in every language."""


async def talk(url: str, key: str, *, language: str | None = None, guess: str | None = None) -> None:
    """Hold a conversation between standard input and the bot, until the input ends.

    Args:
        url: base URL of the chat.
        key: its client key.
        language: IETF tag of what the bot is to speak from now on; None leaves it as it is.
        guess: the same where the person has no language yet.

    Raises:
        ChatUnreachableError: nothing answers, or no longer.
        ChatRefusedError: the key is wrong.
    """
    is_terminal = sys.stdin.isatty()
    async with client.ChatClient(url, key, language=language or guess, is_guess=language is None) as person:
        screen = _Screen(Console(highlight=False, soft_wrap=not is_terminal))
        listening = asyncio.create_task(_listen(person, screen, shown_before=SHOWN_BEFORE if is_terminal else 0))
        try:
            ready = asyncio.create_task(screen.ready.wait())
            await asyncio.wait({listening, ready}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if not listening.done():
                await _read_lines(person, screen, listening, is_terminal=is_terminal)
            if listening.done():
                await listening
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.PersaisError):
                await listening


async def _read_lines(
    person: client.ChatClient, screen: _Screen, listening: asyncio.Task[None], *, is_terminal: bool
) -> None:
    if is_terminal:
        screen.console.print("Write a message; [bold]:help[/] shows what else there is, [bold]:q[/] leaves.")
    # A thread of its own that nobody waits for: a read from a terminal cannot be cancelled, and must not keep us here.
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            with contextlib.suppress(RuntimeError):  # the loop is gone: we have left
                loop.call_soon_threadsafe(lines.put_nowait, line)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True, name="chat-input").start()
    while True:
        reading = asyncio.create_task(lines.get())
        await asyncio.wait({reading, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            return
        line = reading.result()
        if line == "" or line.strip() in {":q", ":quit"}:
            return
        if not line.strip():
            continue
        if not is_terminal:  # nobody has seen it being typed
            screen.console.print(f"> {line.strip()}", markup=False)
        if not await _say(person, screen, line.strip()) or is_terminal:
            continue
        if not await screen.until_quiet():
            screen.console.print(f"(no answer in {FIRST_WORD:g} s)", style="red", markup=False)
        elif screen.is_at_work:
            screen.console.print(f"(nothing new in {UNDER_WAY:g} s; it goes on)", style="red", markup=False)


async def _say(person: client.ChatClient, screen: _Screen, line: str) -> bool:
    """Carry out one line; returns whether the bot has something to answer."""
    if line == ":help":
        screen.console.print(HELP, markup=False)
        return False
    number = line[1:] if line.startswith(":") and line[1:].isdecimal() else None
    if number is None and COMMAND.match(line):
        word = line.split()[0]
        unknown = f"there is no command {word}; :help shows what there is, and :{line} sends it as a message"
        screen.console.print(unknown, style="red", markup=False)
        return False
    line = line.removeprefix(":") if line.startswith("::") else line
    screen.said()
    try:
        if number is None:
            await person.send(line)
            return True
        return await _press(person, screen, int(number))
    except (client.ChatRefusedError, client.ButtonGoneError) as error:
        screen.console.print(str(error), style="red", markup=False)
        return False


async def _press(person: client.ChatClient, screen: _Screen, number: int) -> bool:
    buttons = screen.buttons
    if not 1 <= number <= len(buttons) or screen.keyboard is None:
        screen.console.print("there is no such button; :help shows how to press one", style="red", markup=False)
        return False
    button = buttons[number - 1]
    if button.url:
        screen.console.print(button.url, markup=False)
        return False
    # The exact button, not its label: a keyboard may say the same twice.
    await person.press(screen.keyboard.model_copy(update={"buttons": ((button,),)}), button.text)
    return True


async def _listen(person: client.ChatClient, screen: _Screen, *, shown_before: int) -> None:
    async with contextlib.aclosing(person.events()) as stream:
        async for event in stream:
            screen.show(event, shown_before=shown_before)


@dataclass
class _Screen:
    """What is shown, and what there is to press."""

    console: Console
    keyboard: ChatMessage | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _shown: dict[int, ChatMessage] = field(default_factory=dict)
    _sign: asyncio.Event = field(default_factory=asyncio.Event)
    _is_typing: bool = False
    _has_answered: bool = False
    _at_work: set[int] = field(default_factory=set)  # messages of this turn that say that something is under way
    _edited: tuple[int, tuple[str, ...]] = (0, ())  # the last message that was edited, and what was new in it

    @property
    def is_at_work(self) -> bool:
        """Whether the bot says that something is under way."""
        return bool(self._at_work)

    @property
    def buttons(self) -> list[Button]:
        """The buttons that can be pressed now, as they are numbered."""
        return [button for row in self.keyboard.buttons for button in row] if self.keyboard else []

    def said(self) -> None:
        """Note that the person spoke: from here on the bot's signs are answers."""
        self._has_answered = self._is_typing = False
        self._at_work.clear()
        self._edited = (0, ())
        self._sign.clear()

    async def until_quiet(self) -> bool:
        """Wait until the bot has answered and then shown nothing for a while; returns whether it answered."""
        with contextlib.suppress(TimeoutError):
            while True:
                patience = BUSY if self._is_typing else QUIET
                if self._at_work or not self._has_answered:
                    patience = UNDER_WAY if self._at_work else FIRST_WORD
                await asyncio.wait_for(self._sign.wait(), patience)
                self._sign.clear()
        return self._has_answered

    def show(self, event: ChatEvent, *, shown_before: int) -> None:
        """Print one event."""
        if event.kind == "reset":
            self._catch_up(event, shown_before)
            return
        if event.kind in {"message", "edit"} and event.message:
            self._message(event.message)
        elif event.kind == "delete":
            if self.keyboard and self.keyboard.id == event.message_id:
                self.keyboard = None
            self._shown.pop(event.message_id or 0, None)
            self._at_work.discard(event.message_id or 0)
            self._sign.set()
        elif event.kind == "typing":
            self._note_sign(is_typing=True)
        elif event.kind == "answer" and event.answer:
            if event.answer.text:
                self.console.print(f"({event.answer.text})", style="yellow", markup=False)
            self._note_sign(is_typing=False)

    def _catch_up(self, event: ChatEvent, shown_before: int) -> None:
        if self.ready.is_set():
            for message in event.messages:
                if self._shown.get(message.id) != message:
                    self._message(message)
            return
        for message in event.messages:
            self._shown[message.id] = message
            if message.buttons:
                self.keyboard = message
        for message in event.messages[len(event.messages) - shown_before :] if shown_before else ():
            self._print(message, None)
        self.ready.set()

    def _message(self, message: ChatMessage) -> None:
        before = self._shown.get(message.id)
        self._shown[message.id] = message
        if message.buttons:
            self.keyboard = message
        elif self.keyboard and self.keyboard.id == message.id:
            self.keyboard = None
        if before and (before.text, before.buttons) == (message.text, message.buttons):
            return
        if message.from_bot:
            (self._at_work.add if AT_WORK.search(message.text) else self._at_work.discard)(message.id)
            self._print(message, before)
            self._note_sign(is_typing=False)

    def _note_sign(self, *, is_typing: bool) -> None:
        self._is_typing = is_typing
        self._has_answered = self._has_answered or not is_typing
        self._sign.set()

    def _print(self, message: ChatMessage, before: ChatMessage | None) -> None:
        """Print a message; of one that was edited what is new, or its last line where only its buttons are."""
        lines = list(formatted(message).split("\n"))
        if before is not None:
            known = {line.plain for line in formatted(before).split("\n")}
            lines = [line for line in lines if line.plain.strip() and line.plain not in known] or (
                [Text("… ").append_text(lines[-1])] if message.buttons else []
            )
            # What becomes of a change is written into each message about it, and is news once.
            news = tuple(line.plain for line in lines)
            other, told = self._edited
            if news == told and other != message.id and not message.buttons:
                return
            self._edited = (message.id, news)
        mark = "✎ " if before is not None else "● " if message.from_bot else "> "
        if lines:
            self.console.print(Text.assemble((mark, "cyan"), Text("\n").join(lines)))
        if message.attachment:
            about = f"  [file] {message.attachment.name} ({message.attachment.size} bytes)"
            self.console.print(about, style="cyan", markup=False)
        if message.buttons:
            labels = [
                f"[{number}] {button.text}" + (f" <{button.url}>" if button.url else "")
                for number, button in enumerate((button for row in message.buttons for button in row), 1)
            ]
            self.console.print("  " + "  ".join(labels), style="bold", markup=False)


_STYLES = {
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "strikethrough": "strike",
    "code": "magenta",
    "pre": "magenta",
    "blockquote": "dim",
    "expandable_blockquote": "dim",
    "spoiler": "reverse",
    "url": "underline blue",
    "bot_command": "blue",
}

_DIFF = (("+++", "bold"), ("---", "bold"), ("+", "green"), ("-", "red"), ("@@", "cyan"))
"""How a line of a diff begins, and its style; the first that fits."""


def formatted(message: ChatMessage) -> Text:
    """The text of a message with its entities as terminal styles; a link shows its address behind its words."""
    # Control characters of a terminal are for us to send, not for a bot.
    units = message.text.encode("utf-16-le")
    made = Text()
    borders = {0, len(units) // 2}
    for entity in message.entities:
        borders |= {entity.offset, entity.offset + entity.length}
    ordered = sorted(borders)
    for start, end in itertools.pairwise(ordered):
        part = units[2 * start : 2 * end].decode("utf-16-le", "replace")
        part = "".join(char for char in part if char in "\n\t" or char.isprintable() or char == "\u200d")
        around = [item for item in message.entities if item.offset <= start and item.offset + item.length >= end]
        if any(item.type == "pre" and item.language == "diff" for item in around):
            made.append_text(_diff(part))
        else:
            made.append(part, style=" ".join(_STYLES[item.type] for item in around if item.type in _STYLES))
        for item in around:
            if item.type == "text_link" and item.url and item.offset + item.length == end:
                made.append(f" <{item.url}>", style="dim")
    return made


def _diff(lines: str) -> Text:
    """Lines of a diff, coloured as git does."""
    made = [
        Text(line, next((style for sign, style in _DIFF if line.startswith(sign)), "")) for line in lines.split("\n")
    ]
    return Text("\n").join(made)
