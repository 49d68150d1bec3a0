"""A program is a value in and a value out, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from persais_core.processes import Command, Outcome, run


def python(code: str, cwd: Path, **options: object) -> Command:
    return Command((sys.executable, "-c", code), cwd, **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def to_the_deadline(code: str, folder: Path) -> Outcome:
    """Run what never ends and prints when it has begun; on a busy machine that may take longer than it is given."""
    for seconds in (1.0, 4.0, 16.0, 64.0):
        outcome = await run(python(code, folder, timeout_seconds=seconds))
        if outcome.stdout:
            break
    return outcome


async def test_output_errors_and_exit_code_come_back(tmp_path: Path) -> None:
    outcome = await run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out\n", "err\n")
    assert not outcome
    assert not outcome.timed_out


async def test_success_is_true(tmp_path: Path) -> None:
    assert await run(python("pass", tmp_path))


def test_an_outcome_that_ran_out_of_time_is_false() -> None:
    assert not Outcome(0, "", "", 1.0, timed_out=True)


async def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    outcome = await run(python("import os; print(os.getcwd())", tmp_path))
    assert outcome.stdout.strip() == str(tmp_path.resolve())


async def test_nothing_of_our_environment_is_inherited(tmp_path: Path) -> None:
    outcome = await run(python("import os; print(sorted(os.environ))", tmp_path, env={"ONLY": "1", "LC_ALL": "C"}))
    assert set(eval(outcome.stdout)) <= {"ONLY", "LC_ALL", "LC_CTYPE"}


async def test_standard_input_is_given_and_ends(tmp_path: Path) -> None:
    outcome = await run(python("import sys; print(len(sys.stdin.read()))", tmp_path, stdin=b"x" * 3_000_000))
    assert outcome.stdout == "3000000\n"


async def test_a_program_that_reads_no_input_is_fine(tmp_path: Path) -> None:
    assert await run(python("pass", tmp_path, stdin=b"x" * 3_000_000))


async def test_a_program_that_is_not_there_is_an_outcome(tmp_path: Path) -> None:
    outcome = await run(Command(("no-such-program-here",), tmp_path))
    assert outcome.exit_code == 127
    assert "no-such-program-here" in outcome.stderr


async def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    outcome = await run(python("pass", tmp_path / "missing"))
    assert outcome.exit_code == 127
    assert "missing" in outcome.stderr


async def test_output_beyond_the_limit_is_dropped_and_told(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 500_000); sys.stderr.write('y' * 10)"
    outcome = await run(python(code, tmp_path, max_output_bytes=1000))
    assert (outcome.stdout, outcome.stderr, outcome.output_cut) == ("x" * 1000, "y" * 10, True)
    assert outcome


async def test_output_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    outcome = await run(python("import sys; sys.stdout.buffer.write(b'a\\xff\\xfeb')", tmp_path))
    assert outcome.stdout == "a\ufffd\ufffdb"


async def test_lines_of_stderr_are_told_as_they_come_the_last_one_without_end_too(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('one\\ntwo\\n\\nthree'); print('not told')"
    told: list[str] = []
    outcome = await run(python(code, tmp_path), on_line=told.append)
    assert told == ["one", "two", "", "three"]
    assert outcome.stderr == "one\ntwo\n\nthree"


async def test_at_the_deadline_the_whole_family_is_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    outcome = await to_the_deadline(code, tmp_path)
    assert outcome.timed_out
    assert not outcome
    await gone(int(outcome.stdout))


async def test_who_ignores_a_polite_end_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    outcome = await to_the_deadline(code, tmp_path)
    assert (outcome.stdout, outcome.timed_out, outcome.exit_code) == ("ready\n", True, -signal.SIGKILL)


async def test_a_polite_end_is_answered_in_peace(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    outcome = await to_the_deadline(code, tmp_path)
    assert (outcome.stdout, outcome.timed_out, bool(outcome)) == ("ready\nbye\n", True, False)


async def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(sleep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid)"
    )
    outcome = await run(python(code, tmp_path))
    assert outcome
    await gone(int(outcome.stdout))


async def test_who_is_cancelled_leaves_nothing_running(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    task = asyncio.create_task(run(python(code, tmp_path)))
    async with asyncio.timeout(60):
        while not pid_file.exists() or not pid_file.read_text():
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(pid_file.read_text()))


async def test_only_the_descriptors_that_are_handed_over_are_open(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.set_inheritable(reading, True)
        code = f"import os; os.write({writing}, b'hi'); print(sorted(map(int, os.listdir('/proc/self/fd')))[:5])"
        outcome = await run(python(code, tmp_path, pass_fds=(writing,)))
        assert os.read(reading, 2) == b"hi"
        assert str(reading) not in outcome.stdout.strip("[]\n").replace(" ", "").split(",")
    finally:
        os.close(reading)
        os.close(writing)


async def test_many_at_once_do_not_mix(tmp_path: Path) -> None:
    outcomes = await asyncio.gather(*(run(Command(("/bin/echo", str(number)), tmp_path)) for number in range(20)))
    assert [outcome.stdout for outcome in outcomes] == [f"{number}\n" for number in range(20)]
