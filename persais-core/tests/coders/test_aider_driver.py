"""What real aider does in our driver, against a scripted model."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_model import KEY, ScriptedServer, block, fails, says
from starlette.responses import Response

from persais_core.coders.aider import AiderCoder
from persais_core.coders.base import CodeJob

pytestmark = pytest.mark.aider

ECHO = "bot/agents/echo.py"
LOUD = block(ECHO, "    return text\n", "    return text.upper()\n")
NEW_TEST = block("tests/agents/test_echo.py", "", "def test_it() -> None:\n    assert True\n")


def fingerprint(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


async def test_edits_and_creates_files_and_books_what_it_cost(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    before = fingerprint(tree)
    model_server.script(says("<think>" + block(ECHO, "x\n", "y\n") + "</think>" + LOUD + NEW_TEST, cost=0.25))
    result = await aider.run(job())
    assert (result.status, result.detail) == ("edited", "")
    assert result.edited == (ECHO, "tests/agents/test_echo.py")
    assert "text.upper()" in (tree / ECHO).read_text()
    assert (tree / "tests/agents/test_echo.py").read_text().startswith("def test_it()")
    assert (result.tokens_in, result.tokens_out, result.cost, result.requests) == (100, 10, 0.25, 1)
    after = fingerprint(tree)
    assert {name for name in after if after[name] != before.get(name)} == set(result.edited), "left traces"
    body = model_server.bodies[0]
    assert body["model"] == "vendor/scripted-1"
    assert not body.get("stream")
    assert model_server.keys == [f"Bearer {KEY}"]
    shown = "".join(str(message["content"]) for message in body["messages"])
    assert "OTHER = 1" in shown and "Task: make it loud" in shown
    assert "Platform" not in shown
    assert KEY not in repr(result)


async def test_a_reply_with_a_refused_path_is_not_applied_and_goes_back_once(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, tmp_path: Path, model_server: ScriptedServer
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target.py").write_text("SAFE = 1\n")
    (tree / "bot" / "agents" / "link.py").symlink_to(outside / "target.py")
    (tree / "linked").symlink_to(outside)
    wanted = (
        "../escape.py",
        str(outside / "absolute.py"),
        ".git/config",
        ".git",
        "linked/new.py",
        "bot/agents/link.py",
        "bot/agents/other.py",
        "bot/main.py",
    )
    before = fingerprint(tmp_path / "tree") | fingerprint(outside)
    evil = LOUD + "".join(block(path, "", "EVIL = 1\n") for path in wanted)
    model_server.script(says(evil), says(evil), says(LOUD))
    result = await aider.run(job(create=("tests/agents/test_*.py", "bot/agents/*.py", "linked/*.py")))
    assert result.status == "denied"
    assert set(result.denied) == set(wanted)
    assert result.edited == ()
    assert len(model_server.bodies) == 2
    told = str(model_server.bodies[1]["messages"][-1]["content"])
    assert "Nothing of your reply was applied" in told and "- ../escape.py: it is no plain path" in told
    assert fingerprint(tmp_path / "tree") | fingerprint(outside) == before
    assert not (tmp_path / "escape.py").exists()
    assert "part of this change" in result.detail

    model_server.script(says(evil), says(LOUD))
    mended = await aider.run(job())
    assert mended.status == "edited" and mended.edited == (ECHO,) and "../escape.py" in mended.denied


async def test_edits_that_do_not_fit_go_back_three_times_or_until_the_money_is_spent(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    misfit = block(ECHO, "    return nothing_like_it\n", "    return 1\n")
    model_server.script(says(misfit))
    result = await aider.run(job(prices=(0.001, 0.01)))
    assert (result.status, result.requests, len(model_server.bodies)) == ("malformed", 4, 4)
    assert result.cost == pytest.approx(4 * (100 * 0.001 + 10 * 0.01))
    assert result.edited == ()
    assert not (tree / "tests").exists()

    model_server.script(says(misfit, cost=0.3))
    stopped = await aider.run(job(max_cost=0.5))
    assert (stopped.status, stopped.requests) == ("cost_limit", 2)
    assert "cost limit" in stopped.detail


async def test_prose_and_shell_blocks_change_nothing(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    before = fingerprint(tree)
    model_server.script(says("See https://example.com and bot/agents/other.py\n```bash\ntouch pwned\n```\n"))
    result = await aider.run(job())
    assert (result.status, result.requests) == ("no_edits", 1)
    assert "touch pwned" in result.reply
    assert fingerprint(tree) == before


async def test_failures_of_the_model_are_told_apart(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    before = fingerprint(tree)
    model_server.script(fails(401, f"Incorrect API key provided: {KEY}"))
    refused = await aider.run(job())
    assert (refused.status, refused.requests) == ("llm_error", 1)
    assert "refused the key (401)" in refused.detail and KEY not in repr(refused)

    model_server.script(fails(500))
    broken = await aider.run(job())
    assert (broken.status, broken.requests, len(model_server.bodies)) == ("llm_error", 4, 4)
    assert "(500)" in broken.detail

    model_server.script(lambda body: Response("<html>sign in</html>", media_type="text/html"))
    junk = await aider.run(job())
    assert junk.status == "llm_error" and junk.detail

    model_server.script(fails(503), fails(400, "temperature is not supported"), says(LOUD[:90], finish="length"))
    cut = await aider.run(job())
    assert (cut.status, cut.requests) == ("token_limit", 3)
    assert "temperature" not in model_server.bodies[-1]
    assert fingerprint(tree) == before


async def test_a_model_that_hangs_is_stopped_at_the_deadline(
    aider: AiderCoder, job: Callable[..., CodeJob], tree: Path, model_server: ScriptedServer
) -> None:
    before = fingerprint(tree)
    misfit = block(ECHO, "    return nothing_like_it\n", "    return 1\n")
    for seconds in (10, 40, 160):  # on a busy machine it takes longer until the model is asked
        model_server.script(says(misfit, cost=0.5), model_server.hangs())
        result = await aider.run(job(timeout_seconds=float(seconds)))
        if result.requests > 1:
            break
    assert result.status == "timed_out"
    assert (result.requests, result.cost) == (2, 0.5), "what was spent before the kill stays in the books"
    assert f"stopped after {seconds} s" in result.detail
    assert fingerprint(tree) == before
