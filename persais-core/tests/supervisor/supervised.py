"""What the tests of the supervisor share: a project and what its releases do, what they look at, and the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from persais_core.supervisor.serving import Serving

WITHIN = 60.0  # seconds; far more than anything here takes, on a machine with much else to do too


class Project:
    """A repository whose commits differ in one agent, and what its releases are told to do."""

    def __init__(self, folder: Path) -> None:
        self.home, self.path, self.remote = folder / "home", folder / "project", folder / "remote.git"
        self._says = self.home / "says"
        self._says.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.remote)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.path)], check=True)
        self._git("remote", "add", "persais", str(self.remote))

    def _git(self, *arguments: str) -> str:
        who = ("-c", "user.name=T", "-c", "user.email=t@localhost")
        done = subprocess.run(
            ["git", "-C", str(self.path), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, text: str) -> str:
        """A new commit on the remote's main."""
        file = self.path / "bot" / "agents" / "parrot.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-qm", text)
        self._git("push", "-q", "persais", "main")
        return self._git("rev-parse", "HEAD")

    def commit_elsewhere(self, text: str) -> str:
        """A new commit on the remote's main, of which nobody here knows yet."""
        known = self._git("rev-parse", "HEAD")
        made = self.commit(text)
        self._git("reset", "-q", "--hard", known)
        self._git("update-ref", "refs/remotes/persais/main", known)
        self._git("reflog", "expire", "--expire=now", "--all")
        self._git("gc", "-q", "--prune=now")
        return made

    def tell(self, commit: str, **what: object) -> None:
        """What its releases do from now on; nothing: they are well."""
        file = self._says / f"{commit}.new"
        file.write_text(json.dumps(what))
        file.rename(file.with_suffix(".json"))

    def pid(self, commit: str) -> int:
        """The process of the newest release of a commit; 0 before the first."""
        file = self._says / f"{commit}.pid"
        return int(file.read_text() or 0) if file.is_file() else 0

    def asked(self, commit: str) -> int:
        """How often the newest release of a commit was asked for its health."""
        file = self._says / f"{commit}.asked"
        return int(file.read_text() or 0) if file.is_file() else 0


@dataclass
class Bench:
    """A supervisor at work."""

    serving: Serving
    stop: asyncio.Event
    deploying: asyncio.Task[None]
    lines: list[str]

    @property
    def served(self) -> str | None:
        """The commit that serves, with its agents."""
        current = self.serving.current
        return current.commit if current and not current.safe and not current.died else None

    def kill(self) -> None:
        """kill -9 of what serves."""
        assert self.serving.current
        self.serving.current.process.kill()


class Database:
    """What stands in the database, and what a change asks of it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return self.run("select 1") == [(1,)]
        return False

    def deploy(self, commit: str, *, change: int | None = None) -> int:
        query = (
            "insert into persais.deployments (change_id, commit, state, requested_at) "
            "values (%s, %s, 'requested', now()) returning id"
        )
        return int(self.run(query, change, commit)[0][0])

    def state(self, number: int) -> str:
        return str(self.run("select state from persais.deployments where id = %s", number)[0][0])

    def cause(self, number: int) -> str:
        return str(self.run("select cause from persais.deployments where id = %s", number)[0][0])

    def active(self) -> str | None:
        found = self.run("select commit from persais.active_release")
        return found[0][0] if found else None

    def jobs(self, task: str) -> list[int]:
        """The deployments of which a job is to tell, in the order in which that was asked for."""
        query = "select args->>'deployment' from persais_queue.procrastinate_jobs where task_name = %s order by id"
        return [int(number) for (number,) in self.run(query, task)]

    async def reaches(self, number: int, state: str) -> None:
        """Wait until a deployment is in a state."""
        await self.until(lambda: self.state(number) == state)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something, and have the supervisor look around meanwhile instead of once a second."""
        async with asyncio.timeout(WITHIN), await psycopg.AsyncConnection.connect(self.url, autocommit=True) as own:
            while not condition():
                await own.execute("notify persais_deployments")
                await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
