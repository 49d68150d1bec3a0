"""A program between the walls that is spoken with: what it is told, what it may not do, and that it is always ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from walled import at_work, ours

from persais_core import errors, processes
from persais_core.security import sandbox
from persais_core.security.sandbox.conversation import ConversationError

HEAD = """
import json, os, socket, subprocess, sys, time
door = socket.socket(fileno=int(os.environ["PERSAIS_DOOR"]))
lines = door.makefile("r")
def hear():
    return json.loads(lines.readline())
def say(**answer):
    door.sendall(json.dumps(answer).encode() + b"\\n")
"""
ECHO = "while True: say(heard=hear())"
SMALL = sandbox.Limits(memory_bytes=96 << 20, processes=8, output_bytes=100_000)


def program(code: str, folder: Path, seconds: float = 120) -> processes.Command:
    return processes.Command(argv=(sys.executable, "-I", "-S", "-c", HEAD + code), cwd=folder, timeout_seconds=seconds)


async def test_every_question_gets_its_answer_in_order(box: sandbox.Sandbox, tmp_path: Path) -> None:
    async with box.converse(program(ECHO, tmp_path), folder=tmp_path) as conversation:
        for number in range(50):
            assert await conversation.ask({"n": number, "text": "é\n"}, timeout=60) == {
                "heard": {"n": number, "text": "é\n"}
            }
        assert not conversation.closed
        assert ours(tmp_path)
    assert conversation.closed
    assert ours(tmp_path) == []


async def test_what_it_remembers_lasts_as_long_as_the_conversation(box: sandbox.Sandbox, tmp_path: Path) -> None:
    code = "kept = []\nwhile True: kept.append(hear()['word']); say(kept=kept)"
    async with box.converse(program(code, tmp_path), folder=tmp_path) as conversation:
        await conversation.ask({"word": "one"}, timeout=60)
        assert await conversation.ask({"word": "two"}, timeout=60) == {"kept": ["one", "two"]}


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("hear(); time.sleep(100)", "did not answer within 0.3 s"),
        ("hear()\nwhile True: pass", "did not answer within 0.3 s"),
        ("time.sleep(100)", "did not answer within 0.3 s"),
        ("hear(); sys.exit('gone for good')", "exit code 1 (gone for good)"),
        ("hear(); os._exit(3)", "exit code 3"),
        ("hear(); os.abort()", "exit code -6"),
        ("hear(); lines.close(); door.close(); time.sleep(100)", "did not answer within 0.3 s"),
        ("hear(); door.sendall(b'half'); os._exit(0)", "exit code 0"),
        ("hear(); door.sendall(b'no json\\n'); time.sleep(100)", "no answer"),
        ("hear(); door.sendall(b'[1]\\n'); time.sleep(100)", "no answer"),
        ("hear(); door.sendall(b'[' * 200000 + b'\\n'); time.sleep(100)", "no answer"),
        ("hear(); door.sendall(b'\\xff\\n'); time.sleep(100)", "no answer"),
        ("hear()\nwhile True: door.sendall(b'x' * 9999)", "more than 256 kB"),
        ("hear(); kept = bytearray(b'x') * (200 << 20); time.sleep(100)", "more than 96 MB of memory"),
        ("hear()\nwhile True: print('x' * 1000)", "printed more than 97 kB"),
    ],
)
async def test_whoever_does_not_answer_as_agreed_is_ended_and_the_cause_named(
    code: str, cause: str, box: sandbox.Sandbox, tmp_path: Path
) -> None:
    seconds = 0.3 if "0.3 s" in cause else 60
    async with box.converse(program(code, tmp_path), folder=tmp_path, limits=SMALL) as conversation:
        with pytest.raises(ConversationError) as caught:
            await conversation.ask({}, timeout=seconds)
        assert cause in str(caught.value)
        assert conversation.closed
        assert ours(tmp_path) == []
        with pytest.raises(ConversationError) as again:
            await conversation.ask({}, timeout=60)
        assert str(again.value) == str(caught.value)
        assert str(await conversation.over()) == str(caught.value)


async def test_its_end_is_noticed_without_a_question(box: sandbox.Sandbox, tmp_path: Path) -> None:
    async with box.converse(program("say(a=1); time.sleep(0.2); os._exit(5)", tmp_path), folder=tmp_path) as talk:
        assert str(await talk.over()) == "it ended with exit code 5"
        assert talk.closed


async def test_time_is_up_for_the_one_that_only_waits(box: sandbox.Sandbox, tmp_path: Path) -> None:
    async with box.converse(program(ECHO, tmp_path, seconds=0.5), folder=tmp_path) as talk:
        assert str(await talk.over()) == "it did not end within 0.5 s"


async def test_all_that_it_started_goes_with_it(box: sandbox.Sandbox, tmp_path: Path) -> None:
    code = "hear()\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nsay(started=True)\nhear()"
    async with box.converse(program(code, tmp_path), folder=tmp_path) as talk:
        assert await talk.ask({}, timeout=60) == {"started": True}
        assert len(ours(tmp_path)) == 2
    assert ours(tmp_path) == []


async def test_a_question_that_is_given_up_ends_it(box: sandbox.Sandbox, tmp_path: Path) -> None:
    async with box.converse(program("hear(); time.sleep(100)", tmp_path), folder=tmp_path) as talk:
        asking = asyncio.create_task(talk.ask({}, timeout=60))
        await at_work(tmp_path)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert talk.closed
    assert ours(tmp_path) == []


async def test_a_question_larger_than_the_pair_holds_does_not_wait_for_ever(
    box: sandbox.Sandbox, tmp_path: Path
) -> None:
    async with box.converse(program("time.sleep(100)", tmp_path), folder=tmp_path) as talk:
        with pytest.raises(ConversationError, match=r"within 0\.3 s"):
            await talk.ask({"text": "x" * 5_000_000}, timeout=0.3)


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "door.connect('/tmp/door')",
        "socket.socket(socket.AF_INET, fileno=os.dup(door.fileno())).connect(('127.0.0.1', 1))",
        "open('/etc/passwd')",
        "open('/tmp/persais-preview', 'w')",
        "os.kill(os.getppid(), 0)",
    ],
)
async def test_the_door_is_the_only_way_out(attempt: str, box: sandbox.Sandbox, tmp_path: Path) -> None:
    code = f"hear()\ntry:\n    {attempt}\n    say(out=True)\nexcept OSError:\n    say(out=False)\nhear()"
    async with box.converse(program(code, tmp_path), folder=tmp_path) as talk:
        assert await talk.ask({}, timeout=60) == {"out": False}


async def test_a_program_that_is_not_there_says_so(box: sandbox.Sandbox, tmp_path: Path) -> None:
    command = processes.Command(argv=("no-such-program",), cwd=tmp_path)
    async with box.converse(command, folder=tmp_path) as talk:
        with pytest.raises(ConversationError, match=r"127 .no-such-program: not found"):
            await talk.ask({}, timeout=60)


async def test_where_the_walls_do_not_hold_nothing_is_run(tmp_path: Path) -> None:
    class Leaky(sandbox.Sandbox):
        async def probe(self) -> sandbox.Isolation:
            return self.judge(["this kernel has no Landlock"])

    async with Leaky(secrets_present=True).converse(program("open('ran', 'w')", tmp_path), folder=tmp_path) as talk:
        with pytest.raises(errors.SandboxError, match="ALLOW_UNSANDBOXED"):
            await talk.ask({}, timeout=60)
    assert not (tmp_path / "ran").exists()
