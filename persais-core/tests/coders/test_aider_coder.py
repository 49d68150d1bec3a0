"""How a run is started and its remains are read; aider's interpreter is a small shell script here."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_model import KEY

from persais_core import errors
from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob, CodeResult


@pytest.fixture
def run(tmp_path: Path, job: Callable[..., CodeJob]) -> Callable[..., object]:
    """Run a job with an interpreter that is this shell script."""

    async def with_script(script: str, **changes: object) -> CodeResult:
        python = tmp_path / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text("#!/bin/sh\n" + script)
        python.chmod(0o755)
        return await AiderCoder(tmp_path / "venv").run(job(**changes))

    return with_script


def result_of(**values: object) -> str:
    return f"""cat > /dev/null; cat > ../result.json <<'END'\n{json.dumps(values)}\nEND\n"""


async def test_a_driver_that_is_killed_is_a_crash(run: Callable[..., object]) -> None:
    result = await run("kill -9 $$")
    assert (result.status, result.edited) == ("crashed", ())


async def test_a_crash_tells_the_last_line_and_never_the_key(run: Callable[..., object]) -> None:
    result = await run(f"cat > /dev/null; echo first >&2; echo 'KeyError: {KEY}' >&2; exit 70")
    assert result.status == "crashed"
    assert "KeyError: ***" in result.detail and KEY not in repr(result)


async def test_exit_zero_without_a_whole_result_is_a_crash(run: Callable[..., object]) -> None:
    assert (await run("cat > /dev/null; exit 0")).status == "crashed"
    assert (await run('cat > /dev/null; printf \'{"status": "edi\' > ../result.json; exit 0')).status == "crashed"


async def test_the_deadline_ends_grandchildren_too(run: Callable[..., object], tmp_path: Path) -> None:
    result = await run(f"sleep 300 & echo $! > {tmp_path}/pid; sleep 300", timeout_seconds=0.5)
    assert result.status == "timed_out"
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    # The signal is sent by then; the kernel may take a moment to carry it out.
    while state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z":  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_the_key_goes_over_standard_input_only(
    run: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIDER_TEST_CMD", "touch never")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    script = f'echo "$@" > {tmp_path}/argv; env > {tmp_path}/env; cat > {tmp_path}/stdin; '
    await run(script)
    assert KEY in (tmp_path / "stdin").read_text()
    assert KEY not in (tmp_path / "argv").read_text() + (tmp_path / "env").read_text()
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert "AIDER_TEST_CMD" not in env
    assert "HTTPS_PROXY" not in env, "a model on loopback is not behind a proxy"
    assert Path(env["HOME"]).is_relative_to(tmp_path / "scratch")
    await run(script, base_url="https://models.example/v1")
    assert "HTTPS_PROXY=http://127.0.0.1:9" in (tmp_path / "env").read_text()


async def test_two_runs_have_homes_of_their_own(run: Callable[..., object], tmp_path: Path) -> None:
    for _ in range(2):
        await run(f"cat > /dev/null; echo $HOME >> {tmp_path}/homes")
    first, second = (tmp_path / "homes").read_text().split()
    assert first != second


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"code": 401}, "check OPENROUTER_API_KEY or LLM_API_KEY"),
        ({"code": 402}, "no credit left"),
        ({"code": 404}, "does not know vendor/scripted-1"),
        ({"code": 429}, "try again later"),
        ({"code": 502}, "failed again and again (502)"),
        ({"code": 400, "text": "no\n such  thing"}, "refused the request (400): no such thing"),
        ({"code": None, "type": "Timeout"}, "could not be reached or did not answer (Timeout)"),
    ],
)
async def test_each_failure_of_the_model_says_what_to_do(
    run: Callable[..., object], failure: dict[str, object], words: str
) -> None:
    result = await run(result_of(status="llm_error", failure=failure))
    assert result.status == "llm_error" and words in result.detail


async def test_nothing_starts_without_aider_or_with_scratch_in_the_tree(
    tmp_path: Path, job: Callable[..., CodeJob], tree: Path, run: Callable[..., object]
) -> None:
    with pytest.raises(errors.CoderError, match="not installed"):
        await AiderCoder(tmp_path / "none").run(job())
    with pytest.raises(errors.CoderError, match="inside the tree"):
        await run("exit 0", scratch=tree / "bot")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.py", "a/../../x.py", "a//b.py", "./a.py", "."])
def test_a_job_names_only_plain_paths(path: str, job: Callable[..., CodeJob]) -> None:
    for field in ("edit", "create", "read"):
        with pytest.raises(ValueError, match="plain path inside the tree"):
            job(**{field: (path,)})


def test_a_job_does_not_show_its_key(job: Callable[..., CodeJob]) -> None:
    assert KEY not in repr(job()) + str(job())
