"""A process that was started before its job: it is used once, it is replaced when it dies, and none is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from scripted_model import KEY, ScriptedServer, block, says
from stand_in_driver import StandIn, until

from persais_core.coders.aider import AiderCoder, cage, coder, environment
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.security.sandbox import Sandbox

Job = Callable[..., CodeJob]
ECHO = "bot/agents/echo.py"
LOUD = block(ECHO, "    return text\n", "    return text.upper()\n")
WORKS = f"""
told = job()
tree = lay_out(told)
(tree / {ECHO!r}).write_text(f"LOUD = {{time.time_ns()}}\\n")
tell(reply=json.dumps([os.getpid(), os.environ["HOME"], told["token"]]))
"""


@pytest.fixture
async def warm(stand_in: StandIn) -> AsyncIterator[AiderCoder]:
    made = stand_in.coder(WORKS)
    yield made
    await made.close()
    assert stand_in.alive() == []
    assert left() == []


def left() -> list[Path]:
    """Folders of cages of this process."""
    return list(Path(tempfile.gettempdir()).glob(f"persais-coder-{os.getpid()}-*"))


def who(result: CodeResult) -> list[object]:
    assert result.status == "edited", result.detail
    found: list[object] = json.loads(result.reply)
    return found


async def test_a_job_takes_the_process_that_waits(warm: AiderCoder, stand_in: StandIn, job: Job, tree: Path) -> None:
    await warm.warm()
    pid = await stand_in.waits()
    stand_in.does("raise SystemExit('a second process')")
    assert who(await warm.run(job()))[0] == pid
    assert (tree / ECHO).read_text().startswith("LOUD = ")


async def test_at_most_one_waits(warm: AiderCoder, stand_in: StandIn) -> None:
    await asyncio.gather(*(warm.warm() for _ in range(5)))
    await warm.warm()
    await stand_in.waits()
    assert len(left()) == 1


async def test_jobs_never_share_a_process_a_home_or_a_token(warm: AiderCoder, stand_in: StandIn, job: Job) -> None:
    answers = []
    for _ in range(2):
        await warm.warm()
        answers.append(who(await warm.run(job())))
    await warm.warm()
    answers += [who(result) for result in await asyncio.gather(*(warm.run(job()) for _ in range(2)))]
    for kind in zip(*answers, strict=True):
        assert len(set(kind)) == 4


async def test_the_folder_is_private_and_gone_after_the_job(warm: AiderCoder, stand_in: StandIn, job: Job) -> None:
    await warm.warm()
    [folder] = left()
    assert folder.stat().st_mode & 0o777 == 0o700
    await warm.run(job())
    assert not folder.exists()


async def test_nobody_waits_for_ever(stand_in: StandIn) -> None:
    made = stand_in.coder(WORKS, patience_seconds=0.2)
    await made.warm()
    await until(lambda: stand_in.alive() == [] and left() == [])
    await made.warm()
    assert len(left()) == 1
    await made.close()
    assert left() == []


async def test_one_that_was_killed_is_replaced(warm: AiderCoder, stand_in: StandIn, job: Job) -> None:
    await warm.warm()
    pid = await stand_in.waits()
    os.kill(pid, signal.SIGKILL)  # the job comes before anybody has noticed
    assert who(await warm.run(job()))[0] != pid
    await warm.warm()
    os.kill(await stand_in.waits(), signal.SIGKILL)
    await until(lambda: left() == [])
    await warm.warm()
    pid = await stand_in.waits()
    assert who(await warm.run(job()))[0] == pid


async def test_one_that_dies_of_its_job_is_replaced_only_if_it_had_made_no_call(
    warm: AiderCoder, stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(says("hello"))
    stand_in.does("job(); sys.exit(1)")
    await warm.warm()
    await stand_in.waits()
    stand_in.does(WORKS)
    assert (await warm.run(job())).status == "edited"
    stand_in.does("ask(job()); sys.exit(1)")
    await warm.warm()
    await stand_in.waits()
    stand_in.does(WORKS)
    result = await warm.run(job())
    assert (result.status, result.requests) == ("crashed", 1), "its call is paid for; whoever asked may ask again"


async def test_the_deadline_holds_for_one_that_waited(warm: AiderCoder, stand_in: StandIn, job: Job) -> None:
    stand_in.does("job(); time.sleep(300)")
    await warm.warm()
    await stand_in.waits()
    assert (await warm.run(job(timeout_seconds=0.3))).status == "timed_out"
    assert stand_in.alive() == []


async def test_a_cancelled_job_ends_the_process_and_its_call(
    warm: AiderCoder, stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(model_server.hangs())
    stand_in.does("ask(job())")
    await warm.warm()
    running = asyncio.create_task(warm.run(job()))
    await until(lambda: bool(model_server.bodies))
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert stand_in.alive() == [] and left() == []


async def test_what_waits_holds_no_key(warm: AiderCoder, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    await warm.warm()
    pid = await stand_in.waits()
    for name in ("environ", "cmdline"):
        assert KEY.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


async def test_where_aider_is_not_installed_nothing_is_started(tmp_path: Path, stand_in: StandIn) -> None:
    await AiderCoder(tmp_path / "none").warm()
    made = stand_in.coder(WORKS)
    (stand_in.venv / environment.STAMP).write_text("of an older list")
    await made.warm()
    assert left() == []


async def test_the_folders_of_a_bot_that_was_killed_are_cleared_away(stand_in: StandIn, job: Job) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    old = Path(tempfile.mkdtemp(prefix=f"persais-coder-{gone.pid}-"))
    await stand_in.coder(WORKS).run(job())
    assert not old.exists()


@pytest.mark.aider
async def test_aider_itself_waits_and_then_edits(
    aider: AiderCoder, job: Job, tree: Path, model_server: ScriptedServer
) -> None:
    model_server.script(says(LOUD))
    await aider.warm()
    result = await aider.run(job())
    assert (result.status, result.edited, result.requests) == ("edited", (ECHO,), 1)
    assert "text.upper()" in (tree / ECHO).read_text()
    assert model_server.keys == [f"Bearer {KEY}"]


async def test_a_proxy_on_the_way_to_the_model_is_used_by_the_gateway(
    stand_in: StandIn, job: Job, model_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", model_server.url.removesuffix("/v1"))
    made = stand_in.coder("told = job(); tell('llm_error', failure={'code': ask(told)[0]})")
    # The scripted server is asked as a proxy, which it is not: its 404 shows who was spoken to.
    assert "(404)" in (await made.run(job(base_url="http://models.invalid/v1"))).detail
    assert "could not be reached" in (await made.run(job(base_url="http://127.0.0.1:9/v1"))).detail


@pytest.mark.aider
async def test_our_driver_ends_when_its_watcher_is_gone(aider: AiderCoder, box: Sandbox) -> None:
    async with cage.locked_in(box, aider.venv, coder.DRIVER) as place:
        await until(lambda: bool(drivers(place.folder)))
        [pid] = drivers(place.folder)
        await until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) > 1)  # it looks after its watcher by now
        watcher = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        os.kill(int(watcher), signal.SIGKILL)
        await until(lambda: drivers(place.folder) == [])


def drivers(folder: Path) -> list[int]:
    """Processes of our driver that work in a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            is_driver = str(coder.DRIVER).encode() in (link.parent / "cmdline").read_bytes()
            if is_driver and link.readlink() == folder:
                found.append(int(link.parent.name))
        except OSError:
            continue  # it has just ended
    return found
