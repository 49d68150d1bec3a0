"""How a run is started, locked in, and read; the driver is one of a few lines."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_model import KEY
from stand_in_driver import StandIn

from persais_core import errors, texts
from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob
from persais_core.security.sandbox import Sandbox

Job = Callable[..., CodeJob]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("job(); os.kill(os.getpid(), 9)", "exit code -9"),
        ("job(); print('first\\nlast', file=sys.stderr); sys.exit(70)", "exit code 70 (last)"),
        ("job(); sys.exit(0)", "exit code 0"),
        ('job(); door.sendall(b\'{"status": "edi\')', "exit code 0"),
        ("job(); door.sendall(b'[]\\n'); time.sleep(300)", "no answer"),
        ("job(); tell('splendid'); time.sleep(300)", "a result that is none"),
        ("job(); tell(status=['edited']); time.sleep(300)", "a result that is none"),
    ],
)
async def test_without_a_whole_result_it_is_a_crash(code: str, words: str, stand_in: StandIn, job: Job) -> None:
    result = await stand_in.coder(code).run(job())
    assert (result.status, result.edited) == ("crashed", ())
    assert words in result.detail
    assert stand_in.alive() == []


async def test_the_deadline_ends_all_that_was_started(stand_in: StandIn, job: Job) -> None:
    code = """
    job()
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(300)", __file__])
    time.sleep(300)
    """
    result = await stand_in.coder(code).run(job(timeout_seconds=0.7))
    assert result.status == "timed_out" and "stopped after 1 s" in result.detail
    assert stand_in.alive() == []


async def test_nothing_of_ours_comes_with_a_process(
    stand_in: StandIn, job: Job, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AIDER_TEST_CMD", "touch x"), ("HTTPS_PROXY", "http://x"), ("OPENROUTER_API_KEY", KEY)):
        monkeypatch.setenv(name, value)
    code = "told = job(); tell('no_edits', reply=json.dumps([dict(os.environ), sys.argv, os.getcwd(), told]))"
    result = await stand_in.coder(code).run(job())
    environment, _, folder, told = json.loads(result.reply)
    assert KEY not in result.reply and KEY not in repr(result)
    assert not {"AIDER_TEST_CMD", "HTTPS_PROXY"} & set(environment)
    assert Path(environment["HOME"]).is_relative_to(folder)
    assert set(told["files"]) == {"bot/agents/echo.py", "bot/agents/other.py"}
    assert not Path(folder).exists()
    assert str(tree) not in result.reply, "not even where the real tree lies"


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"code": 401}, "check LLM_API_KEY"),
        ({"code": 402}, "no credit left"),
        ({"code": 404}, "does not know vendor/scripted-1"),
        ({"code": 429}, "try again later"),
        ({"code": 502}, "failed again and again (502)"),
        ({"code": 400, "text": "no\n such  thing"}, "refused the request (400): no such thing"),
        ({"code": None, "type": "Timeout"}, "could not be reached or did not answer (Timeout)"),
        ("nonsense", "could not be reached or did not answer"),
    ],
)
async def test_each_failure_of_the_model_says_what_to_do(
    stand_in: StandIn, job: Job, failure: object, words: str
) -> None:
    result = await stand_in.coder(f"job(); tell('llm_error', failure={failure!r})").run(job())
    assert result.status == "llm_error" and words in result.detail
    spoken = texts.say("ru", f"error-{result.key}", **result.values)
    assert re.search("[а-яё]{4}", spoken) and all(value in spoken for value in result.values.values())


async def test_nothing_starts_without_aider_or_with_scratch_in_the_tree(
    tmp_path: Path, job: Job, tree: Path, stand_in: StandIn
) -> None:
    with pytest.raises(errors.CoderError, match="not installed"):
        await AiderCoder(tmp_path / "none").run(job())
    with pytest.raises(errors.CoderError, match="inside the tree"):
        await stand_in.coder().run(job(scratch=tree / "bot"))


async def test_where_walls_do_not_hold_and_there_are_secrets_nothing_is_run(stand_in: StandIn, job: Job) -> None:
    stand_in.box = Sandbox(secrets_present=True, readable=(Path("/"),))  # so the canary gets out
    coder = stand_in.coder("job(); tell()")
    await coder.warm()
    with pytest.raises(errors.SandboxError, match="ALLOW_UNSANDBOXED=1"):
        await coder.run(job())


async def test_where_walls_do_not_hold_and_nothing_is_secret_it_runs_with_limits(stand_in: StandIn, job: Job) -> None:
    stand_in.box = Sandbox(secrets_present=False, readable=(Path("/"),))
    code = "told = job(); (lay_out(told) / told['edit'][0]).write_text('DONE = 1'); tell()"
    assert (await stand_in.coder(code).run(job())).status == "edited"


async def test_files_that_cannot_be_given_are_named_and_nothing_is_started(
    stand_in: StandIn, job: Job, tree: Path, tmp_path: Path
) -> None:
    (tree / "bot" / "latin.py").write_bytes(b"NAME = '\xe9'\n")
    (tree / "bot" / "large.py").write_bytes(b"#" * (2 << 20))
    (tmp_path / "secret.txt").write_text("secret")
    (tree / "bot" / "link.py").symlink_to(tmp_path / "secret.txt")
    coder = stand_in.coder("raise SystemExit")
    for changes, problem in (
        ({"edit": ("bot/latin.py",)}, "bot/latin.py cannot be edited: it cannot be read as UTF-8"),
        ({"edit": ("bot/gone.py",)}, "bot/gone.py cannot be edited: there is no such file"),
        ({"edit": ("bot/large.py",)}, "larger than 1 MB"),
        ({"edit": ("bot/link.py",)}, "symbolic link"),
        ({"read": ("bot/link.py",)}, "bot/link.py cannot be shown"),
    ):
        result = await coder.run(job(**changes))
        assert (result.status, result.requests) == ("apply_error", 0)
        assert problem in result.detail


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.py", "a/../../x.py", "a//b.py", "./a.py", ".", ".env", ".git/config", "a/.aider.conf.yml"],
)
def test_a_job_names_only_plain_paths(path: str, job: Job) -> None:
    for field in ("edit", "create", "read"):
        with pytest.raises(ValueError, match="plain path inside the tree"):
            job(**{field: (path,)})


def test_a_job_does_not_show_its_key(job: Job) -> None:
    assert KEY not in repr(job()) + str(job())
