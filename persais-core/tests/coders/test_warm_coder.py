"""A process that was started before its job: it is used once, it is replaced when it dies, and none is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from scripted_model import KEY, ScriptedServer, block, says

from persais_core import commands
from persais_core.coders.aider import AiderCoder, coder, environment
from persais_core.coders.base import CodeJob

ECHO = "bot/agents/echo.py"
LOUD = block(ECHO, "    return text\n", "    return text.upper()\n")
WORKS = """
touch "$folder/spent.json"
echo '{"status": "edited", "edited": ["bot/agents/echo.py"]}' > "$folder/result.json"
"""


class Shell:
    """A coder whose interpreter is a shell script, which notes each start of it."""

    def __init__(self, folder: Path) -> None:
        self.venv, self._starts, self._waits = folder / "venv", folder / "starts", folder / "waits"
        python = environment.python_of(self.venv)
        python.parent.mkdir(parents=True)
        stamp = hashlib.sha256(environment.requirements((3, 12)).encode()).hexdigest()
        (self.venv / environment.STAMP).write_text(stamp)
        self.answers(WORKS)

    def answers(self, script: str, *, before: str = "") -> None:
        """What it does with its job, whose folder is `$folder`; and before it has one."""
        python = environment.python_of(self.venv)
        python.unlink(missing_ok=True)  # a shell that runs reads on in its file
        python.write_text(
            f'#!/bin/sh\n{before}\necho "$$ $HOME" >> {self._starts}\n'
            f"""IFS= read -r job\n[ -n "$job" ] || exit 0\n"""
            f"""folder=$(printf %s "$job" | sed 's/.*"result": "\\([^"]*\\)\\/result.json".*/\\1/')\n{script}"""
        )
        python.chmod(0o755)

    def starts(self) -> list[tuple[int, str]]:
        """Number and home of each process so far."""
        lines = self._starts.read_text().splitlines() if self._starts.exists() else []
        return [(int(pid), home) for pid, home in (line.split() for line in lines)]

    async def started(self, count: int) -> tuple[int, str]:
        """The last process, once there were that many."""
        await until(lambda: len(self.starts()) >= count)
        return self.starts()[count - 1]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
async def warm(shell: Shell) -> AsyncIterator[AiderCoder]:
    made = AiderCoder(shell.venv)
    yield made
    await made.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_job_takes_the_process_that_waits(warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]) -> None:
    await warm.warm()
    await shell.started(1)
    assert (await warm.run(job())).status == "edited"
    assert len(shell.starts()) == 1


async def test_at_most_one_waits(warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]) -> None:
    await asyncio.gather(*(warm.warm() for _ in range(5)))
    await warm.warm()
    await shell.started(1)
    await warm.run(job())
    assert len(shell.starts()) == 1


async def test_two_jobs_never_share_a_process_or_a_home(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]
) -> None:
    for _ in range(2):
        await warm.warm()
        await warm.run(job())
    await warm.run(job())
    pids, homes = zip(*shell.starts(), strict=True)
    assert len(set(pids)) == len(set(homes)) == 3
    assert not any(map(is_alive, pids))


async def test_jobs_at_the_same_time_share_nothing_either(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]
) -> None:
    await warm.warm()
    results = await asyncio.gather(*(warm.run(job()) for _ in range(3)))
    assert [result.status for result in results] == ["edited"] * 3
    assert len({pid for pid, _ in shell.starts()}) == 3


async def test_the_home_is_private_and_gone_after_the_job(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob], tmp_path: Path
) -> None:
    await warm.warm()
    _, home = await shell.started(1)
    assert Path(home).stat().st_mode & 0o777 == 0o700
    assert not Path(home).is_relative_to(tmp_path / "tree")
    await warm.run(job())
    assert not Path(home).exists()


async def test_nobody_waits_for_ever(shell: Shell) -> None:
    coder = AiderCoder(shell.venv, patience_seconds=0.2)
    shell.answers(WORKS, before="sleep 300 & sleeping=$!")
    await coder.warm()
    pid, home = await shell.started(1)
    await until(lambda: not is_alive(pid) and not Path(home).exists())
    await coder.warm()
    assert (await shell.started(2))[0] != pid
    await coder.close()


async def test_one_that_was_killed_is_replaced(warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]) -> None:
    await warm.warm()
    pid, _ = await shell.started(1)
    os.kill(pid, signal.SIGKILL)  # the job comes before anybody has noticed
    assert (await warm.run(job())).status == "edited"
    assert len(shell.starts()) == 2
    await warm.warm()
    pid, home = await shell.started(3)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not Path(home).exists())
    await warm.warm()
    await shell.started(4)
    assert (await warm.run(job())).status == "edited"
    assert len(shell.starts()) == 4


async def test_one_that_dies_of_its_job_is_replaced_only_if_it_had_not_begun(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]
) -> None:
    shell.answers("exit 1")
    await warm.warm()
    await shell.started(1)
    shell.answers(WORKS)
    assert (await warm.run(job())).status == "edited"
    assert len(shell.starts()) == 2
    shell.answers('touch "$folder/spent.json"; kill -9 $$')
    await warm.warm()
    await shell.started(3)
    shell.answers(WORKS)
    assert (await warm.run(job())).status == "crashed", "its edits may be half done, and its calls are paid for"
    assert len(shell.starts()) == 3


async def test_the_deadline_holds_for_one_that_waited(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]
) -> None:
    shell.answers("sleep 300")
    await warm.warm()
    pid, _ = await shell.started(1)
    assert (await warm.run(job(timeout_seconds=0.3))).status == "timed_out"
    assert not is_alive(pid)
    assert len(shell.starts()) == 1


async def test_a_cancelled_job_ends_the_process_it_took(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob], tmp_path: Path
) -> None:
    shell.answers(f"touch {tmp_path}/begun; sleep 300")
    await warm.warm()
    pid, home = await shell.started(1)
    running = asyncio.create_task(warm.run(job()))
    await until((tmp_path / "begun").exists)
    running.cancel()
    await asyncio.wait([running])
    await until(lambda: not is_alive(pid))
    assert not Path(home).exists()


async def test_closing_ends_it_with_its_group(warm: AiderCoder, shell: Shell, tmp_path: Path) -> None:
    shell.answers(WORKS, before=f"sleep 300 & echo $! > {tmp_path}/child")
    await warm.warm()
    pid, home = await shell.started(1)
    child = int((tmp_path / "child").read_text())
    await warm.close()
    await until(lambda: not is_alive(pid) and not is_alive(child))
    assert not Path(home).exists()
    await warm.close()


async def test_what_waits_holds_no_key(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    await warm.warm()
    pid, _ = await shell.started(1)
    for name in ("environ", "cmdline"):
        assert KEY.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert (await warm.run(job())).status == "edited"


async def test_where_aider_is_not_installed_nothing_is_started(tmp_path: Path, shell: Shell) -> None:
    await AiderCoder(tmp_path / "none").warm()
    (shell.venv / environment.STAMP).write_text("of an older list")
    await AiderCoder(shell.venv).warm()
    environment.python_of(shell.venv).unlink()
    await AiderCoder(shell.venv).warm()
    assert shell.starts() == []


async def test_one_that_cannot_be_started_is_nobodys_failure(
    warm: AiderCoder, shell: Shell, job: Callable[..., CodeJob]
) -> None:
    python = environment.python_of(shell.venv)
    python.chmod(0o644)
    await warm.warm()
    python.chmod(0o755)
    assert (await warm.run(job())).status == "edited"


@pytest.mark.aider
async def test_aider_itself_waits_and_then_edits(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    model_server.script(says(LOUD))
    await aider.warm()
    result = await aider.run(job())
    assert (result.status, result.edited, result.requests) == ("edited", (ECHO,), 1)
    assert "text.upper()" in (tree / ECHO).read_text()
    assert model_server.keys == [f"Bearer {KEY}"]


@pytest.mark.aider
async def test_a_proxy_that_the_job_needs_is_used_by_a_process_that_waited(
    aider: AiderCoder, job: Callable[..., CodeJob], model_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_server.script(says(LOUD))
    await aider.warm()
    monkeypatch.setenv("HTTP_PROXY", model_server.url.removesuffix("/v1"))
    result = await aider.run(job(base_url="http://models.invalid/v1"))
    # The scripted server is asked as a proxy, which it is not: its 404 shows who was spoken to.
    assert "(404)" in result.detail


@pytest.fixture
def driver(aider: AiderCoder, tmp_path: Path) -> commands.Command:
    """The real driver by itself."""
    argv = (str(environment.python_of(aider.venv)), "-I", str(coder.DRIVER))
    home = tmp_path / "home"
    home.mkdir()
    return commands.Command(argv, cwd=home, env={"PATH": "/usr/bin:/bin", "HOME": str(home)})


@pytest.mark.aider
async def test_a_driver_without_a_job_ends_in_peace(driver: commands.Command) -> None:
    outcome = await commands.run(driver)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert not driver.cwd.exists()


@pytest.mark.aider
async def test_a_driver_ends_when_its_parent_is_gone(driver: commands.Command) -> None:
    starter = f"import subprocess, time; print(subprocess.Popen({driver.argv!r}).pid, flush=True); time.sleep(300)"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", starter,
        stdin=asyncio.subprocess.PIPE,  # stays open: the end of the input is not what ends the driver
        stdout=asyncio.subprocess.PIPE,
        cwd=driver.cwd,
        env=dict(driver.env),
    )  # fmt: skip
    assert parent.stdin and parent.stdout
    pid = int(await parent.stdout.readline())
    await until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) > 1)  # it looks after its parent by now
    parent.kill()
    await until(lambda: not is_alive(pid))
    assert not driver.cwd.exists()
    parent.stdin.close()
    await parent.wait()
