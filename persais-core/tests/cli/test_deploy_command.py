"""`persais deploy`, with a program in Fly's place that notes what it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from persais_core.cli.new import commit_all
from persais_core.templates import projects

TOKEN = "123:planted-bot-token"
ENV = f"""# mine\r
DATABASE_URL=postgresql://u:p@db/x\r
TELEGRAM_BOT_TOKEN="{TOKEN}"\r
TELEGRAM_WEBHOOK_SECRET='with spaces # and a sign'\r
GIT_REMOTE_URL=https://github.com/ann/my-bot.git\r
export GITHUB_TOKEN=t # a note\r
OPENROUTER_API_KEY=k\r
PORT=4000\r
"""
FLY = """#!/bin/sh
printf '%s\\n' "$*" >> "$NOTES"
case "$*" in
"apps list --json") echo "$APPS" ;;
"apps create"*) [ -z "$TAKEN" ] || { echo "Error: Name has already been taken" >&2; exit 1; } ;;
"secrets import"*) cat >> "$NOTES.secrets" ;;
esac
"""

Deploy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Deploy]:
    """Run the command in a project with that .env; returns what it printed."""
    root = tmp_path / "my-bot"
    root.mkdir()
    projects.render(root, name="my-bot")
    (root / ".env").write_text(ENV, newline="")

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "ok", "commit": commit, "checks": {}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    Thread(target=server.serve_forever, daemon=True).start()
    fly = root / "fly.toml"
    fly.write_text(fly.read_text().replace("https://my-bot.fly.dev", f"http://127.0.0.1:{server.server_port}"))
    commit = commit_all(root, "Start")
    program = tmp_path / "flyctl"
    program.write_text(FLY)
    program.chmod(0o755)

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"NOTES": str(tmp_path / "notes"), "APPS": "[]", "TAKEN": "", **environment}
        return subprocess.run(
            [sys.executable, "-m", "persais_core", "deploy", "--flyctl", str(program), "--root", str(root), *words],
            env=os.environ | given, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip

    yield run
    server.shutdown()
    server.server_close()


def test_a_dry_run_prints_each_command_and_runs_none(deploy: Deploy, tmp_path: Path) -> None:
    done = deploy("--dry-run")
    assert done.returncode == 0, done.stderr
    for words in ("apps create my-bot", "secrets import --stage --app my-bot", "deploy --remote-only", "COMMIT="):
        assert words in done.stdout
    assert not (tmp_path / "notes").exists()
    assert TOKEN not in done.stdout


def test_the_steps_are_run_and_the_secrets_go_over_standard_input(deploy: Deploy, tmp_path: Path) -> None:
    done = deploy()
    assert done.returncode == 0, done.stdout + done.stderr
    ran = (tmp_path / "notes").read_text().splitlines()
    assert [line.split()[:2] for line in ran] == [
        ["auth", "whoami"], ["apps", "list"], ["apps", "create"], ["secrets", "import"], ["deploy", "--remote-only"],
    ]  # fmt: skip
    told = (tmp_path / "notes.secrets").read_text()
    assert f"TELEGRAM_BOT_TOKEN={TOKEN}\n" in told and "GITHUB_TOKEN=t\n" in told
    assert 'TELEGRAM_WEBHOOK_SECRET="with spaces # and a sign"\n' in told and "PORT" not in told
    assert TOKEN not in (tmp_path / "notes").read_text() + done.stdout + done.stderr


def test_an_app_that_is_there_is_not_made_again(deploy: Deploy, tmp_path: Path) -> None:
    assert deploy(APPS='[{"Name": "my-bot"}]').returncode == 0
    assert "apps create" not in (tmp_path / "notes").read_text()


def test_a_name_that_is_taken_is_said_with_what_to_do(deploy: Deploy) -> None:
    done = deploy(TAKEN="1")
    assert done.returncode == 1
    assert "already been taken" in done.stderr and "fly.toml" in done.stderr and "Traceback" not in done.stderr


def test_what_is_missing_is_named_before_anything_is_run(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "my-bot/.env").write_text("TELEGRAM_BOT_TOKEN=x\n")
    done = deploy()
    assert done.returncode == 1 and "DATABASE_URL" in done.stderr and not (tmp_path / "notes").exists()


def test_a_dry_run_shows_the_whole_walk_and_marks_what_is_missing(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "my-bot/.env").unlink()
    done = deploy("--dry-run")
    for words in (
        "apps create my-bot",
        "secrets import",
        "needed and missing: DATABASE_URL, TELEGRAM",
        "--remote-only",
    ):
        assert words in done.stdout
    assert done.returncode == 1 and "lacks DATABASE_URL" in done.stderr and not (tmp_path / "notes").exists()


def test_changes_that_are_not_committed_are_not_deployed(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "my-bot/README.md").write_text("x")
    done = deploy()
    assert done.returncode == 1 and "not committed" in done.stderr and not (tmp_path / "notes").exists()
