"""A project in which a change has written some files, as the checks are given it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persais_core.checks import base
from persais_core.domain import changes
from persais_core.security import sandbox

ROOMS = {
    "bot/__init__.py": '"""Bot."""\n',
    **{f"bot/{room}/__init__.py": '"""Parts."""\n' for room in ("agents", "tools", "schemas")},
}


def candidate(
    folder: Path,
    box: sandbox.Sandbox,
    written: Mapping[str, str],
    *,
    extra: Mapping[str, str] | None = None,
    **fields: Any,
) -> base.Subject:
    """A project in a folder, whose scratch nobody has made yet.

    Args:
        folder: gets `project`; `scratch` is where the scratch would be.
        written: what the change wrote, all of it new, and all of it planned.
        extra: what stood there before.
        fields: more of the subject.
    """
    for path, text in {**ROOMS, **(extra or {}), **written}.items():
        (folder / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / path).write_text(text, "utf-8")
    changed = tuple(base.ChangedFile(path, 0o100644, "added", len(text)) for path, text in written.items())
    return base.Subject(folder / "project", "0" * 40, tuple(written), changed, box, folder / "scratch", **fields)


def text_of(verdict: changes.Verdict) -> str:
    """All that a verdict says, on one line."""
    return " / ".join([verdict.summary, *verdict.findings])
