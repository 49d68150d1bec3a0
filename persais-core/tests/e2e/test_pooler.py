"""A whole bot whose database is reached through a pooler that lends connections for one transaction at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from changes import ask, deploy
from sqlalchemy.engine import make_url
from whole_bots import PROJECT

from persais_core.testing import live

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextlib.asynccontextmanager
async def over_tcp(path: Path) -> AsyncIterator[int]:
    """A port that leads to a server's socket, whose folder is closed to the user that a pooler becomes."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def pooled(url: str) -> AsyncIterator[str]:
    """A pooler in front of a database; yields the address through it."""
    assert PGBOUNCER
    there = make_url(url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with over_tcp(Path(str(there.query["host"])) / ".s.PGSQL.5432") as server:
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server} user={there.username} password={there.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 100\n"
        )
        config.chmod(0o644)
        # It refuses to be root, and whom it becomes cannot look into the folders of tests.
        become = ["-u", "nobody"] if os.geteuid() == 0 else []
        process = await asyncio.create_subprocess_exec(PGBOUNCER, *become, "-q", str(config))
        try:
            yield f"postgresql://{there.username}:x@127.0.0.1:{port}/{there.database}"
        finally:
            process.terminate()
            await process.wait()
            shutil.rmtree(folder)


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_a_bot_lives_and_evolves_behind_a_pooler(tmp_path: Path, aider_venv: Path, empty_url: str) -> None:
    async with pooled(empty_url) as through:
        settings = {
            "DATABASE_URL": through,
            "DATABASE_DIRECT_URL": empty_url,
            "AIDER_VENV": str(aider_venv),
            "ALLOW_UNSANDBOXED": "true",
        }
        async with live.running(PROJECT, tmp_path / "home", **settings) as bot, bot.person() as person:
            await person.send("/mechanic")
            card = await ask(person, 'Create an agent "Echo" that repeats messages')
            assert "PR is ready" in card.text, card.text
            await deploy(person, card)
            for number in range(10):
                await person.send(f"/echo {number}")
            for number in range(10):
                await person.wait_for(lambda m, number=number: m.text == f"Echo: {number}")
            assert "Traceback" not in bot.log()
