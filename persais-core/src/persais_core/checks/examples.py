"""Whether every agent still answers what its owner was promised.

The examples are read here, from files that the `paths` check has found untouched or written by us; the agents answer
in the sandbox, in a program of ours that is told what to say; and what came is judged here again. It works on a copy
of its own: by now the tests, which are the candidate's code, have had the shared one in their hands. As with the
tests, what counts is what `trial` reports, and no file that an agent could write.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pydantic import ValidationError

from persais_core.checks import base, report
from persais_core.domain import changes, examples
from persais_core.security import sandbox

NAME = "examples"
# Named, not imported: the agents are a floor above, and are not loaded in this process.
PROGRAM = "persais_core.agents.rehearsal"
REPORT = ".examples.json"
SECONDS = 60.0
LIMITS = sandbox.Limits(processes=32, address_bytes=8 << 30)


class ExamplesCheck:
    """Whether all examples of all agents hold.

    Args:
        seconds: wall clock for all of them.
    """

    name = NAME

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Let the agents answer, and judge what they said."""
        kept = await asyncio.to_thread(examples.read_all, subject.root)
        total = sum(len(owner.examples) for owner in kept)
        if not total:
            return base.passed(NAME, "none kept")
        tree = subject.scratch / "examples"
        await asyncio.to_thread(sandbox.copy_tree, subject.root, tree)
        tree = tree.resolve()
        (tree / REPORT).unlink(missing_ok=True)
        task = {"root": str(tree), "examples": [owner.model_dump(mode="json") for owner in kept]}
        found = await report.of_trial(
            subject.sandbox,
            ("program", PROGRAM, str(tree / REPORT)),
            folder=tree,
            env={"PERSAIS_SANDBOX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            limits=LIMITS,
            timeout_seconds=self._seconds,
            stdin=json.dumps(task).encode(),
        )
        outcome = found.outcome
        if outcome.stopped:
            summary = f"stopped after {self._seconds:g} s" if outcome.timed_out else "stopped"
            last = _last(kept, outcome.stdout)
            return base.failed(NAME, summary, [f"trying the examples was stopped because {outcome.stopped}{last}"])
        if found.said is None:
            code = outcome.exit_code if found.exit_code is None else found.exit_code
            tail = " | ".join(outcome.stderr.strip().splitlines()[-3:]).replace(f"{tree}/", "")
            last = _last(kept, outcome.stdout)
            return base.failed(NAME, "no report", [f"the examples ended without a report (exit {code}){last}: {tail}"])
        return _judge(found.said[-1]["left"], kept)


def _judge(raw: str, kept: tuple[examples.Examples, ...]) -> changes.Verdict:
    """Hold the report against the examples that were to be tried."""
    try:
        left: Any = json.loads(raw)
        if cause := left.get("cause"):
            return base.failed(NAME, "not loaded", [f"the agents cannot be loaded: {cause}"])
        takes = [examples.Take.model_validate(take) for take in left["takes"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
        return base.failed(NAME, "no report", ["the report of the examples cannot be read"])
    wanted = [(owner.agent, example) for owner in kept for example in owner.examples]
    if [(take.agent, take.say) for take in takes] != [(agent, example.say) for agent, example in wanted]:
        return base.failed(NAME, "no report", [f"{len(wanted)} examples were to be tried, and others were reported"])
    complaints = [examples.complaint(example, take) for (_, example), take in zip(wanted, takes, strict=True)]
    findings = list(dict.fromkeys(complaint for complaint in complaints if complaint))
    if findings:
        broken = sum(1 for complaint in complaints if complaint)
        return base.failed(NAME, f"{broken} of {len(wanted)} broken", findings)
    untried = sum(1 for take in takes if take.needs_model)
    summary = base.count(len(wanted), "example", "examples")
    if untried:
        summary += f", {untried} of them {'needs' if untried == 1 else 'need'} the model"
    return base.passed(NAME, summary)


def _last(kept: tuple[examples.Examples, ...], stdout: str) -> str:
    """At which example the program was, from the lines that it leaves before each."""
    names = {f"{owner.agent}: {examples.shown(example.say)}" for owner in kept for example in owner.examples}
    seen = [line for line in stdout.splitlines() if line in names]
    return f" (at {seen[-1]})" if seen else ""
