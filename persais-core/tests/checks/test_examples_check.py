"""The owner's examples, tried in the sandbox: what holds, what is broken, how it is said, and what cannot be forged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import candidates
import pytest

from persais_core import checks
from persais_core.checks import base, examples, paths
from persais_core.security import sandbox

AGENT, KEPT = "bot/agents/echo.py", "tests/examples/echo.yaml"
ECHO = '''"""Echo: repeats."""

from persais_core import Agent, Context, Message


class Echo(Agent):
    """Repeats."""

    name = "echo"

    async def reply(self, message: Message, context: Context) -> str:
        """Answer one message."""
        return "Echo: " + message.text
'''
PROMPT = ECHO[: ECHO.index("    async def")].replace("echo", "poet").replace("Echo", "Poet") + (
    '    prompt = "You write poems."\n'
)
HELLO = "agent: echo\nexamples:\n  - say: Hello World\n    expect: 'Echo: Hello World'\n"
RETURN = 'return "Echo: " + message.text'

Make = Callable[..., base.Subject]


@pytest.fixture
def make(tmp_path: Path, box: sandbox.Sandbox) -> Make:
    """A project in which some files were written by a change, and others stood there before."""

    def build(written: Mapping[str, str], *, extra: Mapping[str, str] | None = None) -> base.Subject:
        ours = {path: text for path, text in written.items() if path.endswith(".yaml")}
        subject = candidates.candidate(tmp_path, box, written, extra=extra, examples=ours)
        subject.scratch.mkdir(mode=0o711, exist_ok=True)
        return subject

    return build


def answering(expression: str) -> str:
    return ECHO.replace(RETURN, expression)


async def test_examples_that_hold_are_counted(make: Make) -> None:
    verdict = await examples.ExamplesCheck()(make({AGENT: ECHO, KEPT: HELLO}))
    assert (verdict.passed, candidates.text_of(verdict)) == (True, "1 example")


async def test_a_project_without_examples_passes_and_runs_nothing(make: Make) -> None:
    verdict = await examples.ExamplesCheck()(make({AGENT: "this is no Python"}))
    assert (verdict.passed, candidates.text_of(verdict)) == (True, "none kept")


async def test_an_answer_that_differs_is_told_with_both_texts(make: Make) -> None:
    verdict = await examples.ExamplesCheck()(make({AGENT: answering("return message.text.upper()"), KEPT: HELLO}))
    assert not verdict.passed
    assert verdict.summary == "1 of 1 broken"
    assert verdict.findings == (
        "echo: when told 'Hello World' it must answer 'Echo: Hello World', but it answered 'HELLO WORLD'",
    )


async def test_an_agent_that_the_change_is_not_about_is_named_when_it_breaks(make: Make) -> None:
    tool = '"""Greeting."""\n\n\ndef mark() -> str:\n    """The mark."""\n    return "%s"\n'
    using = answering("return mark() + message.text").replace(
        "\n\n\nclass", "\nfrom bot.tools.mark import mark\n\n\nclass"
    )
    verdict = await examples.ExamplesCheck()(
        make({"bot/tools/mark.py": tool % "echo: "}, extra={AGENT: using, KEPT: HELLO})
    )
    assert "echo: when told 'Hello World'" in candidates.text_of(verdict)
    assert "but it answered 'echo: Hello World'" in candidates.text_of(verdict)


FAILURES = {
    "raises": ("raise ValueError('boom')", "but it raised ValueError: boom"),
    "says nothing": ('return ""', "but it answered ''"),
    "answers with another kind": ("return None  # type: ignore", "but it answered 'None'"),
    "waits": ("import asyncio\n\n        await asyncio.sleep(60)", "but it did not answer within 5 s"),
    "asks the model": ("return await context.ask(message.text)", "exactly, but it asks the language model"),
    "asks and hides it": (
        "try:\n            return await context.ask('x')\n        except Exception:\n            " + RETURN,
        "exactly, but it asks the language model",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_whatever_is_no_answer_is_told(name: str, make: Make) -> None:
    source, told = FAILURES[name]
    verdict = await examples.ExamplesCheck()(make({AGENT: answering(source), KEPT: HELLO}))
    assert not verdict.passed
    assert verdict.findings[0].startswith("echo: when told 'Hello World' it must answer 'Echo: Hello World', ")
    assert told in candidates.text_of(verdict)


ENDINGS = {
    "ends the process": ("import os\n\n        os._exit(0)", "without a report (exit 0) (at echo: 'Hello World')"),
    "ends the program": ("raise SystemExit(0)", "without a report (exit 0) (at echo: 'Hello World')"),
    "never ends": ("while True:\n            pass", "did not end within {} s (at echo: 'Hello World')"),
    "takes all memory": ("return 'x' * (1 << 34)", "MemoryError"),
    "reaches out": ("import socket\n\n        socket.create_connection(('127.0.0.1', 1))", "PermissionError"),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_an_agent_that_ends_or_holds_the_trial_is_named(name: str, make: Make) -> None:
    source, told = ENDINGS[name]
    subject = make({AGENT: answering(source), KEPT: HELLO})
    # Only the one that never ends is given little time, and on a busy machine more, until the trial has come to it.
    for seconds in (4, 16, 64) if "{}" in told else (examples.SECONDS,):
        once = dataclasses.replace(subject, scratch=subject.scratch / str(seconds))
        once.scratch.mkdir(mode=0o711)
        verdict = await examples.ExamplesCheck(seconds=seconds)(once)
        if "(at echo" in candidates.text_of(verdict):
            break
    assert not verdict.passed
    assert told.format(seconds) in candidates.text_of(verdict)


FORGED = {
    "empty": "{}",
    "nothing tried": '{"takes": []}',
    "another one tried": '{"takes": [{"agent": "echo", "say": "Hi", "outcome": "answered", "text": "Echo: Hi"}]}',
    "no JSON": "Echo: Hello World",
    "a tower": "[" * 100_000,
    "a list": "[]",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_report_that_is_not_about_these_examples_fails(name: str, make: Make) -> None:
    forging = (
        "import types\n\n        from persais_core.agents import rehearsal\n\n"
        f"        rehearsal.json = types.SimpleNamespace(dumps=lambda report: {FORGED[name]!r})\n        return ''"
    )
    verdict = await examples.ExamplesCheck()(make({AGENT: answering(forging), KEPT: HELLO}))
    assert verdict.summary == "no report"


GOOD = '{"takes": [{"agent": "echo", "say": "Hello World", "outcome": "answered", "text": "Echo: Hello World"}]}'
BY_EXIT = {
    "to the file": "Path('.examples.json').write_text(good)\n        os._exit(0)",
    "to the file, with an error": "Path('.examples.json').write_text(good)\n        os._exit(1)",
    "to every descriptor": (
        "words = [json.dumps({'left': good}), json.dumps({'exit': 0})]\n"
        "        lines = ''.join(f'{\"0\" * 32} {word}\\n' for word in words)\n"
        "        whole = json.dumps({'exit': 0, 'said': [{'left': good}]})\n"
        "        for place in range(3, 64):\n"
        "            for told in (lines, whole):\n"
        "                with contextlib.suppress(OSError):\n"
        "                    os.write(place, told.encode())\n"
        "        os._exit(0)"
    ),
}


@pytest.mark.parametrize("name", BY_EXIT)
async def test_a_good_report_that_an_agent_writes_before_it_ends_the_process_is_none(name: str, make: Make) -> None:
    forging = f"import contextlib, json, os\n        from pathlib import Path\n\n        good = {GOOD!r}\n        "
    verdict = await examples.ExamplesCheck()(make({AGENT: answering(forging + BY_EXIT[name]), KEPT: HELLO}))
    assert not verdict.passed
    assert verdict.summary == "no report"


async def test_an_agent_that_cannot_be_loaded_is_named(make: Make) -> None:
    verdict = await examples.ExamplesCheck()(make({AGENT: "import nothing_there\n", KEPT: HELLO}))
    assert "bot/agents/echo.py cannot be imported: ModuleNotFoundError" in candidates.text_of(verdict)


async def test_examples_of_an_agent_that_is_gone_or_doubled_fail(make: Make) -> None:
    subject = make({"bot/agents/parrot.py": ECHO.replace('"echo"', '"parrot"'), KEPT: HELLO})
    assert "there is no agent of this name" in candidates.text_of(await examples.ExamplesCheck()(subject))
    (subject.root / AGENT).write_text(ECHO)
    (subject.root / "bot/agents/parrot.py").write_text(ECHO)
    again = dataclasses.replace(subject, scratch=subject.scratch / "again")
    again.scratch.mkdir(mode=0o711)
    assert "two agents are called echo" in candidates.text_of(await examples.ExamplesCheck()(again))


async def test_an_agent_that_is_a_prompt_is_only_loaded(make: Make) -> None:
    poem = "agent: poet\nexamples:\n  - {say: the sea, expect: sea, match: contains}\n"
    made = {AGENT: ECHO, KEPT: HELLO, "bot/agents/poet.py": PROMPT, "tests/examples/poet.yaml": poem}
    verdict = await examples.ExamplesCheck()(make(made))
    assert (verdict.passed, candidates.text_of(verdict)) == (True, "2 examples, 1 of them needs the model")


async def test_each_example_meets_a_fresh_agent_and_nothing_stored(make: Make) -> None:
    counting = answering("self.seen = getattr(self, 'seen', 0) + 1\n        return f'{self.seen} {context.language}'")
    kept = (
        "agent: echo\nexamples:\n"
        "  - {say: a, expect: 1 en}\n  - {say: b, expect: 1 en}\n  - {say: Привет, expect: 1 ru}\n"
    )
    verdict = await examples.ExamplesCheck()(make({AGENT: counting, KEPT: kept}))
    assert (verdict.passed, candidates.text_of(verdict)) == (True, "3 examples")


async def test_what_the_tests_did_to_their_copy_does_not_matter(make: Make) -> None:
    meddling = (
        "from pathlib import Path\n\n\ndef test_x() -> None:\n"
        "    place = Path(__file__).parents[2] / 'bot/agents/echo.py'\n"
        "    place.write_text(place.read_text().replace('.upper()', ''))\n"
    )
    made = make({AGENT: answering(RETURN + ".upper()"), KEPT: HELLO, "tests/agents/test_echo.py": meddling})
    verdicts = {v.check: v for v in await checks.verify(made, ["tests", "examples"])}
    assert verdicts["tests"].passed, candidates.text_of(verdicts["tests"])
    assert "but it answered 'Echo: HELLO WORLD'" in candidates.text_of(verdicts["examples"])


async def test_a_file_that_cannot_be_used_fails_with_its_place(make: Make) -> None:
    verdict = await checks.ask(examples.ExamplesCheck(), make({AGENT: ECHO}, extra={KEPT: HELLO + "  - say: 42\n"}))
    assert "tests/examples/echo.yaml: example 2: say: must be text; put it in quotes" in candidates.text_of(verdict)


# --- which files of examples a change may touch ---


async def test_examples_of_the_change_are_among_its_paths(make: Make) -> None:
    assert (await paths.PathsCheck()(make({AGENT: ECHO, KEPT: HELLO}))).passed


async def test_examples_that_were_not_written_by_us_are_refused_even_if_the_plan_names_them(make: Make) -> None:
    subject = dataclasses.replace(make({AGENT: ECHO, KEPT: HELLO}), examples={})
    assert (await paths.PathsCheck()(subject)).findings == (
        f"{KEPT}: holds examples that this change is not about; undo this file",
    )


async def test_examples_of_other_agents_are_closed(make: Make) -> None:
    subject = make({AGENT: ECHO, KEPT: HELLO})
    for status, mode in (("added", 0o100644), ("modified", 0o100644), ("deleted", None)):
        other = base.ChangedFile("tests/examples/parrot.yaml", mode, status)  # type: ignore[arg-type]
        verdict = await paths.PathsCheck()(dataclasses.replace(subject, changed=(*subject.changed, other)))
        assert "parrot.yaml: holds examples that this change is not about" in candidates.text_of(verdict)


@pytest.mark.parametrize("path", ["tests/examples/echo.yml", "tests/examples/Echo.yaml", "tests/examples/a/b.yaml"])
async def test_other_files_beside_the_examples_are_out_of_bounds(path: str, make: Make) -> None:
    assert "may not be touched" in candidates.text_of(await paths.PathsCheck()(make({AGENT: ECHO, path: HELLO})))


async def test_examples_that_the_coder_changed_or_took_out_are_refused(make: Make) -> None:
    subject = make({AGENT: ECHO, KEPT: HELLO})
    told = f"{KEPT}: is not as it was written for this change; mend the code, not the owner's examples"
    (subject.root / KEPT).write_text(HELLO.replace("Echo: Hello World", "anything"))
    assert (await paths.PathsCheck()(subject)).findings == (told,)
    (subject.root / KEPT).unlink()
    without = dataclasses.replace(subject, changed=subject.changed[:1])
    assert (await paths.PathsCheck()(without)).findings == (told,)
    (subject.root / KEPT).symlink_to("/etc/passwd")
    assert told in candidates.text_of(await paths.PathsCheck()(subject))


async def test_all_checks_pass_on_an_agent_with_its_examples(make: Make) -> None:
    test = (
        '"""Tests of Echo."""\n\nfrom bot.agents.echo import Echo\nfrom persais_core import Message\n'
        "from persais_core.testing import context_for\n\n\nasync def test_it_repeats() -> None:\n"
        '    """It repeats."""\n    reply = await Echo().reply(Message(text="a"), context_for(Echo))\n'
        '    assert reply == "Echo: a"\n'
    )
    verdicts = await checks.verify(make({AGENT: ECHO, KEPT: HELLO, "tests/agents/test_echo.py": test}))
    assert [candidates.text_of(verdict) for verdict in verdicts if not verdict.passed] == []
    assert verdicts[-1].check == "examples"
