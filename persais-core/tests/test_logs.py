"""The log of a serving process: one JSON object a line, with what it is about and without secrets."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, sys, structlog
from persais_core import logs
from persais_core.security.redact import Redactor
logs.configure(Redactor(["s3cret-of-ours"]), human="human" in sys.argv)
with structlog.contextvars.bound_contextvars(turn=5, chat=7):
    structlog.get_logger("x").warning("it failed", cause="with s3cret-of-ours", agent="эхо")
    logging.getLogger("library").warning("a line of %s", "s3cret-of-ours")
try:
    raise ValueError("no")
except ValueError:
    structlog.get_logger("x").exception("it broke")
"""


def printed(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert "s3cret-of-ours" not in done.stdout + done.stderr
    return done.stdout


def test_each_line_is_an_object_that_names_what_it_is_about() -> None:
    ours, library, broke = (json.loads(line) for line in printed().splitlines())
    assert (ours["event"], ours["level"], ours["agent"]) == ("it failed", "warning", "эхо")
    assert ours["turn"] == library["turn"] == 5
    assert ours["chat"] == library["chat"] == 7
    assert "ValueError: no" in broke["exception"]
    assert "turn" not in broke


def test_at_a_terminal_the_lines_are_for_people() -> None:
    lines = printed("human").splitlines()
    assert "it failed" in lines[0]
    assert not lines[0].startswith("{")
