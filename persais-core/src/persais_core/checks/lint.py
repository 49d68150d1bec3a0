"""Whether the changed files are written as the house writes, by ruff and our own choice of rules.

The project's own settings are not read (`--isolated`), nor are comments that silence a rule: both are the candidate's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from persais_core import processes
from persais_core.checks import base
from persais_core.domain import changes
from persais_core.security import sandbox

NAME = "lint"
RULES = "E,F,W,I,B,ASYNC,UP,C4,RET,SIM"
IGNORED = "SIM108,RET505,C414,UP047,UP046"  # taste, advice that changes order, newer syntax than the oldest Python
SECONDS = 20.0
LIMITS = sandbox.Limits(open_files=1024, processes=128)


class LintCheck:
    """Whether ruff has nothing to say about the changed files."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Run ruff on the changed files of the copy."""
        if not subject.written:
            return base.passed(NAME, "no Python file changed")
        tree = (await subject.copied()).resolve()
        version = f"py{sys.version_info.major}{sys.version_info.minor}"
        argv = (
            *("ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--output-format", "json", "--no-fix"),
            *("--select", RULES, "--ignore", IGNORED, "--line-length", "120", "--target-version", version),
            *("--config", "lint.isort.known-first-party=['bot', 'persais_core']", "--", *subject.written),
        )
        command = processes.Command(argv=argv, cwd=tree, env={"RAYON_NUM_THREADS": "2"}, timeout_seconds=SECONDS)
        outcome = await subject.sandbox.run(command, folder=tree, limits=LIMITS)
        if outcome.stopped or outcome.exit_code not in {0, 1}:
            reason = outcome.stopped or outcome.stderr.strip()[-200:] or f"exit code {outcome.exit_code}"
            return base.failed(NAME, "stopped", [f"the linter did not finish: {reason}"])
        rows: list[dict[str, Any]] = json.loads(outcome.stdout or "[]")
        findings = [_line(row, tree) for row in rows]
        if findings:
            return base.failed(NAME, base.count(len(findings), "finding", "findings"), findings)
        return base.passed(NAME, base.count(len(subject.written), "file", "files"))


def _line(row: dict[str, Any], tree: Path) -> str:
    path = Path(row["filename"])
    name = path.relative_to(tree) if path.is_relative_to(tree) else path
    fix = (row.get("fix") or {}).get("message")
    return f"{name}:{row['location']['row']}: {row['code']}: {row['message']}" + (f"; {fix}" if fix else "")
