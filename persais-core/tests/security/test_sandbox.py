"""What the sandbox promises besides its walls: limits, a clean end, honest answers, safe copies and reports."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from walled import at_work, ours

from persais_core import errors, processes
from persais_core.security import sandbox
from persais_core.security.sandbox import leftovers

SMALL = sandbox.Limits(
    memory_bytes=96 << 20, disk_bytes=8 << 20, file_bytes=2 << 20, files=300, processes=24, output_bytes=100_000
)
BOMBS = {
    "time": ("while True: pass", "did not end within 2 s"),
    "sleep": ("import time; time.sleep(100)", "did not end within 2 s"),
    "memory": ("x = []\nwhile True: x.append(bytearray(b'x') * (8 << 20))", "more than 96 MB of memory"),
    "memory of children": (
        "import os, time\nfor _ in range(4): os.fork()\nx = bytearray(b'x') * (30 << 20)\ntime.sleep(100)",
        "more than 96 MB of memory",
    ),
    "disk": (
        # No more than 50 files, however much of this comes between two looks at the folder.
        "import itertools\nfor n in itertools.count():\n    try: open(f'f{n % 50}', 'ab').write(b'x' * (1 << 20))\n"
        "    except OSError: pass",
        "wrote more than 8 MB",
    ),
    "files": ("import itertools\nfor n in itertools.count(): open(f'f{n}', 'w')", "made more than 300 files"),
    "output": ("while True: print('x' * 1000)", "printed more than 97 kB"),
}
FORK_BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1); os.close(2)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(0.2)
"""


def python(code: str, folder: Path, seconds: float = 60) -> processes.Command:
    return processes.Command(argv=(sys.executable, "-I", "-S", "-c", code), cwd=folder, timeout_seconds=seconds)


@pytest.mark.parametrize("name", BOMBS)
async def test_bomb_is_stopped_and_the_reason_named(name: str, box: sandbox.Sandbox, tmp_path: Path) -> None:
    code, reason = BOMBS[name]
    outcome = await box.run(python(code, tmp_path, 2 if "2 s" in reason else 60), folder=tmp_path, limits=SMALL)
    assert reason in outcome.stopped
    assert outcome.timed_out == ("2 s" in reason)
    assert not outcome
    assert ours(tmp_path) == []


async def test_fork_bomb_leaves_nothing(box: sandbox.Sandbox, tmp_path: Path) -> None:
    outcome = await box.run(python(FORK_BOMB, tmp_path, 3), folder=tmp_path, limits=SMALL)
    assert outcome.stopped
    assert ours(tmp_path) == []


async def test_daemon_that_forked_twice_is_ended(box: sandbox.Sandbox, tmp_path: Path) -> None:
    outcome = await box.run(python(DAEMON, tmp_path), folder=tmp_path)
    assert outcome.exit_code == 0
    assert not Path(f"/proc/{outcome.stdout.strip()}").exists()


async def test_large_file_is_refused_by_the_kernel(box: sandbox.Sandbox, tmp_path: Path) -> None:
    await box.run(python("open('f', 'wb').write(b'x' * (4 << 20))", tmp_path), folder=tmp_path, limits=SMALL)
    assert (tmp_path / "f").stat().st_size <= 2 << 20


async def test_process_that_vanishes_says_how(box: sandbox.Sandbox, tmp_path: Path) -> None:
    assert (await box.run(python("import os; os._exit(3)", tmp_path), folder=tmp_path)).exit_code == 3
    assert (await box.run(python("import os; os.abort()", tmp_path), folder=tmp_path)).exit_code == -6


async def test_output_beyond_what_was_asked_for_is_cut(box: sandbox.Sandbox, tmp_path: Path) -> None:
    command = processes.Command(
        argv=(sys.executable, "-I", "-S", "-c", "print('x' * 5000)"), cwd=tmp_path, max_output_bytes=100
    )
    outcome = await box.run(command, folder=tmp_path)
    assert outcome
    assert outcome.output_cut
    assert outcome.stdout == "x" * 100


async def test_program_that_is_not_there_is_127(box: sandbox.Sandbox, tmp_path: Path) -> None:
    outcome = await box.run(processes.Command(argv=("no-such-program",), cwd=tmp_path), folder=tmp_path)
    assert (outcome.exit_code, outcome.stderr) == (127, "no-such-program: not found")


async def test_cancelled_run_leaves_no_process(box: sandbox.Sandbox, tmp_path: Path) -> None:
    run = asyncio.create_task(box.run(python("import time; time.sleep(600)", tmp_path), folder=tmp_path))
    await at_work(tmp_path)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ours(tmp_path) == []


async def test_runs_side_by_side_do_not_disturb_each_other(box: sandbox.Sandbox, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    done = await asyncio.gather(*(box.run(python(f"print({n})", f), folder=f) for n, f in enumerate(folders)))
    assert [outcome.stdout for outcome in done] == ["0\n", "1\n", "2\n", "3\n"]


def test_program_dies_with_the_bot(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom persais_core import processes\n"
        "from persais_core.security import sandbox\n"
        "box = sandbox.Sandbox(secrets_present=False)\nfolder = Path(sys.argv[1])\n"
        "sleep = (sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)')\n"
        "asyncio.run(box.run(processes.Command(argv=sleep, cwd=folder, timeout_seconds=600), folder=folder))\n"
    )
    bot = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not ours(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ours(tmp_path)
    bot.kill()
    bot.wait()
    deadline = time.monotonic() + 60
    while ours(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ours(tmp_path) == []


async def test_walls_that_do_not_hold_refuse_where_there_is_something_to_lose(tmp_path: Path) -> None:
    with_secrets = sandbox.Sandbox(secrets_present=True)
    without = sandbox.Sandbox(secrets_present=False)
    by_word = sandbox.Sandbox(secrets_present=True, allow_unsandboxed=True)
    # What the canary reports on a machine without Landlock.
    for box, state in ((with_secrets, "refused"), (without, "limits_only"), (by_word, "limits_only")):
        verdict = box.judge(["this kernel has no Landlock"])
        assert verdict.state == state
        assert "Landlock" in verdict.reason


def test_copy_leaves_out_what_a_program_must_not_see(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("bot/agents/echo.py", ".git/config", ".env", ".env.local", ".env.example", ".venv/x", ".persais/x"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    sandbox.copy_tree(source, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == [
        ".env.example",
        "bot/agents/echo.py",
    ]


@pytest.mark.parametrize("kind", ["link", "pipe", "size", "count"])
def test_copy_refuses_what_is_no_small_plain_tree(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if kind == "link":
        (source / "link").symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(source / "pipe")
    else:
        for number in range(5):
            (source / str(number)).write_bytes(b"x" * 100)
    sizes = {"size": (400, 100), "count": (10_000, 4)}.get(kind, (10_000, 100))
    with pytest.raises(errors.SandboxError):
        sandbox.copy_tree(source, tmp_path / "target", max_bytes=sizes[0], max_files=sizes[1])


async def test_tree_of_any_depth_is_removed(box: sandbox.Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    await box.run(python("import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')", folder), folder=folder)
    await sandbox.remove_tree(folder)
    assert not folder.exists()


def test_temporary_folder_of_a_killed_process_is_removed_by_the_next_and_that_of_a_living_one_stays() -> None:
    program = (
        "import tempfile, time\nfrom persais_core.security.sandbox import leftovers\n"
        "print(tempfile.mkdtemp(prefix=leftovers.prefix('trace')), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        left = Path(process.stdout.readline().strip())
        (left / "kept").mkdir()
        leftovers.prefix("trace")
        assert left.is_dir()
        process.kill()
    assert left.name.startswith(leftovers.prefix("trace").rpartition(f"{os.getpid()}-")[0])
    assert not left.exists()


def test_report_is_read_only_where_it_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"report")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "twin").hardlink_to(tmp_path / "plain")
    (tmp_path / "alone").write_bytes(b"report")
    os.mkfifo(tmp_path / "pipe")
    assert sandbox.read_report(tmp_path, "alone") == b"report"
    assert sandbox.read_report(tmp_path, "alone", max_bytes=3) is None
    for name in ("link", "pipe", "missing", "plain"):
        assert sandbox.read_report(tmp_path, name) is None


CLIENT = """
import asyncio, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from persais_core import processes
from persais_core.security import sandbox
async def main():
    box = sandbox.Sandbox(secrets_present=True)
    verdict = await box.probe()
    print(verdict.state, "own-uid" in verdict.ways)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for code in (
            "open('made', 'w')", "open('/etc/passwd')", "import os; os.kill(os.getppid(), 0)",
            "import os; assert 0 not in os.getresuid()", "import os\\nwhile True: os.fork()",
        ):
            seconds = 5 if "while True" in code else 60
            command = processes.Command(
                argv=(sys.executable, "-I", "-S", "-c", code), cwd=folder, timeout_seconds=seconds
            )
            outcome = await box.run(command, folder=folder)
            print(outcome.exit_code if not outcome.stopped else "stopped")
asyncio.run(main())
"""
SYSTEM = [
    path for path in map(Path, ("/usr/bin/python3.13", "/usr/bin/python3.12", "/usr/bin/python3.11")) if path.exists()
]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.skipif(not SYSTEM, reason="no system Python of our versions")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv")
@pytest.mark.parametrize(
    ("become", "has_own_uid"), [((), True), (("--reuid=65534", "--regid=65534", "--clear-groups"), False)]
)
def test_walls_hold_for_root_with_an_open_python_and_for_a_plain_user(
    become: tuple[str, ...], has_own_uid: bool
) -> None:
    """With the system's Python, as ours may lie in a home that is closed to others."""
    source = Path(errors.__file__).parent
    with tempfile.TemporaryDirectory() as made:
        # The package alone, with what the sandbox needs of it, where everybody can read it.
        place = Path(made) / "persais_core"
        shutil.copytree(source / "security" / "sandbox", place / "security" / "sandbox")
        for name in ("__init__.py", "errors.py", "processes.py", "security/__init__.py"):
            shutil.copyfile(source / name, place / name)
        for path in (Path(made), *Path(made).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        done = subprocess.run(
            ["setpriv", *become, str(SYSTEM[0]), "-c", CLIENT, made],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            check=False,
        )
    *answers, bomb = done.stdout.split() or [""]
    assert answers == ["enforced", str(has_own_uid), "0", "1", "1", "0"], done.stderr
    assert bomb in {"1", "stopped"}  # by the kernel's limit, or by the watcher, whichever saw it first
