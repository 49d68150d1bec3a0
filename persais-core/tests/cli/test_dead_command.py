"""`persais dead`, run as a program on a database with letters."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from sqlalchemy import text

from persais_core import settings
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane, Reply
from persais_core.queue import letters, outbox
from persais_core.security.redact import Redactor
from persais_core.testing import live


async def dead(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    values = settings.child_environment(**(dict.fromkeys(live.ALONE, "") | {"DATABASE_URL": url}))
    argv = [sys.executable, "-m", "persais_core", "dead", *arguments]
    return await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, env=values, timeout=120, check=False
    )


async def test_letters_are_listed_retried_and_dropped_from_the_terminal(database: Database, core_url: str) -> None:
    async with database.session() as session:
        for subject in ("one", "two\x1b[2J"):
            payload = {"task": "step", "args": {}, "lock": None}
            await letters.keep(session, "job", subject=subject, cause="no", redactor=Redactor(), payload=payload)
        await outbox.put(session, Lane(chat_id=1), Reply(text="late"), key="late")
        await session.execute(text("update persais.outbox set error = 'no line', created_at = '2026-01-02 03:04:05Z'"))
    listed = await dead(core_url, "list")
    first, second, figures, waits = listed.stdout.splitlines()
    assert [line.split()[0] for line in (first, second)] == ["1", "2"]
    assert "\x1b" not in second
    assert figures == "Messages: 0 sent, 1 waiting, 0 not delivered; 0 may stand in a chat twice."
    assert waits == "The oldest has waited since 2026-01-02 03:04:05Z: no line"
    retried, dropped = await asyncio.gather(dead(core_url, "retry", "1"), dead(core_url, "drop", "2", "--json"))
    assert retried.stdout == "Letter 1 (job) retried.\n"
    assert json.loads(dropped.stdout)["state"] == "dropped"
    again = await dead(core_url, "retry", "1")
    assert (again.returncode, again.stderr) == (1, "persais: no dead letter 1 is waiting\n")
