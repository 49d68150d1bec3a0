"""What one PERSAIS_HOME has only one of: somebody who runs a bot there, and the database."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from persais_core import errors
from persais_core.db import core_migrations
from persais_core.db.embedded import EmbeddedPostgres
from persais_core.settings import Settings
from persais_core.supervisor import patience


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the lock of a home; a second supervisor on it would fight over database and chat.

    Raises:
        ProjectError: somebody else holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "dev.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise errors.ProjectError(
                f"a bot is running here already (process {file.read().strip() or 'unknown'}); "
                "stop it first, or set PERSAIS_HOME to run another one"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_in_use(home: Path) -> bool:
    """Whether a supervisor runs on a home."""
    try:
        with (home / "dev.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # nobody has ever run here
    return False


@dataclass(frozen=True)
class Database:
    """The database of a home.

    Args:
        url: its address, prepared.
        embedded: the server, where it is ours.
    """

    url: str
    embedded: EmbeddedPostgres | None = None

    async def mend(self) -> None:
        """Start our own server again if it has died, at the same address; another's is only waited for.

        Raises:
            DatabaseError: it does not start.
        """
        if self.embedded is not None:
            await asyncio.to_thread(self.embedded.start)


@contextlib.asynccontextmanager
async def database(config: Settings, tell: Callable[[str], None]) -> AsyncIterator[Database]:
    """The database, prepared; the embedded one is stopped at the end.

    Raises:
        DatabaseError: it cannot be started or prepared.
    """
    url = config.database_direct_url or config.database_url
    embedded = None
    if url is None:
        embedded = EmbeddedPostgres(config.persais_home / "pg", tell=lambda line: tell(f"Database: {line}"))
        is_new = not embedded.data_dir.exists()
        tell(f"Database: {'making and starting' if is_new else 'starting'} the embedded Postgres...")
    address = await asyncio.to_thread(embedded.start) if embedded else url.get_secret_value() if url else ""
    try:
        async with patience.told(tell, "Database: bringing the framework's tables up to date..."):
            await asyncio.to_thread(core_migrations.prepare, address)
        yield Database(address, embedded)
    finally:
        if embedded:
            await asyncio.to_thread(embedded.stop)
