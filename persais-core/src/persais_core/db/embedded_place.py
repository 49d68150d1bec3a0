"""Where the data of the embedded Postgres lie: where they were asked for, or, as root, where its own user can get at.

Postgres does not run as root, and the user it runs as then cannot walk into somebody's home, which is not ours to open.
So as root, in a folder whose parents others cannot enter, the data lie under `ROOT_HOME` in a folder with a name of its
own, which a file beside the folder that was asked for names (`pg.place`). A file in that place says who asked.

Folders are copied, moved and restored from backups, as another user and on another computer too. Whatever was found on
the way, nobody who has data somewhere is ever given an empty database instead: what lies where it was asked for is
taken to where it can be served, and what contradicts itself or is gone is refused with the way out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from persais_core import errors

ROOT_HOME = Path("/var/lib/persais")
ASKER = "asked-for"  # the file in a place that says for which folder it was made


class Place:
    """The folder of one database.

    Args:
        asked: where the data were asked for; its name with `.password`, `.place` and `.lock` belongs to it too.
        owner: user id of the server; None where it runs as whoever we are.

    Attributes:
        data_dir: where the data lie, or will lie once there are some; `settle` may change it.
    """

    def __init__(self, asked: Path, *, owner: int | None) -> None:
        self.asked, self._owner = asked, owner
        self._note = _note_of(asked)
        named = self._named()
        self.data_dir = self._below(named) if named is not None and os.geteuid() == 0 else asked

    @property
    def password_file(self) -> Path:
        """The file with the password of its superuser."""
        return self.data_dir.with_name(f"{self.data_dir.name}.password")

    @property
    def _moved(self) -> Path:
        """What was asked for, while it is being taken elsewhere."""
        return self.asked.with_name(f"{self.asked.name}.moved")

    @property
    def is_elsewhere(self) -> bool:
        """Whether the data do not lie where they were asked for."""
        return self.data_dir != self.asked

    def verify(self) -> None:
        """See that it is clear where the data are, without changing anything.

        Raises:
            DatabaseError: there are two databases, or the one that was named is gone or belongs to somebody else.
        """
        named, is_here = self._named(), _holds(self.asked)
        if named is None:
            return
        there = self._below(named)
        is_there = _holds(there)
        if is_there and is_here:
            raise errors.DatabaseError(
                f"there are two databases: one in {self.asked}, and one in {there}, which {self._note} names; to go on "
                f"with the first remove {self._note}, to go on with the second move {self.asked} away"
            )
        if not is_there and not is_here:
            raise errors.DatabaseError(
                f"{self._note} says that the database lies in {named}, but there is none; bring it back from your "
                f"backup as {self.asked} (docs: Back up and restore), or remove {self._note} to begin with an empty one"
            )
        if is_there and os.geteuid() != 0:
            raise errors.DatabaseError(
                f"the database lies in {there}, as the bot was run as root; run it as root again, or have root move it "
                "here (docs: Back up and restore)"
            )
        if is_there and (other := self._other_asker(named)):
            raise errors.DatabaseError(
                f"{there} is the database of {other}, of which this folder is a copy; to run the copy, bring the data "
                f"of a backup here as {self.asked} and remove {self._note} (docs: Back up and restore)"
            )

    def settle(self, tell: Callable[[str], None]) -> None:
        """Find the data, and take them to where they can be served.

        Args:
            tell: says in a line what is moved.

        Raises:
            DatabaseError: it is not clear where they are, see `verify`, or they cannot be used by us.
        """
        if self._named() is None and not _holds(self.asked) and _holds(self._moved):
            self._moved.rename(self.asked)  # whoever moved it was killed before the place was noted
        self.verify()
        named = self._named()
        if named is not None and _holds(self._below(named)):
            self.data_dir = self._below(named)
            self.keep()  # our folder may have been moved since
        elif os.geteuid() == 0 and not open_to_all(self.asked.parent):
            self.data_dir = self._below(ROOT_HOME / secrets.token_hex(8))
            if _holds(self.asked):
                self._take_along(tell)
        else:
            self.data_dir = self.asked
            self._note.unlink(missing_ok=True)  # what it named is gone, and the data are here
        if _holds(self.data_dir):
            self._check()

    def prepare(self) -> None:
        """Make the folder around the data."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if self.is_elsewhere:
            for folder in (ROOT_HOME, self.data_dir.parent):
                folder.chmod(0o755)

    def keep(self) -> None:
        """Note a place, now that there is a database in it; before, nothing would be lost with it."""
        if self.is_elsewhere:
            (self.data_dir.parent / ASKER).write_text(f"{self.asked}\n", "utf-8")
            fresh = self._note.with_name(f"{self._note.name}.new")
            fresh.write_text(self.data_dir.parent.name, "ascii")
            fresh.replace(self._note)

    def _named(self) -> Path | None:
        """The place that is noted."""
        try:
            name = Path(self._note.read_text("ascii").strip()).name
        except (OSError, ValueError):
            return None
        return ROOT_HOME / name if name else None

    def _below(self, place: Path) -> Path:
        return place / "pg"

    def _other_asker(self, place: Path) -> Path | None:
        """Another folder that names a place and for which it was made; a copy of it would be served the same data."""
        other = asker(place)
        if other is None or is_left(place):
            return None
        return None if _note_of(other).samefile(self._note) else other

    def _take_along(self, tell: Callable[[str], None]) -> None:
        """Move the data from where they were asked for to the place.

        They are copied first and removed last: whenever this is killed, one whole database is named, or none and the
        data are where they were.

        Raises:
            DatabaseError: a server is running on them.
        """
        if process := _server_on(self.asked):
            raise errors.DatabaseError(
                f"a Postgres server (process {process}) runs in {self.asked}, where the one of this user cannot; stop "
                f"the bot that uses it first"
            )
        tell(f"moving the data from {self.asked} to {self.data_dir}, where the server may read them...")
        self.prepare()
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.new")
        # The process that is noted is not running, and its number may be another program's by now.
        shutil.copytree(self.asked, fresh, symlinks=True, ignore=shutil.ignore_patterns("postmaster.pid"))
        password = self.asked.with_name(f"{self.asked.name}.password")
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(password, self.password_file)
        _give(fresh, self._owner)
        fresh.rename(self.data_dir)
        shutil.rmtree(self._moved, ignore_errors=True)
        self.asked.rename(self._moved)
        self.keep()
        shutil.rmtree(self._moved)
        password.unlink(missing_ok=True)

    def _check(self) -> None:
        """See that the data can be used by whoever will serve them.

        Raises:
            DatabaseError: they belong to another user, or their password is missing.
        """
        if os.geteuid() == 0:
            if self.data_dir.stat().st_uid != self._owner:  # it came from a backup, or another user ran the bot here
                _give(self.data_dir, self._owner)
        elif self.data_dir.stat().st_uid != os.geteuid():
            folder = self.data_dir.parent
            raise errors.DatabaseError(
                f"{self.data_dir} belongs to another user, as the bot was run by them; run it as that user, or have "
                f"root hand it over: chown -R {os.geteuid()}:{os.getegid()} {folder}"
            )
        if not self.password_file.is_file():
            raise errors.DatabaseError(
                f"{self.password_file} is missing, and the database in {self.data_dir} does not open without; bring it "
                "back from where that came from"
            )


def _note_of(asked: Path) -> Path:
    """The file that names the place of what was asked for."""
    return asked.with_name(f"{asked.name}.place")


def asker(place: Path) -> Path | None:
    """The folder for which a place was made, None where that was not noted."""
    try:
        return Path((place / ASKER).read_text("utf-8").strip())
    except (OSError, ValueError):
        return None


def is_left(place: Path) -> bool:
    """Whether the folder for which a place was made is gone, or names another place by now."""
    asked = asker(place)
    if asked is None:
        return False
    try:
        return _note_of(asked).read_text("ascii").strip() != place.name
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def left() -> list[Path]:
    """The places for which nobody asks any more and on which no server runs; those of which that can be known."""
    if not ROOT_HOME.is_dir():
        return []
    return sorted(
        place for place in ROOT_HOME.iterdir() if is_left(place) and not (place / "pg" / "postmaster.pid").exists()
    )


def open_to_all(path: Path) -> bool:
    """Whether any user can walk down to a path."""
    existing = path
    while not existing.exists():
        existing = existing.parent
    return all(folder.stat().st_mode & 0o001 for folder in (existing, *existing.parents))


def _holds(data_dir: Path) -> bool:
    """Whether there is a database; one that we may not look into is one too."""
    try:
        return (data_dir / "PG_VERSION").exists()
    except PermissionError:
        return True


def _server_on(data_dir: Path) -> int | None:
    """The process of a server that runs on a folder."""
    try:
        process = int((data_dir / "postmaster.pid").read_text("ascii").split()[0])
        return process if Path(f"/proc/{process}/cwd").resolve() == data_dir.resolve() else None
    except (OSError, ValueError, IndexError):
        return None


def _give(folder: Path, owner: int | None) -> None:
    """Make a folder and all in it a user's."""
    if owner is None:
        return
    for root, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(root) / name, owner, -1, follow_symlinks=False)
