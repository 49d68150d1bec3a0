"""What generated code imports, calls and reaches for, held against the lists of `allowed.toml`.

The reading is done by `reviewer` in a process of its own: the text was chosen by a model, perhaps on someone's behalf,
and a parser that dies of it is one more finding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import persais_core
from persais_core import processes
from persais_core.checks import base
from persais_core.checks.reviewer.findings import Finding
from persais_core.domain import changes

if TYPE_CHECKING:
    # Programs of ours that run in the sandbox import this package, and libgit2 cannot start there.
    from persais_core.git.repository import Repository

NAME = "imports"
MIGRATIONS = "bot/migrations/"
ROOM = Path(__file__).parent
ALLOWED = Path(__file__).with_name("allowed.toml")
OWNERS = "allowed.toml"
"""Where the owner's own lists lie in a project. No change may touch it, and it is read from the commit a change began
at, never from the candidate."""
SECONDS = 10.0
# The package and this room without what they load: the reader needs the standard library and files of ours.
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
        allowed: the lists; another file than ours where a test wants more or less.
    """

    name = NAME

    def __init__(self, allowed: Path = ALLOWED) -> None:
        self._allowed = allowed

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Review every changed Python file."""
        # A migration is made by a command and is a person's business; a change that comes from a chat may touch none,
        # which the paths check has seen to.
        written = tuple(path for path in subject.written if not path.startswith(MIGRATIONS))
        if not written:
            return base.passed(NAME, "no Python file changed")
        try:
            answer = await read(subject.root, written, more=subject.allowed_more, allowed=self._allowed)
        except base.CheckError as error:
            return base.failed(NAME, "stopped", [str(error)])
        findings = [
            f"{path}:{found.line}: {found.rule}: {found.text}" for path, rows in answer.items() for found in rows
        ]
        if findings:
            return base.failed(NAME, base.count(len(findings), "thing not allowed", "things not allowed"), findings)
        return base.passed(NAME, base.count(len(written), "file", "files") + " read")


async def read(
    root: Path, paths: Sequence[str], *, is_alone: bool = False, more: str = "", allowed: Path = ALLOWED
) -> Mapping[str, list[Finding]]:
    """Let the reviewer read files.

    Args:
        root: the project, or a folder that holds nothing but these files.
        paths: relative to it.
        is_alone: whether what they import from the project is taken to be there.
        more: the text of the owner's lists.
        allowed: our own lists.

    Returns:
        The findings by path.

    Raises:
        CheckError: the reader was stopped, or died of what it read.
    """
    task = {
        "allowed": str(allowed),
        "public": list(persais_core.__all__),
        "more": more,
        "root": str(root),
        "alone": is_alone,
        "paths": list(paths),
        "max_bytes": base.MAX_FILE,
    }
    outcome = await processes.run(
        processes.Command(
            argv=(sys.executable, "-I", "-S", "-c", START, str(ROOM.parent), str(ROOM), json.dumps(task)),
            cwd=Path("/"),
            timeout_seconds=SECONDS,
        )
    )
    if outcome.timed_out:
        raise base.CheckError(f"reading the code took more than {SECONDS:g} s; write it in simpler words")
    if not outcome:
        last = outcome.stderr.strip().rpartition("\n")[2]
        if last.startswith("persais_core.checks.reviewer.lists.ListError: "):
            raise base.CheckError(f"{OWNERS} {last.partition(': ')[2]}; mend it")
        raise base.CheckError("the code could not be read; write it in simpler words")
    answer: dict[str, list[tuple[int, str, str]]] = json.loads(outcome.stdout)
    return {path: [Finding(*row) for row in rows] for path, rows in answer.items()}


async def owners_lists(repository: Repository, commit: str) -> str:
    """The text of the owner's own lists as they stand in a commit; empty when there are none."""
    if OWNERS not in await repository.files(commit):
        return ""
    return await repository.read(commit, OWNERS)
