"""Starting, stopping and starting again: what a person at a terminal meets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
from changes import kill_release, rows
from whole_bots import a_project, commit_everything, persais, run_persais, said

import minds
from persais_core import settings
from persais_core.db import core_migrations
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.emulators.telegram import TelegramEmulator
from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.serving import served
from persais_core.testing import live

TOKEN = "1234567890:" + "a" * 35
KEY = "key-of-the-test"
ECHO = 'return "Echo: " + message.text'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bot with a hand-written Echo."""
    folder = tmp_path_factory.mktemp("life") / "bot"
    a_project(folder, ("agent", "echo", "--keyword", "echo"))
    file = folder / "bot" / "agents" / "echo.py"
    file.write_text(file.read_text().replace("return message.text", ECHO))
    commit_everything(folder)
    return folder


async def test_a_chat_goes_on_in_the_same_agent_after_a_restart_and_after_a_kill(
    project: Path, tmp_path: Path, aider_venv: Path
) -> None:
    async with live.running(project, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        assert (await said(person, "/echo")).text.endswith("Echo mode activated")
    async with live.running(project, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        assert (await said(person, "still there?")).text == "Echo: still there?"
        children = processes("-P", str(bot.process.pid))
        kill(bot.process.pid, *children)
        await bot.process.wait()
    async with live.running(project, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        await said(person, "and now?", "Echo: and now?")
        heard = [m.text for m in await person.history() if m.from_bot]
        # What was being sent at the kill may come twice; nothing else may, and nothing may be missing.
        once = [text for text, _ in itertools.groupby(heard)]
        assert once == ["🤖 Echo mode activated", "Echo: still there?", "Echo: and now?"]
        assert len(heard) <= len(once) + 1


async def test_a_message_sent_while_the_bot_is_killed_is_answered_when_it_is_back(bot: live.Live) -> None:
    async with bot.person() as person:
        await said(person, "/parrot", "Parrot mode")
        kill_release(bot)
        await person.send("one")
        await person.wait_for(lambda m: m.text == "one", timeout=60)
    assert any("ended unexpectedly" in line for line in bot.lines)


async def test_a_second_run_beside_the_first_says_so_and_harms_nothing(bot: live.Live) -> None:
    second = await persais("dev", str(bot.home.parent / "project"), PERSAIS_HOME=str(bot.home), PORT="0")
    assert second.returncode == 1
    assert "running here already" in second.stderr
    assert "Traceback" not in second.stderr
    async with httpx.AsyncClient() as http:
        health = (await http.get(f"http://127.0.0.1:{bot.public_port}/health")).json()
    assert health["status"] == "ok"
    assert set(health) >= {"status", "version", "commit", "checks"}


async def test_a_taken_port_is_named_with_what_to_do(project: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await persais("dev", str(project), PERSAIS_HOME=str(tmp_path), PORT=str(port))
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert f"set another PORT: {port} stands in the environment" in done.stderr


async def test_dev_outside_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    done = await persais("dev", str(tmp_path), PERSAIS_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert "persais new" in done.stderr


async def test_a_bot_whose_agents_do_not_load_starts_in_safe_mode_and_says_why(
    tmp_path: Path, aider_venv: Path
) -> None:
    folder = tmp_path / "bot"
    run_persais("new", str(folder))
    (folder / "bot" / "agents" / "broken.py").write_text("import nothing_like_this\n")
    commit_everything(folder)
    async with live.running(folder, tmp_path / "home", AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        status = (await said(person, "/status")).text
        assert "Safe mode" in status
        assert "bot/agents/broken.py cannot be imported" in status
        assert "offline model" in (await said(person, "Hello")).text
    assert "Traceback" not in "\n".join(bot.lines)


async def test_ctrl_c_while_starting_leaves_a_home_that_starts_again(
    project: Path, tmp_path: Path, aider_venv: Path
) -> None:
    """Each start goes on beyond where the one before it was stopped, and the last one to the end."""
    for when in ("importing", "the embedded Postgres", "Bot: starting"):
        assert b"Traceback" not in await stopped(project, tmp_path, aider_venv, when), when
    async with live.running(project, tmp_path, AIDER_VENV=str(aider_venv)) as bot, bot.person() as person:
        assert "Commit:" in (await said(person, "/status")).text


async def stopped(project: Path, home: Path, aider_venv: Path, when: str) -> bytes:
    """Start a bot, press ctrl-C at a moment of its start, and return all that it said."""
    environment = {"PERSAIS_HOME": str(home), "PORT": "0", "AIDER_VENV": str(aider_venv)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "persais_core", "dev", str(project),
        env=settings.child_environment(**dict.fromkeys(live.ALONE, ""), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    output = b""
    if when == "importing":
        while "pydantic_core" not in Path(f"/proc/{process.pid}/maps").read_text():
            await asyncio.sleep(0.01)
    else:
        assert process.stdout
        while when.encode() not in output:
            line = await process.stdout.readline()
            assert line, output.decode()
            output += line
    process.send_signal(signal.SIGINT)
    ended = asyncio.create_task(process.communicate())
    # While it imports, Python may lose the first one in a place where nothing can be raised; people press again.
    while when == "importing" and not (await asyncio.wait([ended], timeout=2))[0]:
        process.send_signal(signal.SIGINT)
    return output + (await ended)[0]


async def test_a_stranger_gets_one_refusal_no_model_call_and_an_audit_row(bot: live.Live, mind: minds.Mind) -> None:
    mind.forget()
    async with bot.person(user=4242) as stranger:
        assert (await said(stranger, "let me in")).text == "This bot is private. Its owner has to let you in."
        await stranger.send("please")
        await stranger.send("/status")
        async with bot.person() as owner:
            await said(owner, "/status")
        assert len([m for m in await stranger.history() if m.from_bot]) == 1
    refused = "select outcome from persais.audit where action = 'stranger refused' and actor = 4242"
    assert rows(bot, refused) == [("refused",)]
    assert mind.calls == []
    assert rows(bot, "select count(*) from persais.model_calls where user_id = 4242") == [(0,)]


def processes(*arguments: str) -> list[int]:
    """Process ids that pgrep finds."""
    done = subprocess.run(["pgrep", *arguments], capture_output=True, text=True, check=False)
    return [int(number) for number in done.stdout.split()]


def kill(*numbers: int) -> None:
    """kill -9."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


class Served:
    """`persais serve` on its own, against somebody else's Bot API server."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    async def until_log(self, pattern: str) -> str:
        """What the log says, once it does."""
        async with asyncio.timeout(120):
            while not (found := re.search(pattern, self.log.read_text())):
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.1)
        return found[1]


@pytest.fixture
async def emulated() -> AsyncIterator[str]:
    """Somebody else's Bot API server."""
    emulator = TelegramEmulator(token=TOKEN, client_key=KEY, state=None)
    async with served(emulator) as url:
        yield url


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "pg", durable=False)
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create database prepared")
    core_migrations.prepare(server.url("prepared"))
    yield server
    server.stop()


@pytest.fixture
async def serve(project: Path, postgres: EmbeddedPostgres, emulated: str, tmp_path: Path) -> AsyncIterator[object]:
    """Starts `persais serve` with some settings."""
    name = f"serve_{tmp_path.name[-8:]}".replace("-", "_")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template prepared')
    started: list[asyncio.subprocess.Process] = []

    async def start(**environment: str) -> Served:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        values = {
            "DATABASE_URL": postgres.url(name),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": emulated,
            "PORT": str(port),
            "PERSAIS_HOME": str(tmp_path / "home"),
            "LLM_BASE_URL": "http://127.0.0.1:9/v1",
        }
        values |= {k: v.replace("PORT", str(port)) for k, v in environment.items()}
        log = tmp_path / "serve.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "persais_core", "serve", "--root", str(project),
                env=settings.child_environment(**dict.fromkeys(live.ALONE, "") | values),
                stdout=file,
                stderr=file,
            )  # fmt: skip
        started.append(process)
        made = Served(process, port, log)
        await made.until_log(r'("this release is active")')
        return made

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):  # it could not start, which its test says
            process.terminate()
        await process.wait()


async def test_a_bot_nobody_owns_answers_nothing_but_the_claim(serve, emulated: str) -> None:
    running = await serve()
    code = await running.until_log(r'"code": "([A-Z0-9-]+)"')
    async with ChatClient(emulated, KEY, user=7) as person:
        assert "no owner yet" in (await said(person, "hello")).text
        assert (await said(person, "/claim AAAA-BBBB-CCCC")).text.startswith("That is not the code")
        assert (await said(person, f"/claim {code.lower()}")).text.startswith("Welcome!")
        assert "Agent: Master" in (await said(person, "/status")).text
    async with ChatClient(emulated, KEY, user=8) as other:
        assert (await said(other, f"/claim {code}")).text.startswith("There is nothing to claim")


async def test_updates_come_by_webhook_when_the_bot_has_a_public_address(serve, emulated: str) -> None:
    running = await serve(APP_BASE_URL="http://127.0.0.1:PORT", TELEGRAM_WEBHOOK_SECRET="s" * 40, ADMIN_USER_IDS="7")
    async with ChatClient(emulated, KEY, user=7) as person:
        await said(person, "/echo")
        assert (await said(person, "by webhook")).text == "Echo: by webhook"
    webhook = f"http://127.0.0.1:{running.port}/telegram/webhook"
    async with httpx.AsyncClient() as http:
        info = (await http.get(f"{emulated}/bot{TOKEN}/getWebhookInfo")).json()["result"]
        assert info["url"] == webhook
        assert (await http.post(webhook, content=json.dumps({"update_id": 1}))).status_code == 403


async def test_a_bot_whose_connections_the_database_ends_answers_the_next_message(
    serve, emulated: str, postgres: EmbeddedPostgres
) -> None:
    running = await serve(ALLOWED_USER_IDS="7")
    async with ChatClient(emulated, KEY, user=7) as person:
        await said(person, "/echo")
        for number in range(3):
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                ended = connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname like 'serve_%' and backend_type = 'client backend'"
                ).fetchall()
            assert len(ended) > 3
            await person.send(f"still there, {number}?")
            await person.wait_for(lambda m, number=number: m.text == f"Echo: still there, {number}?", timeout=60)
    assert running.process.returncode is None
    assert "never retrieved" not in running.log.read_text()


async def test_a_bot_whose_database_restarts_answers_what_was_sent_meanwhile(
    serve, emulated: str, postgres: EmbeddedPostgres
) -> None:
    running = await serve(ALLOWED_USER_IDS="7")
    async with ChatClient(emulated, KEY, user=7) as person:
        await said(person, "/echo")
        await asyncio.to_thread(postgres.stop)
        try:
            await person.send("anybody?")
            async with asyncio.timeout(60), httpx.AsyncClient(timeout=60) as http:
                while (await http.get(f"http://127.0.0.1:{running.port}/health")).json()["checks"]["database"] == "ok":
                    await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(postgres.start)
        await person.wait_for(lambda m: m.text == "Echo: anybody?", timeout=60)
    assert running.process.returncode is None


async def test_a_model_that_is_down_leaves_commands_and_code_agents_working(serve, emulated: str) -> None:
    await serve(ALLOWED_USER_IDS="7")
    async with ChatClient(emulated, KEY, user=7) as person:
        assert "cannot be reached" in (await said(person, "How are you?", timeout=60)).text
        await said(person, "/echo")
        assert (await said(person, "hi")).text == "Echo: hi"
        refused = await said(person, "/mechanic make me rich", "admin")
        assert refused.text == "Only an admin of this bot can change it."
