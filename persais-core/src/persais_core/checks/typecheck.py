"""Whether the types of the changed files hold, by pyrefly and our own settings, and nobody uses what was taken away.

Without settings pyrefly takes its "basic" preset and reports nothing, and the project's settings are the candidate's,
so ours are written beside the copy and named on the command line. The interpreter is not asked where its packages lie:
we know, and asking means running it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persais_core import processes
from persais_core.checks import base, uses
from persais_core.domain import changes
from persais_core.security import sandbox

NAME = "typecheck"
SECONDS = 60.0
LIMITS = sandbox.Limits(open_files=1024, processes=128, memory_bytes=2 << 30, address_bytes=64 << 30)
# Where what it cannot resolve lies outside the files that are judged.
QUIET = ("missing-source", "missing-source-for-stubs", "untyped-import")

# SQLModel declares it as a computed attribute and documents it as a plain string.
SQLMODEL = ".__tablename__` overrides parent class"


class TypecheckCheck:
    """Whether pyrefly finds nothing in the changed files."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Check the changed files of the copy against the whole project, and all of it for what is gone."""
        if left := await asyncio.to_thread(lambda: list(_missed(subject))):
            return base.failed(NAME, "what goes is still used", left)
        if not subject.written:
            return base.passed(NAME, "no Python file changed")
        tree = (await subject.copied()).resolve()
        settings = subject.scratch / "typecheck"
        await asyncio.to_thread(_write_settings, settings, tree)
        argv = (
            *("pyrefly", "check", "--config", str(settings.resolve() / "pyrefly.toml"), "--output-format", "json"),
            *("--threads", "2", "--", *(str(tree / path) for path in subject.written)),
        )
        command = processes.Command(argv=argv, cwd=tree, timeout_seconds=SECONDS)
        outcome = await subject.sandbox.run(command, folder=tree, limits=LIMITS, readable=(settings,))
        if outcome.stopped or outcome.exit_code not in {0, 1}:
            reason = outcome.stopped or outcome.stderr.strip()[-200:] or f"exit code {outcome.exit_code}"
            return base.failed(NAME, "stopped", [f"the type checker did not finish: {reason}"])
        findings = list(_lines(json.loads(outcome.stdout), tree, set(subject.written)))
        if findings:
            return base.failed(NAME, base.count(len(findings), "type error", "type errors"), findings)
        if outcome.exit_code:
            return base.failed(NAME, "stopped", [f"the type checker failed: {outcome.stderr.strip()[-200:]}"])
        return base.passed(NAME, base.count(len(subject.written), "file", "files"))


def _missed(subject: base.Subject) -> Iterator[str]:
    """Who still imports what the change takes away; that need be no file that it changes."""
    found = uses.still_used(uses.sources(subject.root), subject.removed) if subject.removed else {}
    for path, used in found.items():
        do = "write it without that" if path in subject.allowed else "name it too, to be changed or removed"
        yield f"{path}: still uses {', '.join(used)}, which is removed; {do}"


def _write_settings(folder: Path, tree: Path) -> None:
    """Write `pyrefly.toml`; TOML and JSON agree on strings and lists of strings."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    packages.append(str(sandbox.PACKAGE.parent))
    lines = [
        'preset = "default"',
        f"project-includes = {json.dumps([str(tree / 'bot'), str(tree / 'tests')])}",
        f"search-path = {json.dumps([str(tree)])}",
        f"site-package-path = {json.dumps(packages)}",
        f'python-version = "{sys.version_info.major}.{sys.version_info.minor}"',
        f'python-platform = "{sys.platform}"',
        "skip-interpreter-query = true",
        "enabled-ignores = []",  # comments that silence it are the candidate's
        "[errors]",
        *(f"{kind} = false" for kind in QUIET),
    ]
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # whatever our umask is: the sandbox may have a uid of its own
    file = folder / "pyrefly.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    file.chmod(0o644)


def _lines(answer: dict[str, Any], tree: Path, written: set[str]) -> Any:
    for row in answer.get("errors", ()):
        path = tree / row["path"]
        name = str(path.relative_to(tree)) if path.is_relative_to(tree) else str(path)
        if name in written and row.get("severity", "error") == "error" and SQLMODEL not in row["description"]:
            text = str(row.get("concise_description") or row["description"])
            yield f"{name}:{row['line']}: {row['name']}: {text.splitlines()[0]}"
