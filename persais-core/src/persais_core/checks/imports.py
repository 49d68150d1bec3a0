"""What generated code imports, calls and reaches for, held against the lists of `allowed.toml`.

The reading is done by `reviewer` in a process of its own: the text was chosen by a model, perhaps on someone's behalf,
and a parser that dies of it is one more finding.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from persais_core import commands
from persais_core.checks import base
from persais_core.domain import changes

NAME = "imports"
ROOM = Path(__file__).parent
ALLOWED = Path(__file__).with_name("allowed.toml")
SECONDS = 10.0
# The package and this room without what they load: the reader needs the standard library and two files of ours.
START = """
import sys, types
for name, place in (("persais_core", sys.argv[1]), ("persais_core.checks", sys.argv[2])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place]
from persais_core.checks import reviewer
reviewer.main()
"""


class ImportsCheck:
    """Whether the changed files keep to the allow-list.

    Args:
        allowed: the lists; another file than ours where an owner wants more or less.
    """

    name = NAME

    def __init__(self, allowed: Path = ALLOWED) -> None:
        self._allowed = allowed

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Review every changed Python file."""
        if not subject.written:
            return base.passed(NAME, "no Python file changed")
        task = {
            "allowed": str(self._allowed),
            "root": str(subject.root),
            "paths": subject.written,
            "max_bytes": base.MAX_FILE,
        }
        outcome = await commands.run(
            commands.Command(
                argv=(sys.executable, "-I", "-S", "-c", START, str(ROOM.parent), str(ROOM), json.dumps(task)),
                cwd=Path("/"),
                timeout_seconds=SECONDS,
            )
        )
        if outcome.timed_out:
            return base.failed(
                NAME, "stopped", [f"reading the code took more than {SECONDS:g} s; write it in simpler words"]
            )
        if not outcome:
            return base.failed(NAME, "stopped", ["the code could not be read; write it in simpler words"])
        answer: dict[str, list[tuple[int, str, str]]] = json.loads(outcome.stdout)
        findings = [f"{path}:{line}: {rule}: {text}" for path, rows in answer.items() for line, rule, text in rows]
        if findings:
            return base.failed(NAME, base.count(len(findings), "thing not allowed", "things not allowed"), findings)
        return base.passed(NAME, base.count(len(subject.written), "file", "files") + " read")
