"""One file, judged as if it stood at a place of a project: by its path, and by the gates that read what it holds.

Nothing round it is needed: what it imports from the project is taken to be there. So types are not checked, which
cannot be done without the rest, nor style, which is no question of safety. What cannot be judged counts as refused.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from persais_core import errors
from persais_core.checks import base, imports, paths, secrets
from persais_core.domain import examples

MAX_SCANNED = 16_000  # bytes of a line
LINE = re.compile(r"\bline (\d+)")


class Row(NamedTuple):
    """One finding: line (1 where it is the whole file), rule, what it is and what to use instead."""

    line: int
    rule: str
    message: str
    instead: str


class Verdict(NamedTuple):
    """What is said of a file: `clean`, `findings`, or `error` when it could not be judged."""

    path: str
    verdict: Literal["clean", "findings", "error"]
    findings: tuple[Row, ...] = ()


async def judge(path: str, file: Path, *, more: str = "") -> Verdict:
    """Judge a file.

    Args:
        path: where it is to stand, relative to a project.
        file: where it lies.
        more: the text of the owner's own lists.
    """
    example = examples.PATH.fullmatch(path)
    if not example:
        closed = paths.judge(base.ChangedFile(path, paths.PLAIN, "added"), (path,), ())
        if rows := tuple(row(1, trouble.rule, trouble.text) for trouble in closed):
            return Verdict(path, "findings", rows)
    try:
        content = read(file, base.MAX_FILE)
        found = of_examples(content, example[1]) if example else []
        with tempfile.TemporaryDirectory(prefix="persais-check-") as folder:
            place = Path(folder) / path
            place.parent.mkdir(parents=True)
            place.write_bytes(content)
            if not example:
                answer = await imports.read(Path(folder), [path], is_alone=True, more=more)
                found = [Row(one.line, one.rule, one.message, one.instead) for one in answer[path]]
            if max(map(len, content.split(b"\n"))) <= MAX_SCANNED:  # longer ones are refused, and cost too much
                found += [row(line, "secret", secrets.tell(kind)) for line, kind in secrets.scan(place, content)]
    except errors.PersaisError as error:
        return Verdict(path, "error", (row(1, "unreadable", str(error)),))
    return Verdict(path, "findings" if found else "clean", tuple(sorted(set(found))))


def row(line: int, rule: str, text: str) -> Row:
    """A finding whose text says what it is, and behind the last semicolon what to do."""
    message, _, instead = text.rpartition("; ")
    return Row(line, rule, message or text, instead if message else "mend what it says")


def read(file: Path, most: int) -> bytes:
    """Read a plain file of at most so many bytes, not waiting for anybody.

    Raises:
        CheckError: it is none, or too large.
    """
    try:
        place = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = "it is a symbolic link" if file.is_symlink() else getattr(error, "strerror", None) or str(error)
        raise base.CheckError(f"{file} cannot be read ({why}); give a plain file") from None
    if not stat.S_ISREG(os.fstat(place).st_mode):
        os.close(place)
        raise base.CheckError(f"{file} is no plain file; give one")
    with os.fdopen(place, "rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise base.CheckError(f"{file} has more than {most // 1000} kB; split it")
    return content


def of_examples(content: bytes, agent: str) -> list[Row]:
    """What is wrong with a file of examples."""
    try:
        examples.parse(content.decode("utf-8"), agent)
    except UnicodeDecodeError:
        return [Row(1, "encoding", "is not UTF-8", "save it as UTF-8")]
    except examples.ExamplesError as error:
        line = LINE.search(str(error))
        return [row(int(line[1]) if line else 1, "examples", str(error))]
    return []
