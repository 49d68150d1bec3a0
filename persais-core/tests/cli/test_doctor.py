"""`persais doctor`, against stand-ins that are well and stand-ins that are not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from github_standin import TOKEN as GITHUB_TOKEN
from github_standin import GitHubStandIn
from local_telegram import TOKEN as BOT_TOKEN
from persais_core.cli.new import commit_all
from persais_core.templates import projects
from scripted_openai import KEY, ScriptedOpenAI, fails, says

Doctor = Callable[..., Awaitable[tuple[int, dict[str, tuple[str, str, str]]]]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my-bot"
    root.mkdir()
    projects.render(root, name="my-bot")
    commit_all(root, "Start")
    return root


async def asked(folder: Path, home: Path) -> tuple[int, str, str]:
    """Ask the doctor in a folder; its exit code and both of its outputs."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "persais_core", "doctor", "--json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PERSAIS_HOME": str(home), "PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def doctor(project: Path, tmp_path: Path) -> Doctor:
    """Run it with settings; returns its exit code and its findings by what was looked at."""

    async def run(**given: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
        (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        (project / ".env").chmod(0o600)
        code, out, err = await asked(project, tmp_path / "home")
        assert "Traceback" not in err and out, err
        for secret in (BOT_TOKEN, GITHUB_TOKEN, KEY):
            assert secret not in out + err
        return code, {f["what"]: (f["verdict"], f["says"], f["do"]) for f in json.loads(out)}

    return run


async def test_a_newcomer_without_any_setting_has_nothing_to_do(doctor: Doctor) -> None:
    code, found = await doctor()
    assert code == 0
    assert found["Database"][0] == found["Telegram"][0] == found["Model"][0] == found["Repository"][0] == "well"
    assert "the first start makes" in found["Database"][1]


async def test_without_a_project_or_usable_settings_that_is_the_finding(tmp_path: Path, project: Path) -> None:
    code, out, _ = await asked(tmp_path, tmp_path / "home")
    (finding,) = json.loads(out)
    assert (code, finding["what"], "persais new my-bot" in finding["says"]) == (1, "Project", True)
    (project / ".env").write_text("CODER_TIMEOUT=soon\n")
    code, out, _ = await asked(project, tmp_path / "home")
    (finding,) = json.loads(out)
    assert (code, finding["what"], "CODER_TIMEOUT=soon" in finding["says"]) == (1, "Settings", True)


async def test_only_addresses_that_somebody_set_are_to_be_checked(doctor: Doctor) -> None:
    given = {"LLM_BASE_URL": "http://127.0.0.1:1/v1", "DEFAULT_MODEL": "m"}
    _, found = await doctor(**given, DATABASE_URL="postgresql://nobody:x@127.0.0.1:1/none")
    assert "LLM_BASE_URL" in found["Model m"][2]
    assert "Connection refused" in found["Database"][1] and "DATABASE_DIRECT_URL" not in found["Database"][2]


async def test_all_that_is_set_and_well_is_said_to_be(
    doctor: Doctor, telegram_url: str, openai_server: ScriptedOpenAI, core_url: str, tmp_path: Path, project: Path
) -> None:
    openai_server.script(says("OK"))
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        await asyncio.to_thread(
            subprocess.run, ["git", "-C", str(project), "push", "-q", str(hub.path), "HEAD:main"], check=True
        )
        code, found = await doctor(
            TELEGRAM_BOT_TOKEN=BOT_TOKEN,
            TELEGRAM_API_URL=telegram_url,
            LLM_BASE_URL=openai_server.url,
            LLM_API_KEY=KEY,
            DEFAULT_MODEL="good-model",
            DATABASE_URL=core_url,
            GIT_REMOTE_URL=hub.git_url,
            GITHUB_TOKEN=GITHUB_TOKEN,
            GITHUB_API_URL=hub.url,
            ADMIN_USER_IDS="42",
        )
    assert {what: finding[0] for what, finding in found.items() if finding[0] == "ill"} == {}
    assert code == 0
    for what in (
        "Database",
        "pgvector",
        "Telegram",
        "Updates",
        "Model good-model",
        "Remote",
        "GitHub",
        "Who may deploy",
    ):
        assert found[what][0] == "well", (what, found[what])
    assert "42" in found["Who may deploy"][1]


async def test_what_is_wrong_is_named_with_what_to_do(
    doctor: Doctor, telegram_url: str, openai_server: ScriptedOpenAI, tmp_path: Path
) -> None:
    openai_server.script(fails(401))
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        code, found = await doctor(
            TELEGRAM_BOT_TOKEN="1:wrong",
            TELEGRAM_API_URL=telegram_url,
            LLM_BASE_URL=openai_server.url,
            LLM_API_KEY=KEY,
            DEFAULT_MODEL="some-model",
            DATABASE_URL="postgresql://nobody:x@127.0.0.1:1/none",
            GIT_REMOTE_URL=hub.git_url,
            GITHUB_TOKEN="wrong-token",
            GITHUB_API_URL=hub.url,
            TELEGRAM_TOKEN="typo",
        )
    assert code == 1
    expected = {
        "Telegram": "@BotFather",
        "Model some-model": "LLM_API_KEY",
        "Database": "DATABASE_URL",
        "Remote": "GITHUB_TOKEN",
        "GitHub": "GITHUB_TOKEN",
        "Settings": "TELEGRAM_BOT_TOKEN",
        "Who may deploy": "/claim",
    }
    for what, words in expected.items():
        assert found[what][0] != "well" and words in found[what][2], (what, found[what])


async def test_a_key_that_can_be_none_breaks_one_examination_and_no_other(doctor: Doctor) -> None:
    code, found = await doctor(LLM_BASE_URL="http://127.0.0.1:1/v1", LLM_API_KEY="ключ-от-модели")
    assert code == 1
    assert found["Model"] == (
        "ill",
        "could not be examined (UnicodeEncodeError)",
        "see that its settings are written exactly as their service gives them",
    )
    assert {"Python", "Disk", "Telegram"} <= set(found)


async def test_an_ssh_remote_is_refused_with_the_https_form(doctor: Doctor) -> None:
    _, found = await doctor(GIT_REMOTE_URL="git@github.com:ann/my-bot.git", GITHUB_TOKEN=GITHUB_TOKEN)
    assert found["Remote"][0] == "ill" and "https://github.com/ann/my-bot.git" in found["Remote"][2]
